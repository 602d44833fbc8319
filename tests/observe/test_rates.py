from __future__ import annotations

from pathlib import Path

from guard.contract import Channel, Finding, Lane, Span
from guard.events import Cut, Decision
from guard.observe.metrics import Metrics
from guard.observe.rates import COUNTED, SAMPLE_SECONDS, Rates


class World:
    """A clock, and counters that grow by so much a second."""

    def __init__(self, **per_second: float) -> None:
        self.now = 50.0
        self._per_second = per_second
        self.rates = Rates(self._totals, lambda: self.now)

    def _totals(self) -> dict[str, float]:
        return {name: self._per_second.get(name, 0.0) * (self.now - 50) for name in COUNTED}

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / SAMPLE_SECONDS)):
            self.now += SAMPLE_SECONDS
            self.rates.sample()


def test_windows_cover_their_minutes_and_little_more() -> None:
    world = World(streams=2, cuts=0.5)
    world.run(3_600)
    world.now += 4
    windows = world.rates.windows()
    assert [window.minutes for window in windows] == [1, 5, 15]
    for window in windows:
        assert 60 * window.minutes <= window.seconds <= 60 * window.minutes + SAMPLE_SECONDS
        assert window.counts["streams"] == round(2 * window.seconds)
        assert window.counts["cuts"] == round(0.5 * window.seconds)
        assert window.counts["loops"] == 0


def test_a_guard_that_runs_for_less_says_so() -> None:
    world = World(streams=1)
    world.run(120)
    assert [window.seconds for window in world.rates.windows()] == [60, 120, 120]
    assert world.rates.windows()[2].as_json() == {
        "minutes": 15,
        "seconds": 120,
        **dict.fromkeys(COUNTED, 0),
        "streams": 120,
    }


def test_what_happened_before_the_window_is_not_in_it() -> None:
    happened = dict.fromkeys(COUNTED, 0.0)
    now = 0.0
    rates = Rates(lambda: dict(happened), lambda: now)
    happened["loops"] = 7
    for _ in range(12):
        now += SAMPLE_SECONDS
        rates.sample()
    happened["loops"] = 8
    assert [window.counts["loops"] for window in rates.windows()] == [1, 8, 8]


def test_memory_is_bounded() -> None:
    world = World(streams=1)
    world.run(100_000)
    assert len(world.rates._samples) <= 15 * 60 / SAMPLE_SECONDS + 2


def test_the_counters_of_a_process_are_read() -> None:
    metrics = Metrics()
    loop = Finding("loop", "exact", 0.9, Span(0, 9))
    for outcome in ("passed", "cut", "cut", "repaired", "error"):
        stream = metrics.stream_opened("chat")
        stream.decided(Lane(0, Channel.REASONING), loop, Decision("r", Cut("")))
        stream.decided(Lane(0, Channel.CONTENT), Finding("language", "switch", 0.9, Span(0, 9)), Decision("r", Cut("")))
        stream.closed(outcome)
    assert metrics.totals() == {
        "streams": 5,
        "loops": 5,
        "language_switches": 5,
        "cuts": 2,
        "repairs": 1,
        "errors": 1,
    }


def test_every_counter_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert all(name in text for name, _ in COUNTED.values())
