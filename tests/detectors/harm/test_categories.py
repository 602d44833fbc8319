from __future__ import annotations

import re

from detectors.harm.categories import CATEGORIES, NAMED_IN_DATA
from detectors.harm.model import shipped_model


def test_ids_are_lower_snake_case_and_explained() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in CATEGORIES)
    assert all(CATEGORIES.values())


def test_every_category_has_data_and_the_shipped_model_knows_it() -> None:
    assert sorted(NAMED_IN_DATA.values()) == sorted(CATEGORIES)
    assert list(shipped_model().card.categories) == list(CATEGORIES)
