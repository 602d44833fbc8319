from __future__ import annotations

import msgspec
import pytest

from guard.evaluate.labels import Subject, Truth
from guard.evaluate.report import CURVE, DetectorReport, LabelCount, PolicyRow, Report, build_report, describe
from guard.evaluate.statistics import Point
from tests.support.measured import found, measured, result

LOOP = Truth(positive=True, kind="exact", how="eye", onset=40, period=20)
CLEAN = Truth(positive=False, kind="grid", how="auto")
GREY = Truth(positive=None, note="who knows")
RECORDS = [
    measured(1, LOOP, "cut", loop=result(60)),
    measured(2, LOOP, loop=result(90, score=0.5)),
    measured(3, LOOP, loop=result()),
    measured(4, CLEAN, "cut", loop=result(100)),
    measured(5, CLEAN, loop=result()),
    measured(6, GREY, "cut", loop=result(100)),
    measured(7, None, loop=result(100)),
]


def report(subject: Subject | None = Subject.LOOP) -> Report:
    return build_report(
        RECORDS,
        file="some.jsonl",
        policy="house",
        policy_version="abc",
        subjects={} if subject is None else {"loop": subject},
        unreadable=["9: is no labelled record"],
        costs={"loop": [3.0, 1.0, 2.0]},
    )


@pytest.fixture
def loop() -> DetectorReport:
    return report().detectors[0]


def test_the_policy_is_reported_beside_its_detectors() -> None:
    whole = report()
    assert (whole.records, whole.tokens, whole.unreadable) == (7, 700, ["9: is no labelled record"])
    assert whole.outcomes == {"passed": 4, "cut": 3}
    assert whole.rules == {"no_loops": 3}
    assert whole.by_subject == [PolicyRow(Subject.LOOP, 3, 1, 2, 1)]


def test_grey_and_unlabelled_records_count_nowhere(loop: DetectorReport) -> None:
    every = loop.rows["0.9"][0]
    assert (every.positives, every.hits, every.clean, every.alarms) == (3, 1, 2, 1)
    assert loop.rows["0.5"][0].hits == 2
    assert [each.id for each in loop.grey] == ["r6"]
    assert (loop.unlabelled, loop.unlabelled_alarms) == (1, 1)


def test_every_miss_and_false_alarm_is_listed_with_place_and_reason(loop: DetectorReport) -> None:
    assert [(each.id, each.kind, each.how, each.place, each.reason) for each in loop.misses] == [
        ("r2", "exact", "eye", "content:40", "only exact 0.50 (period 7) at content:90"),
        ("r3", "exact", "eye", "content:40", "nothing found"),
    ]
    assert [(each.id, each.line, each.kind, each.place, each.reason) for each in loop.false_alarms] == [
        ("r4", 4, "grid", "content:100", "exact 0.90 (period 7)")
    ]


def test_curve_delays_and_quality(loop: DetectorReport) -> None:
    assert loop.curve == [Point(0.9, 1 / 3, 0.5, 1), Point(0.5, 2 / 3, 0.5, 1)]
    assert loop.delays == [20]
    assert loop.f1 == {"0.9": pytest.approx(0.4), "0.5": pytest.approx(2 / 3)}
    assert loop.microseconds_per_token == 2.0
    assert loop.by_label == {"exact": LabelCount(1, 1)}


def test_a_long_curve_is_thinned_and_exact_at_the_bars() -> None:
    scores = [*(number / 1_000 for number in range(1, 1_000)), 0.9, 0.5]
    records = [measured(line, CLEAN, loop=result(5, score=score)) for line, score in enumerate(scores)]
    made = build_report(records, file="", policy="", policy_version="", subjects={"loop": Subject.LOOP}, costs={})
    curve = made.detectors[0].curve
    assert len(curve) <= CURVE + 3
    at = {point.threshold: point.alarms for point in curve}
    assert at[0.9] == 101
    assert at[0.5] == 502
    assert curve[-1].alarms == len(scores)


def test_a_near_miss_says_how_near() -> None:
    near = result()
    near.peaks["exact"] = 0.42  # type: ignore[index]
    misses = build_report(
        [measured(1, LOOP, loop=near)],
        file="",
        policy="",
        policy_version="",
        subjects={"loop": Subject.LOOP},
        costs={},
    ).detectors[0]
    assert [each.reason for each in misses.misses] == ["nothing found; the highest score was exact 0.42"]
    assert misses.microseconds_per_token is None


def test_a_detector_without_a_subject_has_alarms_but_no_figures() -> None:
    loose = report(None).detectors[0]
    assert (loose.subject, loose.unlabelled, loose.unlabelled_alarms) == (None, 7, 4)
    assert loose.rows["0.9"][0].recall is None


def test_nothing_makes_an_empty_report() -> None:
    empty = build_report([], file="f", policy="p", policy_version="v", subjects={}, costs={})
    assert (empty.records, empty.detectors, empty.by_subject) == (0, [], [])


def test_it_is_json() -> None:
    said = msgspec.json.decode(msgspec.json.encode(report()))
    assert said["detectors"][0]["rows"]["0.9"][0]["recall"] == pytest.approx(1 / 3)


def test_a_finding_in_words() -> None:
    assert describe(found(3, 0.5)) == "exact 0.50 (period 7)"
