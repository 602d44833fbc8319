from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pii.view import Seen, Unescaped
from tests.support.engine import rechunk

CHARACTERS = "aB 4\\\\\\un0/\"'\n卡４\u200b\u2011é\ud83d\u2800"
texts = st.text(st.one_of(st.sampled_from(CHARACTERS), st.characters()), max_size=80)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def read(text: str, pieces: list[str], *, json: bool) -> tuple[str, list[tuple[int, int]]]:
    view = Seen(json=json)
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
    assert read(raw, [raw], json=False)[0] == seen


@given(st.text(max_size=40))
def test_undoes_what_json_does(text: str) -> None:
    for escaped in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        whole = Unescaped()
        said = whole.take(escaped) + whole.settle()
        assert said.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == text.encode(
            "utf-16", "surrogatepass"
        ).decode("utf-16", "replace")


@given(texts, sizes, st.booleans())
def test_does_not_depend_on_the_chunks(text: str, sizes: list[int], json: bool) -> None:
    assert read(text, rechunk(text, sizes), json=json) == read(text, [text], json=json)


@given(texts, st.booleans())
def test_every_character_comes_from_where_the_map_says(text: str, json: bool) -> None:
    seen, sources = read(text, [text], json=json)
    assert all(0 <= start < end <= len(text) for start, end in sources)
    assert sources == sorted(sources)
    for char, (start, end) in zip(seen, sources, strict=True):
        if end - start == 1 and char.isascii() and char not in " -":
            assert text[start] == char or not text[start].isascii() or text[start - 1] == "\\"


@given(texts, st.integers(0, 80), st.booleans())
def test_what_was_forgotten_changes_nothing(text: str, at: int, json: bool) -> None:
    seen, sources = read(text, [text], json=json)
    view = Seen(json=json)
    view.take(text)
    view.forget(min(at, view.end))
    view.settle()
    assert view.text == seen[view.base :]
    assert [view.source(here, here + 1) for here in range(view.base, view.end)] == sources[view.base :]
