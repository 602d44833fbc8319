"""How much happened in the last minutes, from counters that are looked at now and then.

totals, every 10 s:   t0   t1   t2 ...  tn        (a ring of 15 minutes)
the last minute:      now - the newest sample that is at least a minute old
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Metric

from guard.observe import catalogue as c

SAMPLE_SECONDS: Final = 10.0
WINDOWS: Final = (1, 5, 15)
"""Minutes."""
COUNTED: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "streams": (c.STREAMS.full_name, {}),
    "loops": (c.LOOPS.full_name, {}),
    "language_switches": (c.SWITCHES.full_name, {}),
    "cuts": (c.REQUESTS.full_name, {"outcome": "cut"}),
    "repairs": (c.REQUESTS.full_name, {"outcome": "repaired"}),
    "errors": (c.REQUESTS.full_name, {"outcome": "error"}),
}
"""What is told: a counter, and the labels that count. Loops and switches are counted once per stream and channel."""


@dataclass(frozen=True, slots=True)
class Window:
    """What happened within `minutes`. The guard may have run for less: `seconds` is what is really covered."""

    minutes: int
    seconds: float
    counts: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {"minutes": self.minutes, "seconds": round(self.seconds, 1), **self.counts}


def totals_of(families: Iterable[Metric]) -> dict[str, float]:
    """The sums of what is counted, from metrics as a scraper would get them."""
    totals = dict.fromkeys(COUNTED, 0.0)
    for family in families:
        for sample in family.samples:
            for name, (metric, labels) in COUNTED.items():
                if sample.name == metric and labels.items() <= sample.labels.items():
                    totals[name] += sample.value
    return totals


class Rates:
    """The samples. `sample` is to be called every `SAMPLE_SECONDS`."""

    def __init__(self, totals: Callable[[], Mapping[str, float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._totals = totals
        self._clock = clock
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque(
            [(clock(), dict.fromkeys(COUNTED, 0.0))], maxlen=int(60 * max(WINDOWS) / SAMPLE_SECONDS) + 2
        )

    def sample(self) -> None:
        self._samples.append((self._clock(), self._totals()))

    def windows(self) -> list[Window]:
        """What happened until now."""
        now, totals = self._clock(), self._totals()
        windows = []
        for minutes in WINDOWS:
            began, before = self._samples[0]
            for at, sample in self._samples:
                if at <= now - 60 * minutes:
                    began, before = at, sample
            counts = {name: max(round(totals[name] - before[name]), 0) for name in COUNTED}
            windows.append(Window(minutes, now - began, counts))
        return windows
