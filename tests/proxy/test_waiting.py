"""How much text waits, and how long, against a detector that settles when the test says so."""

from __future__ import annotations

import pytest

from guard.contract import Channel, Context, Report
from guard.engine.stream import StreamGuard
from guard.events import Cut, TextReceived
from guard.observe.metrics import Metrics
from guard.proxy.waiting import EVERY, Waiting
from tests.support.engine import CONTENT, Custom, plan_of
from tests.support.metrics import total

STEP = "sixteen letters."


def watch(until: int, reads: int) -> Metrics:
    """Metrics of a stream of one step of text a read and a second, of which nothing is settled before `until`."""
    metrics = Metrics()
    stubborn = Custom(feed=lambda text: Report(len(text) if len(text) >= until else 0))
    guard = StreamGuard(plan_of(stubborn, actions={"custom": Cut()}), Context())
    waiting = Waiting(metrics.stream_opened("chat"))
    for second in range(reads):
        guard.receive(TextReceived(CONTENT, STEP))
        waiting.look(guard, float(second))
    return metrics


def test_text_that_leaves_on_arrival_has_not_waited() -> None:
    metrics = watch(until=0, reads=EVERY)
    assert total(metrics.registry, "guard_held_characters_count", channel="content") == 1
    assert total(metrics.registry, "guard_held_characters_sum") == 0
    assert total(metrics.registry, "guard_held_seconds_count", channel="content") == 1
    assert total(metrics.registry, "guard_held_seconds_sum") == 0


def test_what_waits_is_seen_every_16th_read_and_timed_until_it_leaves() -> None:
    metrics = watch(until=(EVERY + 5) * len(STEP), reads=EVERY + 10)
    assert total(metrics.registry, "guard_held_characters_sum") == EVERY * len(STEP)
    assert total(metrics.registry, "guard_held_characters_count") == 1
    assert total(metrics.registry, "guard_held_seconds_sum") == 5, "fed with the 16th read, gone with the 21st"


def test_text_that_does_not_leave_has_no_time() -> None:
    metrics = watch(until=10**6, reads=3 * EVERY)
    assert total(metrics.registry, "guard_held_characters_count") == 3
    assert total(metrics.registry, "guard_held_seconds_count") == 0


@pytest.mark.parametrize("reads", [0, EVERY - 1])
def test_a_short_stream_is_not_looked_at(reads: int) -> None:
    assert total(watch(until=0, reads=reads).registry, "guard_held_characters_count") == 0


def test_a_lane_that_ended_or_was_rewound_is_left_alone() -> None:
    class Lane:
        lane = CONTENT
        released = 0
        fed = 32
        ending: object = None

    class Guard:
        def lanes(self) -> list[Lane]:
            return [lane]

    lane = Lane()
    metrics = Metrics()
    waiting = Waiting(metrics.stream_opened("chat"))
    for second in range(EVERY):
        waiting.look(Guard(), second)  # type: ignore[arg-type]
    lane.fed = 16  # a repair dropped what waited
    waiting.look(Guard(), EVERY)  # type: ignore[arg-type]
    lane.fed = lane.released = 48
    for second in range(EVERY - 2):
        waiting.look(Guard(), second)  # type: ignore[arg-type]
    assert total(metrics.registry, "guard_held_seconds_count", channel=Channel.CONTENT) == 0
    lane.ending = object()
    waiting.look(Guard(), 99)  # type: ignore[arg-type]
    assert total(metrics.registry, "guard_held_characters_count") == 1
