from __future__ import annotations

from typing import Any

import pytest

from detectors.pii import PiiSettings
from detectors.pii.entities import GENERAL


def test_defaults_are_what_needs_no_asking() -> None:
    assert set(PiiSettings().labels) == set(GENERAL)
    assert PiiSettings().bar("PHONE_NUMBER") == 0.4


def test_countries_and_a_model_come_on_top() -> None:
    settings = PiiSettings(entities=("SECRET",), countries=("uk",), model_entities=("PERSON", "NRP"))
    assert list(settings.labels) == ["SECRET", "UK_NHS", "UK_NINO"]
    assert list(PiiSettings(entities=(), spacy_model="x").labels) == ["PERSON"]
    assert settings.labels["UK_NHS"] == "a British health service number"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"entities": ("CREDIT_CRAD",)}, "entities: there is no `CREDIT_CRAD`; there are CREDIT_CARD,"),
        ({"entities": ("PERSON",)}, r"there is no `PERSON` \(set spacy_model, and list it under model_entities\)"),
        ({"model_entities": ("SECRET",)}, "model_entities: there is no `SECRET`"),
        ({"countries": ("xx",)}, "countries: there is no `xx`; there are au,"),
        ({"thresholds": {"CARD": 0.5}}, "thresholds: there is no `CARD`"),
        ({"thresholds": {"URL": 1.5}}, "URL: a threshold is 0 to 1, not 1.5"),
        ({"threshold": -1.0}, "threshold: a threshold is 0 to 1"),
        ({"phone_regions": ("usa",)}, "phone_regions: `usa` is not an ISO 3166 code"),
        ({"entities": ()}, "there is nothing to look for"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PiiSettings(**given)
