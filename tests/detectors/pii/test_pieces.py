from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pii.entities import SENTENCE, SPACED, UNSPACED
from detectors.pii.pieces import Pieces, Sentences, Window
from tests.support.engine import rechunk

PARTS = ("4111 ", "GB29 ", "NWBK", "word ", " ", "\n", ",", "x" * 90, "12 34 ", "(2", "A", "a", ". ", "? ", '."', "！")
texts = st.lists(st.sampled_from(PARTS), max_size=60).map("".join)
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=5)


def windows(cutter: Pieces | Sentences, pieces: Sequence[str]) -> list[Window]:
    text = ""
    found: list[Window] = []
    for piece in pieces:
        text += piece
        found += cutter.cut(text, 0)
        assert cutter.open <= len(text)
    return [*found, *cutter.rest(len(text))]


def said(text: str) -> list[str]:
    return [text[start:end] for start, _, end in windows(Pieces(), [text])]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two, three", ["one", "two", "three"]),
        ("call +1 (212) 555-0123 now", ["call", "+1 (212) 555-0123", "now"]),
        ("GB29 NWBK 6016 is", ["GB29 NWBK 6016", "is"]),
        ("in 2024 The 4 GB", ["in", "2024", "The", "4 GB"]),
        ("4111  1111\n2222", ["4111", "1111", "2222"]),
        ("4 HELLO 5", ["4", "HELLO 5"]),
        ('{"a":"b@c.de"}', ["{", "a", ":", "b@c.de", "}"]),
    ],
)
def test_ends_where_no_entity_goes_on(text: str, pieces: list[str]) -> None:
    assert said(text) == pieces


@given(texts, sizes)
def test_cuts_depend_on_the_characters_alone(text: str, sizes: list[int]) -> None:
    for cutter in (Pieces, Sentences):
        assert windows(cutter(), rechunk(text, sizes)) == windows(cutter(), [text])


@given(texts)
def test_windows_are_bounded_and_leave_nothing_out(text: str) -> None:
    seen: set[int] = set()
    for start, upto, end in windows(Pieces(), [text]):
        assert start < upto <= end
        assert upto == end or end - upto in (SPACED, UNSPACED)
        assert end - start <= 2 * UNSPACED
        seen.update(range(start, end))
    assert {text[at] for at in range(len(text)) if at not in seen} <= set(' \n,<>;\\"')


@given(texts)
def test_sentences_are_bounded_and_leave_nothing_out(text: str) -> None:
    at = 0
    for start, upto, end in windows(Sentences(), [text]):
        assert (start, upto) == (at, end)
        assert end - start <= SENTENCE
        at = end
    assert at == len(text)


def test_a_chain_of_numbers_and_a_long_word_are_cut_with_an_overlap() -> None:
    chain = windows(Pieces(), ["12 " * 100 + "x "])
    assert [each.end - each.start for each in chain[:2]] == [128, 130]
    assert chain[1].start == chain[0].upto == chain[0].end - SPACED
    word = windows(Pieces(), ["x" * 1_200 + " "])
    assert word[:2] == [Window(0, UNSPACED, 2 * UNSPACED), Window(UNSPACED, 2 * UNSPACED, 3 * UNSPACED)]
    assert word[-1].end == 1_200


def test_a_sentence_ends_at_its_mark() -> None:
    text = 'One. Two "three." Is 3.14 it? yes\nno'
    assert [text[start:end] for start, _, end in windows(Sentences(), [text])] == [
        "One.",
        ' Two "three."',
        " Is 3.14 it?",
        " yes\n",
        "no",
    ]
