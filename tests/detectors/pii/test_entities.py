from __future__ import annotations

import pytest

from detectors.pii.entities import COUNTRIES, ENTITIES, GENERAL, NATIONAL, SPACED, UNSPACED
from tests.support.personal import POSITIVE


def test_labels_are_shouted_and_countries_are_in_them() -> None:
    assert all(label == label.upper() and entity.meaning for label, entity in ENTITIES.items())
    for label, entity in NATIONAL.items():
        assert label.startswith(f"{entity.country.upper()}_")
        assert entity.country in COUNTRIES


@pytest.mark.parametrize("label", list(NATIONAL))
def test_recognizers_are_presidios_and_know_the_label(label: str) -> None:
    from presidio_analyzer import predefined_recognizers

    assert getattr(predefined_recognizers, NATIONAL[label].recognizer)().supported_entities == [label]


def test_what_is_looked_at_is_never_asked_for_more_digits_than_it_has() -> None:
    assert set(POSITIVE) == set(GENERAL)
    for label, values in POSITIVE.items():
        for value in values:
            assert sum(map(str.isdecimal, value)) >= GENERAL[label].digits
            assert label == "SECRET" or len(value) <= (SPACED if " " in value else UNSPACED)
