"""Leaves a server alone that keeps failing (circuit breaker: M. Nygard, Release It!, 2007).

closed --so many failures in a row--> open --after so many seconds--> trying: one call
   ^                                    ^                               |        |
   +------------------------------------+------------ fails ------------+        |
   +--------------------------------------------------- succeeds ----------------+
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Safe to use from several threads."""

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_again = 0.0
        self._trying = False

    def allows(self) -> bool:
        """May a call be made now? Whoever is told yes must say `succeeded` or `failed` afterwards."""
        with self._lock:
            if self._failures < self._limit:
                return True
            if self._trying or self._clock() < self._closed_again:
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._trying = False

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._trying = False
            if self._failures >= self._limit:
                self._closed_again = self._clock() + self._seconds
