from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pii.view import Seen
from tests.support.engine import rechunk

CHARACTERS = "aB 4\\\\\\un0/\"'\n卡４\u200b\u2011é\ud83d\u2800"
texts = st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters()), max_size=80)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def read(text: str, pieces: list[str]) -> tuple[str, list[tuple[int, int]]]:
    view = Seen()
    for piece in pieces:
        view.take(piece)
        assert view.raw(view.end) <= len(text)
    view.settle()
    assert view.raw(view.end) == len(text)
    return view.text, [view.source(at, at + 1) for at in range(len(view.text))]


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("Ada@Example.org", "Ada@Example.org"),
        ("卡号４１１１\u2011１１１１。", "  4111-1111 "),
        ("41\u200b11", "4111"),
        ("a\u2800b", "ab"),
        ("\\u0041", "\\u0041"),
    ],
)
def test_shows_what_a_reader_sees(raw: str, seen: str) -> None:
    assert read(raw, [raw])[0] == seen


@given(texts, sizes)
def test_does_not_depend_on_the_chunks(text: str, sizes: list[int]) -> None:
    assert read(text, rechunk(text, sizes)) == read(text, [text])


@given(texts)
def test_every_character_comes_from_where_the_map_says(text: str) -> None:
    seen, sources = read(text, [text])
    assert all(0 <= start < end <= len(text) for start, end in sources)
    assert sources == sorted(sources)
    for char, (start, end) in zip(seen, sources, strict=True):
        if end - start == 1 and char.isascii() and char not in " -":
            assert text[start] == char or not text[start].isascii()


@given(texts, st.integers(0, 80))
def test_what_was_forgotten_changes_nothing(text: str, at: int) -> None:
    seen, sources = read(text, [text])
    view = Seen()
    view.take(text)
    view.forget(min(at, view.end))
    view.settle()
    assert view.text == seen[view.base :]
    assert [view.source(here, here + 1) for here in range(view.base, view.end)] == sources[view.base :]
