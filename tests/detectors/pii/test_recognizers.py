from __future__ import annotations

import pytest

from detectors.pii import PiiSettings
from detectors.pii.entities import ENTITIES, MODEL
from detectors.pii.recognizers import Hit, Recognizers


def looks(*entities: str, **settings: object) -> Recognizers:
    return Recognizers(PiiSettings(entities=entities, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [label for label in ENTITIES if label not in {*MODEL, "SECRET"}])
def test_every_label_has_a_recognizer(label: str) -> None:
    assert looks(label).look("nothing to see", 0, "") == []


def test_what_begins_before_the_window_is_not_told() -> None:
    made = looks("CREDIT_CARD")
    assert made.look("4111111111111111 4012888888881881", 17, "") == [Hit("CREDIT_CARD", 17, 33, 1.0)]
    assert made.look("4111111111111111", 4, "") == []


def test_a_refused_match_does_not_hide_the_next() -> None:
    assert looks("CREDIT_CARD").look("4000 4111 1111 1111 1111", 0, "") == [Hit("CREDIT_CARD", 5, 24, 1.0)]


def test_context_words_stand_among_the_five_before() -> None:
    made = looks("PHONE_NUMBER")
    assert made.look("2125550123", 0, "") == []
    assert made.look("2125550123", 0, "my phone is, as you know, ") == [Hit("PHONE_NUMBER", 0, 10, 0.55)]
    assert made.look("2125550123", 0, "my phone is, as you all know, ") == []
    assert made.look("2125550123", 0, "saxophone ") == []
    assert made.look("(212) 555-0123", 0, "Telephone: ") == [Hit("PHONE_NUMBER", 0, 14, 0.75)]


def test_thresholds_hold_and_the_refused_stays_refused() -> None:
    assert looks("IP_ADDRESS", threshold=0.7).look("93.184.216.34", 0, "") == []
    assert looks("PHONE_NUMBER", threshold=0.0).look("x = 212-555-0123", 0, "") == []
    assert looks("PHONE_NUMBER", threshold=0.0).look("2125550123", 0, "") == [Hit("PHONE_NUMBER", 0, 10, 0.2)]


def test_of_overlapping_hits_the_outer_and_more_certain_stay() -> None:
    both = looks("EMAIL_ADDRESS", "URL")
    assert both.look("ada@example.org", 0, "") == [Hit("EMAIL_ADDRESS", 0, 15, 1.0)]


def test_ibans_are_found_anywhere_and_in_lower_case() -> None:
    made = looks("IBAN_CODE")
    assert made.look("gb29nwbk60161331926819", 0, "") == [Hit("IBAN_CODE", 0, 22, 1.0)]
    assert made.look("AB12 3456 GB29 NWBK 6016 1331 9268 19", 0, "") == [Hit("IBAN_CODE", 10, 37, 1.0)]


def test_national_numbers_are_of_the_regions() -> None:
    assert looks("PHONE_NUMBER").look("020-7946-0958", 0, "") == []
    assert looks("PHONE_NUMBER", phone_regions=("GB",)).look("020-7946-0958", 0, "") == [
        Hit("PHONE_NUMBER", 0, 13, 0.4)
    ]
    assert looks("PHONE_NUMBER", phone_regions=()).look("+44 20 7946 0958 12", 0, "") == [
        Hit("PHONE_NUMBER", 0, 16, 0.4)
    ]
