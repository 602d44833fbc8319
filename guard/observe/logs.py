"""Logs: one line per record on standard error, JSON unless a person reads them. Never text of a model, nor credentials.

    guard's own records   structlog --.
                                      +--> no exception's message --> no control characters --> one line
    libraries' records    logging ----'
          (the first line only: what follows may quote what was being worked on)

What a client chooses (a model's name, a header) may stand in a record. It cannot make a second line, hide one, or move
a terminal's cursor: control characters appear as `\\x1b`, and long values are cut short.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog

LONGEST: Final = 300
"""Characters of a value; more are cut off."""
AGAIN_SECONDS: Final = 60.0
_MOST_TOLD: Final = 256
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""C0 and C1 controls, line separators, bidirectional overrides, invisible characters, halves of surrogate pairs."""
_QUIET: Final = ("httpx", "httpcore", "aiohttp", "uvicorn.access")
"""Libraries that tell of every request."""

Record = MutableMapping[str, Any]


def configure_log(
    level: str = "info", form: Literal["auto", "console", "json"] = "auto", stream: TextIO | None = None
) -> None:
    """Send records of `level` and above to `stream` (standard error). `auto` is JSON unless `stream` is a terminal."""
    stream = stream or sys.stderr
    as_json = form == "json" or (form == "auto" and not stream.isatty())
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            name_exceptions,
            make_printable,
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_names: Lines(stream),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [Forward()]
    root.setLevel(max(least, logging.INFO))
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    logging.getLogger("uvicorn.error").setLevel(max(least, logging.WARNING))
    logging.captureWarnings(True)


class Lines(structlog.WriteLogger):
    """Writes each line in one piece, for workers that share standard error, and does without where that fails: a full
    disk under a log must not end a stream."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class Forward(logging.Handler):
    """Takes the records of libraries: their first line, their level, who they are, and the kind of the exception.

    The same complaint is told once a minute: a collector that is down would else have a line for every span.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        now = self._clock()
        if now - self._told.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()
        self._told[key] = now
        return bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            first = record.getMessage().strip().partition("\n")[0]
        except Exception:  # noqa: BLE001 - a record that cannot be formatted is told all the same
            first = str(record.msg).partition("\n")[0]
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info[1]
        structlog.get_logger("guard").log(record.levelno, first, **fields)


def name_exceptions(_logger: object, _method: str, record: Record) -> Record:
    """An exception is told by its kind and where it was raised: its message may quote the model."""
    error = record.pop("exc_info", None)
    record.pop("stack_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        record["exception"] = type(error).__name__
        record["at"] = place_of(error)
    return record


def make_printable(_logger: object, _method: str, record: Record) -> Record:
    """No value can end its line or act on a terminal."""
    return {printable(str(name)): _printable(value) for name, value in record.items()}


def place_of(error: BaseException) -> str:
    """File and line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(name)): _printable(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_printable(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else printable(str(value))


def printable(value: str) -> str:
    """`value`, at most `LONGEST` characters of it, as it may be shown on a terminal."""
    if len(value) > LONGEST:
        value = value[: LONGEST - 1] + "…"
    return _UNSAFE.sub(_escaped, value)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x1_0000 else f"\\U{code:08x}"
