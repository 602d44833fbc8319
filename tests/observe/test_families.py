"""Every metric of the catalogue is registered, with its labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from guard.observe.catalogue import CATALOGUE
from guard.observe.families import Families


def test_the_whole_catalogue_is_registered_once() -> None:
    registry = CollectorRegistry()
    families = Families(registry)
    registered = {family.name: family.type for family in registry.collect()}
    assert registered == {spec.full_name.removesuffix("_total"): spec.kind for spec in CATALOGUE}
    assert len(vars(families)) == len(CATALOGUE)
