from __future__ import annotations

from collections.abc import Sequence

import pytest

from guard.contract import STOP, WARN
from guard.evaluate.rows import Case, Row, delay_of, rows_of
from tests.support.measured import case


def only(cases: Sequence[Case], bar: float = STOP) -> Row:
    return rows_of(cases, bar)[0]


def test_rates_and_their_interval() -> None:
    row = only([case(True, at=50), case(True), case(False, at=10), *(case(False) for _ in range(9))])
    assert (row.positives, row.hits, row.recall) == (2, 1, 0.5)
    assert (row.clean, row.alarms, row.far) == (10, 1, 0.1)
    assert row.far_interval == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert row.per_million == pytest.approx(1e6 / (10 * 100))
    assert row.agreement == pytest.approx(10 / 12)


def test_delays_are_of_alarms_at_or_after_the_onset() -> None:
    cases = [case(True, at=at, onset=40, period=20) for at in (30, 40, 60, 140)]
    row = only([*cases, case(True, at=70), case(True, onset=5)])
    assert [delay_of(each, STOP) for each in cases] == [-10, 0, 20, 100]
    assert (row.timely, row.early) == (3, 0.25)
    assert row.delay == pytest.approx([4, 20, 84])
    assert row.copies == pytest.approx([0.2, 1, 4.2])


def test_what_is_leaked_and_saved() -> None:
    row = only([case(True, at=50, onset=40, leaked=3, saved=50), case(True, at=50, onset=40, leaked=5, saved=25)])
    assert (row.leaked, row.leaked_total) == (4, 8)
    assert (row.saved, row.saved_total, row.saved_share) == (37.5, 75, 0.375)


def test_a_bar_counts_what_reaches_it() -> None:
    cases = [case(True, at=9, score=0.5), case(True, at=9, score=0.9)]
    assert only([*cases]).hits == 1
    assert only([*cases], WARN).hits == 2


def test_groups_the_largest_first_and_none_that_says_the_same_as_all() -> None:
    cases = [
        case(True, kind="circular", source="x"),
        case(True, kind="exact", source="y", at=3),
        case(True, kind="exact", source="y", at=3),
        case(False, kind="grid", source="x"),
        case(False, source="x"),
    ]
    rows = rows_of(cases, STOP)
    assert [(row.group, row.name, row.positives, row.clean) for row in rows] == [
        ("all", "all", 3, 2),
        ("kind", "exact", 2, 0),
        ("kind", "circular", 1, 0),
        ("source", "y", 2, 0),
        ("source", "x", 1, 2),
    ]
    assert rows[2].recall == 0
    assert rows[1].far is None


def test_nothing_has_no_figures() -> None:
    row = only([])
    assert (row.recall, row.far, row.far_interval, row.per_million, row.delay, row.leaked) == (None,) * 6
