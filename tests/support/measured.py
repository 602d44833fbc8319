"""Measured records made up for tests of reports."""

from __future__ import annotations

from guard.contract import STOP, WARN, Channel, Span
from guard.evaluate.labels import Subject, Truth
from guard.evaluate.measure import Alarm, Found, Measured, Result
from guard.evaluate.rows import Case


def found(at: int, score: float = STOP, label: str = "exact") -> Found:
    return Found(label, score, Channel.CONTENT, Span(at - 1, at), Span(0, at), at, 0, {"period": 7.0})


def result(at: int | None = None, *, score: float = STOP, leaked: float = 0, saved: float = 0) -> Result:
    """What a detector made of 100 tokens; it found something at `at`, if that is given."""
    if at is None:
        return Result([], {"exact": 0.0}, {}, 0, 0, 100.0)
    alarm = Alarm(found(at, score), at, leaked, saved)
    return Result([alarm.found], {"exact": score}, {bar: alarm for bar in (STOP, WARN) if score >= bar}, 0, 0, 100.0)


def measured(line: int, truth: Truth | None, outcome: str = "passed", source: str = "", **results: Result) -> Measured:
    """A record of one content lane of 330 characters, labelled on loops only."""
    return Measured(
        line=line,
        id=f"r{line}",
        source=source,
        model="qwq-32b",
        language="",
        tokens=100.0,
        length=330,
        starts={Channel.CONTENT: 0},
        truths={} if truth is None else {Subject.LOOP: truth},
        marks=(),
        results=results,
        outcome=outcome,
        rules=("no_loops",) if outcome == "cut" else (),
    )


def case(
    positive: bool,
    *,
    at: int | None = None,
    kind: str = "",
    source: str = "",
    onset: int | None = None,
    period: float | None = None,
    score: float = STOP,
    leaked: float = 0,
    saved: float = 0,
) -> Case:
    truth = Truth(positive=positive, kind=kind, onset=onset, period=period)
    made = result(at, score=score, leaked=leaked, saved=saved)
    return Case(measured(1, truth, source=source, loop=made), made, truth)
