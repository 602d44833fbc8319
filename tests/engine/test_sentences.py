"""Where sentences end."""

from __future__ import annotations

import pytest

from guard.engine.sentences import last_end


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("One. Two", " Two"),
        ("One. Two. ", " "),
        ("One. Two.", " Two."),
        ("It is 3.14 now", "It is 3.14 now"),
        ('He said "no." Then', " Then"),
        ("Really?! Yes", " Yes"),
        ("**Done.** So", " So"),
        ("一。二。三", "三"),
        ("「はい。」次", "次"),
        ("- one\n- two\n- th", "\n- th"),
        ("One.\n\nTwo", "\n\nTwo"),
        ("\nTwo", "Two"),
        ("no end here", "no end here"),
        ("", ""),
    ],
)
def test_the_last_sentence_that_is_over(text: str, rest: str) -> None:
    assert text[last_end(text, len(text)) :] == rest


@pytest.mark.parametrize(("end", "found"), [(0, 0), (3, 0), (4, 4), (5, 4), (8, 4), (9, 9), (10, 9), (-3, 0)])
def test_by_a_place_in_the_text(end: int, found: int) -> None:
    assert last_end("One. Two. Three", end) == found


def test_a_quotation_is_over_with_its_mark() -> None:
    assert [last_end("「一。」二", end) for end in (3, 4, 5)] == [0, 4, 4]


def test_it_looks_back_no_further_than_2000_code_points() -> None:
    assert last_end("One. " + "a" * 1_990, 1_995) == 4
    assert last_end("One. " + "a" * 3_000, 3_005) == 0
