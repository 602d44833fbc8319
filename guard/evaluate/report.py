"""From measured records to a report: figures, curves, and every record that a detector got wrong.

Grey records (labelled `null`, or clean though they restart their prompt) and records without a label on the subject
count nowhere.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from guard.evaluate.labels import Subject
from guard.evaluate.measure import BARS, Alarm, Found, Measured
from guard.evaluate.rows import Case, Row, delay_of, rows_of
from guard.evaluate.statistics import Point, Scored, average_precision, f1, operating_curve
from guard.evaluate.subjects import usual_bar

CURVE: Final = 200
"""Points of an operating curve, about."""


class Listed(msgspec.Struct, frozen=True):
    """A record worth looking at, and why."""

    id: str | int
    line: int
    source: str
    kind: str
    how: str
    place: str
    reason: str


class LabelCount(msgspec.Struct):
    """Alarms by one of a detector's labels, on positive and on clean records."""

    hits: int = 0
    alarms: int = 0


class DetectorReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one detector. `bar` is the score that `misses` and `false_alarms` go by."""

    name: str
    subject: Subject | None
    bar: float
    rows: Mapping[str, Sequence[Row]]
    """By bar, as text: JSON has no other keys."""
    curve: Sequence[Point]
    delays: Sequence[float]
    average_precision: float | None
    f1: Mapping[str, float | None]
    by_label: Mapping[str, LabelCount]
    """Which of its labels raised the alarm."""
    misses: Sequence[Listed]
    false_alarms: Sequence[Listed]
    grey: Sequence[Listed]
    unlabelled: int
    unlabelled_alarms: int
    unwatched: int
    errors: int
    microseconds_per_token: float | None


class PolicyRow(msgspec.Struct, frozen=True):
    """What the whole policy did with the records of one subject."""

    subject: Subject
    positives: int
    positives_stopped: int
    clean: int
    clean_stopped: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation."""

    file: str
    policy: str
    policy_version: str
    records: int
    tokens: float
    unreadable: Sequence[str]
    outcomes: Mapping[str, int]
    rules: Mapping[str, int]
    by_subject: Sequence[PolicyRow]
    detectors: Sequence[DetectorReport]


def build_report(
    measured: Sequence[Measured],
    *,
    file: str,
    policy: str,
    policy_version: str,
    subjects: Mapping[str, Subject],
    unreadable: Sequence[str] = (),
    costs: Mapping[str, Sequence[float]],
) -> Report:
    """The report on measured records. `costs` gives microseconds per token by detector, one figure a worker."""
    names = list(measured[0].results) if measured else []
    return Report(
        file=file,
        policy=policy,
        policy_version=policy_version,
        records=len(measured),
        tokens=sum(record.tokens for record in measured),
        unreadable=unreadable,
        outcomes=dict(Counter(record.outcome for record in measured).most_common()),
        rules=dict(Counter(rule for record in measured for rule in record.rules).most_common()),
        by_subject=[
            _policy_row(measured, subject) for subject in Subject if any(subject in r.truths for r in measured)
        ],
        detectors=[_detector(name, subjects.get(name), measured, costs.get(name, ())) for name in names],
    )


def _policy_row(measured: Iterable[Measured], subject: Subject) -> PolicyRow:
    counts: Counter[tuple[bool, bool]] = Counter()
    for record in measured:
        truth = record.truths.get(subject)
        if truth is not None and truth.positive is not None:
            counts[truth.positive, record.outcome in ("cut", "repaired", "error")] += 1
    yes, no = counts[True, True], counts[False, True]
    return PolicyRow(subject, yes + counts[True, False], yes, no + counts[False, False], no)


def _detector(
    name: str, subject: Subject | None, measured: Sequence[Measured], costs: Sequence[float]
) -> DetectorReport:
    bar = usual_bar(subject)
    seen = [(record, record.results[name]) for record in measured]
    labelled = [
        Case(record, result, record.truths[subject])
        for record, result in seen
        if subject is not None and subject in record.truths and result.tokens
    ]
    cases = [case for case in labelled if case.truth.positive is not None]
    unlabelled = [result for record, result in seen if subject not in record.truths]
    scored = [Scored(max(case.result.peaks.values(), default=0.0), case.truth.positive is True) for case in cases]
    rows = {f"{each:g}": rows_of(cases, each) for each in BARS}
    return DetectorReport(
        name=name,
        subject=subject,
        bar=bar,
        rows=rows,
        curve=_thinned(operating_curve(scored)),
        delays=[delay for case in cases if case.truth.positive and (delay := delay_of(case, bar)) is not None],
        average_precision=average_precision(scored),
        f1={key: f1(all.hits, all.alarms, all.positives) for key, (all, *_) in rows.items()},
        by_label=_by_label(cases, bar),
        misses=[_miss(case) for case in cases if case.truth.positive and bar not in case.result.alarms],
        false_alarms=[
            _false(case, case.result.alarms[bar])
            for case in cases
            if case.truth.positive is False and bar in case.result.alarms
        ],
        grey=[_listed(case, "", case.truth.note) for case in labelled if case.truth.positive is None],
        unlabelled=len(unlabelled),
        unlabelled_alarms=sum(bar in result.alarms for result in unlabelled),
        unwatched=sum(not result.tokens for _, result in seen),
        errors=sum(result.errors for _, result in seen),
        microseconds_per_token=statistics.median(costs) if costs else None,
    )


def _by_label(cases: Sequence[Case], bar: float) -> dict[str, LabelCount]:
    counts: dict[str, LabelCount] = {}
    for case in cases:
        alarm = case.result.alarms.get(bar)
        if alarm is not None:
            count = counts.setdefault(alarm.found.label, LabelCount())
            count.hits += case.truth.positive is True
            count.alarms += case.truth.positive is False
    return dict(sorted(counts.items(), key=lambda each: -each[1].hits))


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """About `CURVE` of the points, evenly, and with them the last and the last at each bar."""
    every = -(-len(points) // CURVE) or 1
    reached = {sum(point.threshold >= bar for point in points) - 1 for bar in (*BARS, 0.0)}
    return [point for index, point in enumerate(points) if index % every == 0 or index in reached]


# --- lists


def _miss(case: Case) -> Listed:
    lesser = next((alarm.found for _, alarm in sorted(case.result.alarms.items(), reverse=True)), None)
    if lesser is not None:
        reason = f"only {describe(lesser)} at {_where(lesser)}"
    else:
        label, score = max(case.result.peaks.items(), key=lambda each: each[1], default=("", 0.0))
        reason = f"nothing found; the highest score was {label} {score:.2f}" if score > 0 else "nothing found"
    return _listed(case, case.record.place(case.truth.onset), reason)


def _false(case: Case, alarm: Alarm) -> Listed:
    return _listed(case, _where(alarm.found), describe(alarm.found))


def _where(found: Found) -> str:
    return f"{found.channel}:{found.at}"


def describe(found: Found) -> str:
    """A finding in a few words, without any text of the model."""
    detail = ", ".join(
        f"{key} {value:g}" if isinstance(value, int | float) else f"{key} {value}"
        for key, value in found.detail.items()
        if value != ""
    )
    return f"{found.label} {found.score:.2f}" + (f" ({detail})" if detail else "")


def _listed(case: Case, place: str, reason: str) -> Listed:
    record, truth = case.record, case.truth
    return Listed(record.id, record.line, record.source, truth.kind, truth.how, place, reason)
