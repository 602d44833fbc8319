"""The Grafana dashboard: up to date, and about metrics that exist. Prometheus itself tries its queries elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("grafana_foundation_sdk", reason="the dashboard is generated with pip install 'qwq-guard[dev]'")

from deploy.grafana.dashboard import MARKS, OUTPUT, ROWS, build
from guard.observe.catalogue import CATALOGUE

QUERIES = [query.expr for _, panels in ROWS for panel in panels for query in panel.queries]
QUERIES += [mark.expr for mark in MARKS if "guard_" in mark.expr]
LABELS: Mapping[str, set[str]] = {spec.full_name: {*spec.labels, "job"} for spec in CATALOGUE}


def test_the_json_is_what_its_source_makes() -> None:
    assert OUTPUT.read_text(encoding="utf-8") == build(), "run: python -m deploy.grafana.dashboard"


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_about_metrics_that_exist(query: str) -> None:
    for side in query.split(" / "):
        names = re.findall(r"guard_\w+", side)
        assert names or "up{" in side
        for name in names:
            known = LABELS[name.removesuffix("_bucket")]
            grouped = {word for group in re.findall(r"by \(([^)]*)\)", side) for word in group.split(", ")}
            assert {*re.findall(r'(\w+)!?=~?"', side), *grouped} <= known | {"le"}


def test_what_happened_is_marked_on_every_panel() -> None:
    marks = {mark["name"]: mark for mark in json.loads(build())["annotations"]["list"]}
    assert set(marks) == {"Alerts", "Policy changes"}
    for mark in marks.values():
        assert mark["enable"]
        assert mark["step"] == "60s"
        assert mark["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert mark["titleFormat"]


def test_what_is_counted_once_per_channel_is_not_summed_over_channels() -> None:
    for query in QUERIES:
        for name in ("loops", "language_switches", "runaways", "harmful"):
            if f"guard_{name}_total" in query:
                assert query.startswith("sum by (channel) "), query


def test_every_panel_has_a_place_of_its_own_and_says_what_it_is_for() -> None:
    panels: list[dict[str, Any]] = json.loads(build())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["targets"]
