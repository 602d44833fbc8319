"""Reading metrics in tests."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families


def total(source: CollectorRegistry | str, name: str, /, **labels: str) -> float:
    """The sum of the samples `name` whose labels include `labels`, in a registry or in what a scraper gets; 0 if there
    is none."""
    families: Iterable[Metric] = text_string_to_metric_families(source) if isinstance(source, str) else source.collect()
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
