from __future__ import annotations

import pytest

from detectors.pii import forms


@pytest.mark.parametrize(
    ("number", "known"),
    [
        ("4111 1111 1111 1111", True),
        ("41111111111111", False),
        ("2221000000000009", True),
        ("2220000000000000", False),
        ("371449635398431", True),
        ("3714496353984310", False),
        ("1000000000000008", False),
        ("4444444444444444", False),
    ],
)
def test_a_card_has_an_issuer_and_its_length(number: str, known: bool) -> None:
    assert forms.is_card(number, "", "") is known


@pytest.mark.parametrize(
    ("address", "before", "after", "public"),
    [
        ("93.184.216.34", "at ", " now", True),
        ("93.184.216.34", "version ", "", False),
        ("93.184.216.34", "v", "", False),
        ("93.184.216.34", "1.", "", False),
        ("93.184.216.34", "", ".5", False),
        ("10.1.2.3", "", "", False),
        ("8.8.8.8", "", "", False),
        ("1.2.3.4", "", "", False),
        ("2a00:1450:4001:81b::200e", "", "", True),
        ("fe80::1", "", "", False),
        ("2001:db8::1", "", "", False),
        ("::ffff:93.184.216.34", "", "", True),
        ("::ffff:10.0.0.1", "", "", False),
    ],
)
def test_an_address_is_public_and_no_version(address: str, before: str, after: str, public: bool) -> None:
    assert forms.is_address(address, before, after) is public


@pytest.mark.parametrize(
    ("number", "before", "after", "score"),
    [
        ("+44 20 7946 0958", "call ", " or", 0.4),
        ("(212) 555-0123", "", ".", 0.4),
        ("2125550123", "", "", 0.2),
        ("212 555 0123", "", "", 0.2),
        ("212 555 0123", "12 ", "", 0.0),
        ("0044 20 7946 0958", "", "", 0.4),
        ("2542497.917", "", "", 0.0),
        ("212-555-0123", "x = ", "", 0.0),
        ("212-555-0123", "", " = y", 0.0),
        ("212-555-0123", "3.", "", 0.0),
        ("212-555-0123", "", ".5", 0.0),
        ("+ 12125550123", "3 ", "", 0.0),
        ("+12125550123", "a", "", 0.0),
    ],
)
def test_a_telephone_number_is_no_sum(number: str, before: str, after: str, score: float) -> None:
    assert forms.phone_score(number, before, after) == score
    assert forms.is_phone(number, before, after) is (score > 0)


@pytest.mark.parametrize("number", ["536-22-1234", "536221234", "123-45-6789"])
def test_social_security_numbers(number: str) -> None:
    assert forms.is_social_security(number)


@pytest.mark.parametrize(
    "number",
    ["000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000", "111-11-1111", "123-45.6789"],
)
def test_numbers_that_were_never_given(number: str) -> None:
    assert not forms.is_social_security(number)


def test_three_numbers_of_a_list_are_none() -> None:
    assert forms.is_ssn("536 22 1234", "it is ", ".")
    assert forms.is_ssn("536-22-1234", "1 ", " 2")
    assert not forms.is_ssn("536 22 1234", "100 ", "")
    assert not forms.is_ssn("536 22 1234", "", " 7")
