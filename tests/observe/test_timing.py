"""Detectors are timed on one stream in 16, and say the same with and without."""

from __future__ import annotations

from collections import Counter
from itertools import count

from guard.contract import Channel, Context
from guard.engine.plan import Plan
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Command, Event, TextReceived
from guard.observe.metrics import Known, Metrics
from guard.observe.timing import ONE_IN, DetectorTimes
from guard.policy import load_policy
from tests.support.engine import CONTENT
from tests.support.metrics import total

LOOPING = "I will say this once more, and then again, to be quite sure of it. " * 30


def commands(plan: Plan, text: str = LOOPING) -> list[Command]:
    guard = StreamGuard(plan, Context())
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    events: list[Event] = [*(TextReceived(CONTENT, piece) for piece in pieces), ChoiceFinished(0, "stop")]
    return [command for event in events for command in guard.receive(event)]


def plan_of_default() -> Plan:
    policy = load_policy("default")
    policy.load()
    return policy.plan("")


def test_one_stream_in_16_is_timed_from_the_first_on() -> None:
    times = DetectorTimes(lambda _detector, _seconds: None)
    plan = plan_of_default()
    assert [times.plan(plan) is not plan for _ in range(2 * ONE_IN)] == ([True] + [False] * (ONE_IN - 1)) * 2


def test_a_timed_stream_goes_as_any_other() -> None:
    plan = plan_of_default()
    timed = DetectorTimes(lambda _detector, _seconds: None).plan(plan)
    said = commands(timed)
    assert said == commands(plan)
    assert any(type(command).__name__ == "RecordDecision" for command in said)
    assert timed.slow == plan.slow


def test_every_step_of_every_detector_is_told_with_its_time() -> None:
    told: Counter[str] = Counter()
    seconds: set[float] = set()
    ticks = count(step=3.0)

    def observe(detector: str, took: float) -> None:
        told[detector] += 1
        seconds.add(took)

    plan = plan_of_default()
    commands(DetectorTimes(observe, clock=lambda: next(ticks)).plan(plan), "Well, well. " * 16)
    assert set(told) == {detector.name for detector in plan.watch[Channel.CONTENT]}
    assert min(told.values()) >= 12, "192 characters in steps of 16"
    assert seconds == {3.0}


def test_a_timed_scanner_still_tells_its_peaks() -> None:
    plan = DetectorTimes(lambda _detector, _seconds: None).plan(plan_of_default())
    guard = StreamGuard(plan, Context())
    guard.receive(TextReceived(CONTENT, LOOPING))
    assert any(lane.peaks() for lane in guard.lanes())


def test_metrics_keep_the_times() -> None:
    metrics = Metrics(Known(detectors={"loop": ["exact"]}))
    commands(metrics.timed(plan_of_default()), "Well, well. " * 16)
    assert total(metrics.registry, "guard_detector_seconds_count", detector="loop") >= 12
