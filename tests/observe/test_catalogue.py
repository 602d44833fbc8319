"""The catalogue is whole, and follows Prometheus' rules for names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from guard.observe import catalogue
from guard.observe.catalogue import CATALOGUE, LABELS, Counts, Spread, State


def test_names_are_distinct_and_all_are_listed() -> None:
    assert len({spec.name for spec in CATALOGUE}) == len(CATALOGUE)
    tree = ast.parse(Path(catalogue.__file__).read_text(encoding="utf-8"))
    written = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Counts", "State", "Spread")
    ]
    assert len(written) == len(CATALOGUE)


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_a_metric_is_named_as_prometheus_wants_it(spec: Counts | State | Spread) -> None:
    assert spec.full_name == f"guard_{spec.name}"
    assert isinstance(spec, Counts) == spec.name.endswith("_total")
    assert spec.says.endswith(".")
    assert "\n" not in spec.says
    if isinstance(spec, Spread):
        assert spec.unit, "a histogram has a unit"
        assert list(spec.buckets) == sorted(set(spec.buckets))


@pytest.mark.parametrize(
    ("spec", "unit"),
    [
        (catalogue.ADDED, "seconds"),
        (catalogue.HELD, "characters"),
        (catalogue.SAVED, "tokens"),
        (catalogue.LOADED_AT, "seconds"),
        (catalogue.LOOPS, ""),
    ],
)
def test_units_are_in_the_name(spec: Counts | State | Spread, unit: str) -> None:
    assert spec.unit == unit


def test_every_label_is_explained_and_none_besides() -> None:
    assert set(LABELS) == {label for spec in CATALOGUE for label in spec.labels}
