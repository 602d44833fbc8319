"""What a detector costs: the time its scanners take to be fed, on whatever core that happens."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns
from typing import Any

from guard.contract import Context, Detector, Lane, Report, Scanner


class TimedDetector:
    """A detector as it is, whose scanners' `feed` is timed. `nanoseconds` is the sum so far.

    It does what `Detector` asks, but that labels and the like are those of the instance.
    """

    def __init__(self, detector: Detector) -> None:
        self.name = detector.name
        self.labels = detector.labels
        self.Settings = detector.Settings
        self.stability = detector.stability
        self.slow = detector.slow
        self.nanoseconds = 0
        self._detector = detector

    def load(self) -> None:
        """The detector is loaded already."""

    def open(self, lane: Lane, context: Context, history: str = "") -> TimedScanner:
        return TimedScanner(self, self._detector.open(lane, context, history))


class TimedScanner:
    """A scanner as it is; `feed` is timed, whether it returns or raises."""

    __slots__ = ("_scanner", "_sum")

    def __init__(self, sum: TimedDetector, scanner: Scanner) -> None:
        self._sum = sum
        self._scanner = scanner

    def feed(self, delta: str) -> Report:
        started = perf_counter_ns()
        try:
            return self._scanner.feed(delta)
        finally:
            self._sum.nanoseconds += perf_counter_ns() - started

    def settle(self) -> Report:
        return self._scanner.settle()

    def peaks(self) -> Mapping[str, float]:
        tell: Any = getattr(self._scanner, "peaks", None)
        return tell() if tell is not None else {}
