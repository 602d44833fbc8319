from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from guard.contract import Context, DetectorError, Finding, Lane, Report, Span
from guard.engine.watch import Watch
from tests.support.engine import CONTENT, Words

FED = 10


def watch(settled: int = 4) -> Watch:
    detector = Words("words", ["x"])
    made = Watch(detector, detector.open(Lane(*CONTENT), Context()), acts=True)
    made.settled = settled
    return made


def finding(span: Any = Span(4, 6), **fields: Any) -> Finding:  # noqa: B008 - a span does not change
    label = next(iter(Words("words", ["x"]).labels))
    return Finding(**{"detector": "words", "label": label, "score": 0.5, "span": span, **fields})


@pytest.mark.parametrize(
    "report",
    [
        Report(4),
        Report(10),
        Report(7, [finding()]),
        Report(7, [finding(Span(4, 4)), finding(Span(10, 10))]),
        Report(7, [finding(evidence=Span(0, 10))]),
        Report(7, [finding(label="error")]),
        Report(7, (each for each in [finding()])),  # type: ignore[arg-type]
    ],
)
def test_what_keeps_the_contract_is_taken(report: Report) -> None:
    taken = watch()
    findings = taken.accept(report, FED, settling=False)
    assert taken.settled == report.settled
    assert isinstance(findings, Sequence)


@pytest.mark.parametrize(
    "report",
    [
        Report(3),
        Report(11),
        Report(7.0),  # type: ignore[arg-type]
        Report(7, [finding(Span(3, 6))]),
        Report(7, [finding(Span(4, 11))]),
        Report(7, [finding(Span(6, 5))]),
        Report(7, [finding((4, 6))]),
        Report(7, [finding(Span(4.5, 6))]),  # type: ignore[arg-type]
        Report(7, [finding(evidence=Span(0, 11))]),
        Report(7, [finding(detector="another")]),
        Report(7, [finding(label="unheard of")]),
        Report(7, [finding(score=1.1)]),
        Report(7, [finding(score=math.nan)]),
    ],
)
def test_what_breaks_the_contract_is_an_error_and_changes_nothing(report: Report) -> None:
    broken = watch()
    with pytest.raises(DetectorError):
        broken.accept(report, FED, settling=False)
    assert broken.settled == 4


def test_settling_settles_all() -> None:
    with pytest.raises(DetectorError, match="settled 9 of 10"):
        watch().accept(Report(9), FED, settling=True)
    assert list(watch().accept(Report(10), FED, settling=True)) == []
