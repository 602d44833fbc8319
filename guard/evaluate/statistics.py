"""The statistics of an evaluation. Pure functions over numbers; undefined figures are `None`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

Z_95: Final = 1.959964
"""The standard normal distribution's 97.5 % quantile."""


class Interval(NamedTuple):
    low: float
    high: float


class Scored(NamedTuple):
    """A record's highest score, and whether it is a positive."""

    score: float
    positive: bool


class Point(NamedTuple):
    """What stopping at `threshold` and above would do. `far` is the share of clean records that are stopped."""

    threshold: float
    recall: float
    far: float
    alarms: int


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def wilson(hits: int, trials: int, z: float = Z_95) -> Interval | None:
    """Wilson's score interval for a proportion (E. B. Wilson, 1927), by default at 95 %."""
    if not trials:
        return None
    share = hits / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == trials else min(1.0, middle + half)
    return Interval(low, high)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The `share` quantile, linear between the two nearest values (type 7 of Hyndman and Fan, 1996)."""
    if not values:
        return None
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def operating_curve(scored: Iterable[Scored]) -> list[Point]:
    """Recall against false alarms at every score that occurs above 0, from the highest down."""
    ranked = sorted(scored, reverse=True)
    positives = sum(each.positive for each in ranked)
    clean = len(ranked) - positives
    hits = alarms = 0
    points = []
    for score, same in groupby(ranked, key=lambda each: each.score):
        if score <= 0:
            break
        for each in same:
            hits += each.positive
            alarms += not each.positive
        points.append(Point(score, hits / positives if positives else 0.0, alarms / clean if clean else 0.0, alarms))
    return points


def average_precision(scored: Iterable[Scored]) -> float | None:
    """Area under the precision-recall curve as a sum of steps, ties taken together, without interpolation."""
    ranked = sorted(scored, reverse=True)
    positives = sum(each.positive for each in ranked)
    if not positives:
        return None
    area = hits = seen = 0.0
    for _, same in groupby(ranked, key=lambda each: each.score):
        before = hits
        for each in same:
            seen += 1
            hits += each.positive
        area += (hits - before) / positives * hits / seen
    return area


def f1(hits: int, alarms: int, positives: int) -> float | None:
    """Harmonic mean of precision and recall, of `hits` and `alarms` (false ones only) over `positives`."""
    return ratio(2 * hits, hits + alarms + positives)
