"""Figures of groups of records: all of them, and per kind of label, source, language and way of labelling.

A response stops at its first alarm, so a response counts for one alarm at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from guard.evaluate.labels import Truth
from guard.evaluate.measure import Measured, Result
from guard.evaluate.statistics import Interval, quantile, ratio, wilson

SHARES: Final = (0.1, 0.5, 0.9)
"""The quantiles of delays."""


class Case(NamedTuple):
    """A record, what is true of it on one subject, and what one detector made of it."""

    record: Measured
    result: Result
    truth: Truth


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one group of records at one bar. Delays are from the onset, over alarms at or after it, as the 10 %,
    50 % and 90 % quantiles; `early` is the share of alarms before it. `leaked` and `saved` are tokens, medians over
    alarms, and `saved_share` is the median share of the response."""

    group: str
    name: str
    positives: int
    hits: int
    recall: float | None
    clean: int
    alarms: int
    far: float | None
    far_interval: Interval | None
    per_million: float | None
    """False alarms per million tokens of clean responses."""
    agreement: float | None
    delay: Sequence[float] | None
    copies: Sequence[float] | None
    timely: int
    early: float | None
    leaked: float | None
    leaked_total: float
    saved: float | None
    saved_share: float | None
    saved_total: float


def rows_of(cases: Sequence[Case], bar: float) -> list[Row]:
    """All records first, then by group. Where all fall into one group it is left out, unless it names a kind."""
    rows = [_row("all", "all", cases, bar)]
    for group, key in _GROUPS.items():
        found: dict[str, list[Case]] = {}
        for case in cases:
            if name := key(case):
                found.setdefault(name, []).append(case)
        if len(found) > 1 or group == "kind":
            rows += [_row(group, name, those, bar) for name, those in sorted(found.items(), key=_largest_first)]
    return rows


_GROUPS: Final[Mapping[str, Callable[[Case], str]]] = {
    "way of labelling": lambda case: case.truth.how,
    "kind": lambda case: case.truth.kind if case.truth.positive else "",
    "hard negative": lambda case: "" if case.truth.positive else case.truth.kind,
    "source": lambda case: case.record.source,
    "language": lambda case: case.record.language,
}


def _largest_first(group: tuple[str, Sequence[Case]]) -> tuple[int, int, str]:
    return -sum(case.truth.positive is True for case in group[1]), -len(group[1]), group[0]


def _row(group: str, name: str, cases: Sequence[Case], bar: float) -> Row:
    positives = [case for case in cases if case.truth.positive]
    clean = [case for case in cases if not case.truth.positive]
    hits = [(case, case.result.alarms[bar]) for case in positives if bar in case.result.alarms]
    alarms = sum(bar in case.result.alarms for case in clean)
    after = [(case, delay) for case, _ in hits if (delay := delay_of(case, bar)) is not None]
    late = [(case, delay) for case, delay in after if delay >= 0]
    leaked = [alarm.leaked for case, alarm in hits if case.truth.onset is not None]
    tokens = sum(case.result.tokens for case in clean)
    return Row(
        group=group,
        name=name,
        positives=len(positives),
        hits=len(hits),
        recall=ratio(len(hits), len(positives)),
        clean=len(clean),
        alarms=alarms,
        far=ratio(alarms, len(clean)),
        far_interval=wilson(alarms, len(clean)),
        per_million=ratio(alarms * 1e6, tokens),
        agreement=ratio(len(hits) + len(clean) - alarms, len(cases)),
        delay=_spread([delay for _, delay in late]),
        copies=_spread([delay / case.truth.period for case, delay in late if case.truth.period]),
        timely=len(late),
        early=ratio(len(after) - len(late), len(after)),
        leaked=quantile(leaked, 0.5),
        leaked_total=sum(leaked),
        saved=quantile([alarm.saved for _, alarm in hits], 0.5),
        saved_share=quantile([alarm.saved / case.record.tokens for case, alarm in hits], 0.5),
        saved_total=sum(alarm.saved for _, alarm in hits),
    )


def delay_of(case: Case, bar: float) -> float | None:
    """Code points from the onset to the alarm; negative for one before it."""
    alarm, onset = case.result.alarms.get(bar), case.truth.onset
    return None if alarm is None or onset is None else float(alarm.at - onset)


def _spread(values: Sequence[float]) -> list[float] | None:
    """The quantiles of `SHARES`."""
    return [found for share in SHARES if (found := quantile(values, share)) is not None] or None
