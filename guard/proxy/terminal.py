"""Telling the two meanings of SIGHUP apart: "read your configuration again", and "your terminal is gone"."""

from __future__ import annotations

import os
import signal
from typing import Final

_TERMINAL: Final = "/dev/tty"
"""The controlling terminal of whoever opens it; cannot be opened without one (POSIX.1-2017, 11.1.3)."""


class Terminal:
    """The terminal that this process was started on, if any. Make it before a handler for SIGHUP is set."""

    def __init__(self) -> None:
        # under nohup a closed terminal is none of our business
        self._counts = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _is_there()

    def closed(self) -> bool:
        """Was there one, and is it gone?"""
        return self._counts and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
