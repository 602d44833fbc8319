from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from guard.evaluate.charts import HEIGHT, WIDTH, curve_chart, delay_chart
from guard.evaluate.statistics import Point

POINTS = [Point(0.95, 0.2, 0.0, 0), Point(0.9, 0.8, 0.01, 1), Point(0.3, 0.9, 0.5, 50)]


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def titles(svg: str) -> list[str]:
    return [each.text or "" for each in drawn(svg).iter("title")]


def test_dots_mark_the_thresholds() -> None:
    assert titles(curve_chart(POINTS, 100, (0.9, 0.5))) == [
        "0.9 or more: recall 80 %, 1 of 100 clean stopped",
        "0.5 or more: recall 80 %, 1 of 100 clean stopped",
    ]


def test_the_curve_rises_to_the_right_and_stays_inside() -> None:
    line = next(drawn(curve_chart(POINTS, 100, ())).iter("polyline")).attrib["points"]
    places = [tuple(float(part) for part in pair.split(",")) for pair in line.split()]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


@pytest.mark.parametrize(("points", "clean"), [([], 10), (POINTS, 0)])
def test_no_curve_without_points_or_clean_records(points: list[Point], clean: int) -> None:
    assert curve_chart(points, clean, (0.9,)) == ""


def test_every_delay_is_in_one_bar() -> None:
    delays = [0, 5, 5, 10, 90, 100, 5_000, -3, -1]
    found = titles(delay_chart(delays))
    assert found[0] == "2 before the onset"
    assert sum(int(each.split()[0]) for each in found) == len(delays)
    assert found[-1].endswith(" on")


def test_the_middle_and_the_slow_tenth_are_marked() -> None:
    texts = [each.text for each in drawn(delay_chart(list(range(101)))).iter("text")]
    assert "p50 50" in texts
    assert "p90 90" in texts


@pytest.mark.parametrize("delays", [[], [-5]])
def test_no_chart_without_late_alarms(delays: list[float]) -> None:
    assert delay_chart(delays) == ""


def test_alarms_at_the_onset_only() -> None:
    assert titles(delay_chart([0, 0]))[0].startswith("2 from 0 to")
