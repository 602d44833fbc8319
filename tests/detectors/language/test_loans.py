from __future__ import annotations

import pytest

from detectors.language.loans import ends_loan, loan_length


@pytest.mark.parametrize(
    ("words", "length"),
    [
        ("it was a fait accompli", 2),
        ("a certain je ne sais quoi", 4),
        ("post hoc ergo propter hoc", 5),
        ("and vice versa", 2),
        ("versa", 0),
        ("we know what to do", 0),
    ],
)
def test_the_longest_phrase_at_the_end_counts(words: str, length: int) -> None:
    assert loan_length(words.split()) == length


def test_only_last_words_may_end_a_loan() -> None:
    assert ends_loan("vivre")
    assert not ends_loan("joie")
