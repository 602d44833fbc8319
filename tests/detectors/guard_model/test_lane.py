from __future__ import annotations

from collections.abc import Sequence

import pytest

from detectors.guard_model.adapter import Judgement, Level, Reason, Unavailable
from detectors.guard_model.embedded import Embedded
from detectors.guard_model.lane import COUNTERS, Desk
from detectors.harm import HarmSettings
from guard.contract import ERROR_LABEL, Channel, Finding, Span
from tests.support.harm_model import Told


def desk(*, second: bool = False) -> Desk:
    return Desk("judge", Channel.CONTENT, 0.5, Embedded(HarmSettings(), Told()) if second else None)


def judge(one: Desk, risk: float, *labels: str, at: int = 0) -> list[tuple[str, float]]:
    level = Level.UNSAFE if risk >= 0.5 else Level.SAFE
    findings = one.judged(Judgement(risk, level, labels or ("hate",), 9), Span(at, at + 10), Span(0, at + 10))
    return told(findings)


def told(findings: Sequence[Finding]) -> list[tuple[str, float]]:
    return [(finding.label, finding.score) for finding in findings]


def test_every_category_is_a_finding_of_its_own() -> None:
    findings = desk().judged(Judgement(0.8, Level.UNSAFE, ("hate", "privacy"), 10), Span(5, 15), Span(0, 15))
    assert findings == [
        Finding("judge", label, 0.8, Span(5, 15), Span(0, 15), {"level": "unsafe"}) for label in ("hate", "privacy")
    ]


def test_a_stretch_is_told_again_where_it_gets_worse_or_other() -> None:
    one = desk()
    assert judge(one, 0.6) == [("hate", 0.6)]
    assert judge(one, 0.6) == []
    assert judge(one, 0.5) == []
    assert judge(one, 0.7, "hate", "privacy") == [("hate", 0.7), ("privacy", 0.7)]
    assert judge(one, 0.6, "jailbreak") == [("jailbreak", 0.6)]
    assert judge(one, 0.4) == []
    assert judge(one, 0.6) == [("hate", 0.6)]
    one.clean()
    assert judge(one, 0.6) == [("hate", 0.6)]


def test_what_was_judged_is_counted_and_handed_over_once() -> None:
    one = desk()
    judge(one, 0.9)
    judge(one, 0.1)
    one.unavailable(Unavailable(Reason.TIMEOUT), "text", Span(0, 4))
    assert one.take_counts() == {"judged": 2, "confirmed": 1, "cleared": 1, "unavailable": 1}
    assert one.take_counts() == {}


def test_every_counter_has_a_sentence() -> None:
    assert {*COUNTERS} == {"windows", "escalated", "judged", "cleared", "confirmed", "held_chars", "unavailable"}
    assert all(COUNTERS.values())


@pytest.mark.parametrize("reason", Reason)
def test_no_judgement_is_an_error(reason: Reason) -> None:
    assert desk().unavailable(Unavailable(reason), "text", Span(3, 7)) == [
        Finding("judge", ERROR_LABEL, 1.0, Span(3, 7), detail={"error": str(reason)})
    ]


def test_or_the_embedded_classifiers_word() -> None:
    one = desk(second=True)
    gone = Unavailable(Reason.BREAKER_OPEN)
    assert one.unavailable(gone, "all is well", Span(0, 11)) == ()
    (finding,) = one.unavailable(gone, "r0.9", Span(0, 4))
    assert (finding.label, finding.score, finding.span) == ("indiscriminate_weapons", 0.9, (0, 4))
    assert finding.detail == {"judge": "embedded", "unavailable": "breaker_open"}
    assert one.take_counts() == {"unavailable": 2}


def test_peaks_are_the_highest_risks_reported_or_not() -> None:
    one = desk()
    judge(one, 0.2)
    judge(one, 0.8, "privacy")
    judge(one, 0.6, "privacy", "hate")
    assert one.peaks() == {"hate": 0.6, "privacy": 0.8}
