from __future__ import annotations

import unicodedata

from detectors._confusables import BLANK, BLANKS, LATIN


def test_every_look_alike_is_one_foreign_letter_for_a_latin_one() -> None:
    for source, target in LATIN.items():
        assert len(source) == 1
        assert not source.isascii()
        assert len(target) == 1
        assert "a" <= target <= "z"


def test_no_letter_is_listed_that_nfkc_reduces_by_itself() -> None:
    assert [char for char in LATIN if unicodedata.normalize("NFKC", char).isascii()] == []


def test_both_cases_of_cyrillic_and_greek_letters_are_known() -> None:
    for word in ("сор", "вот", "нет", "οικ"):
        assert all(char in LATIN and char.upper() in LATIN for char in word)


def test_the_blank_is_one_of_the_blanks() -> None:
    assert BLANK in BLANKS
    assert all(not char.isspace() for char in BLANKS)
