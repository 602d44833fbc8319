from __future__ import annotations

import random

import pytest

from guard.evaluate.statistics import Point, Scored, average_precision, f1, operating_curve, quantile, ratio, wilson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [  # worked examples: Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson(hits: int, trials: int, low: float, high: float) -> None:
    found = wilson(hits, trials)
    assert found is not None
    assert found == pytest.approx((low, high), abs=5e-5)


def test_what_has_no_trials_has_no_figures() -> None:
    assert wilson(0, 0) is None
    assert ratio(0, 0) is None
    assert quantile([], 0.5) is None
    assert average_precision([Scored(0.5, False)]) is None
    assert f1(0, 0, 0) is None
    assert operating_curve([]) == []


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3], 0.9, 3), ([1, 2], 0.5, 1.5), ([5, 1, 3], 0.5, 3), ([0, 10], 0.1, 1), ([1, 2, 3, 4, 5], 0.9, 4.6)],
)
def test_quantiles_are_linear_between_values(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == pytest.approx(expected)


SCORED = [Scored(0.9, True), Scored(0.9, False), Scored(0.5, True), Scored(0.0, True), Scored(0.0, False)]


def test_the_curve_takes_ties_together_and_leaves_zero_out() -> None:
    assert operating_curve(SCORED) == [Point(0.9, 1 / 3, 0.5, 1), Point(0.5, 2 / 3, 0.5, 1)]


@pytest.mark.parametrize(
    ("scored", "expected"),
    [
        ([(0.9, True), (0.8, True), (0.1, False)], 1.0),
        ([(0.9, False), (0.1, True)], 0.5),
        ([(0.5, True), (0.5, False)], 0.5),
        ([(0.8, True), (0.6, False), (0.4, True)], 0.5 * 1 + 0.5 * 2 / 3),
    ],
)
def test_average_precision(scored: list[tuple[float, bool]], expected: float) -> None:
    assert average_precision([Scored(*each) for each in scored]) == pytest.approx(expected)


def test_the_order_of_records_does_not_matter() -> None:
    source = random.Random(7)
    scored = [Scored(round(source.random(), 1), source.random() < 0.3) for _ in range(300)]
    mixed = source.sample(scored, len(scored))
    assert average_precision(mixed) == pytest.approx(average_precision(scored) or 0.0)
    assert operating_curve(mixed) == operating_curve(scored)


@pytest.mark.parametrize(
    ("hits", "alarms", "positives", "expected"), [(10, 0, 10, 1.0), (5, 5, 10, 0.5), (0, 3, 10, 0.0)]
)
def test_f1(hits: int, alarms: int, positives: int, expected: float) -> None:
    assert f1(hits, alarms, positives) == pytest.approx(expected)
