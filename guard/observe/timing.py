"""How long detectors take, told from one stream in 16.

    plan ──one stream in 16──> the same plan, its detectors wrapped: each step of text is timed
         ──the others────────> the plan as it is: nothing is added to a token

The engine has no clock and need not know. A wrapped detector says and does what it wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, Final, cast

from guard.contract import Context, Detector, Lane, Report, Scanner, Stability
from guard.engine.plan import Plan

ONE_IN: Final = 16


class DetectorTimes:
    """Chooses the streams that are timed: the first, and every 16th from there."""

    def __init__(self, observe: Callable[[str, float], None], clock: Callable[[], float] = perf_counter) -> None:
        """`observe` takes a detector's name and the seconds it spent on one step of text."""
        self._observe = observe
        self._clock = clock
        self._opened = 0

    def plan(self, plan: Plan) -> Plan:
        """The plan for the next stream."""
        self._opened += 1
        if self._opened % ONE_IN != 1:
            return plan
        timed = {
            channel: tuple(cast(Detector, _Timed(detector, self._observe, self._clock)) for detector in detectors)
            for channel, detectors in plan.watch.items()
        }
        return replace(plan, watch=timed)


class _Timed:
    """A detector whose scanners are timed."""

    __slots__ = ("_clock", "_detector", "_observe")

    def __init__(self, detector: Detector, observe: Callable[[str, float], None], clock: Callable[[], float]) -> None:
        self._detector = detector
        self._observe = observe
        self._clock = clock

    @property
    def name(self) -> str:
        return self._detector.name

    @property
    def labels(self) -> Mapping[str, str]:
        return self._detector.labels

    @property
    def stability(self) -> Stability:
        return self._detector.stability

    @property
    def slow(self) -> bool:
        return self._detector.slow

    @property
    def Settings(self) -> type:
        return self._detector.Settings

    def load(self) -> None:
        self._detector.load()

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        return _TimedScanner(self._detector.open(lane, context, history), self.name, self._observe, self._clock)


class _TimedScanner:
    __slots__ = ("_clock", "_name", "_observe", "_scanner")

    def __init__(
        self, scanner: Scanner, name: str, observe: Callable[[str, float], None], clock: Callable[[], float]
    ) -> None:
        self._scanner = scanner
        self._name = name
        self._observe = observe
        self._clock = clock

    def feed(self, delta: str) -> Report:
        began = self._clock()
        report = self._scanner.feed(delta)
        self._observe(self._name, self._clock() - began)
        return report

    def settle(self) -> Report:
        began = self._clock()
        report = self._scanner.settle()
        self._observe(self._name, self._clock() - began)
        return report

    def __getattr__(self, name: str) -> Any:
        """What a scanner may offer besides (`peaks`)."""
        return getattr(self._scanner, name)
