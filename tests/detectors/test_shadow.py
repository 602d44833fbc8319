from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors._shadow import Raw, Shadow, shadow
from tests.support.engine import rechunk

CHARACTERS = (
    "aB z.\n\x00\x08éß\u0301\u0336\u200b\u200d\u202e\ufe0f\U000e0061\u2800\u3164ﬁⅣ\u1100\u1161\u11a8각Ａ𝓯сС笨ثİ🖕"
)
texts = st.lists(st.one_of(st.sampled_from(CHARACTERS), st.characters()), max_size=120).map("".join)
sizes = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("Plain Text.\n", "plain text.\n"),
        ("Ｋｉｌｌ", "kill"),
        ("𝓴𝖎𝗅𝚕", "kill"),
        ("ⓚⓘⓛⓛ 🅺🅸🅻🅻", "kill kill"),
        ("k\u200bi\u2060l\u00adl", "kill"),
        ("k\u0336i\u0301l\u034fl\ufe0f", "kill"),
        ("k\U000e0061ill", "kill"),
        ("кіll", "kill"),
        ("\u202ekill\u202c", "kill"),
        ("k\u2800ill\u3164er", "k\u2800ill\u2800er"),
        ("Straße ﬁne", "strasse fine"),
        ("Łódź øre", "lodz ore"),
        ("\u1100\u1161\u11a8", "각"),
        ("ВОТ вот", "bot bot"),
        ("a\x00b\x08c\x7f", "abc"),
        ("笨蛋", "笨蛋"),
    ],
)
def test_is_what_a_reader_sees(raw: str, seen: str) -> None:
    assert shadow(raw) == seen


def read(text: str, pieces: list[str]) -> tuple[str, list[tuple[int, int]]]:
    view = Shadow()
    for piece in pieces:
        view.take(piece)
        assert view.raw(view.end) <= len(text)
    view.settle()
    return view.text, [view.source(at, at + 1) for at in range(len(view.text))]


@given(texts, sizes)
def test_does_not_depend_on_the_chunks(text: str, sizes: list[int]) -> None:
    assert read(text, rechunk(text, sizes)) == read(text, [text])


@given(texts)
def test_every_character_comes_from_where_the_map_says(text: str) -> None:
    seen, sources = read(text, [text])
    assert all(0 <= start < end <= len(text) for start, end in sources)
    assert sources == sorted(sources)
    for char, (start, end) in zip(seen, sources, strict=True):
        assert char in shadow(text[start:end])


@given(texts)
def test_seen_twice_is_seen_once(text: str) -> None:
    """What is compared with a shadow is put through it first, so the shadow of a shadow must be the same."""
    once = shadow(shadow(text))
    assert shadow(once) == once


def test_a_character_waits_for_what_may_combine_with_it() -> None:
    view = Shadow()
    view.take("abc")
    assert view.text == "ab"
    assert view.raw(view.end) == 2
    view.take("\u0301")
    assert view.text == "ab"
    view.take("d")
    assert view.text == "abc"
    assert view.source(2, 3) == (2, 4)


def test_no_run_of_marks_is_waited_for_without_end() -> None:
    view = Shadow()
    view.take("x" + "\u0301" * 1_000)
    assert view.text == "x"
    assert 1_001 - view.raw(view.end) <= 33


@pytest.mark.parametrize("view", [Shadow(), Raw()])
def test_offsets_stay_when_the_beginning_is_forgotten(view: Shadow | Raw) -> None:
    view.take("abcdefgh!")
    view.forget(5)
    assert (view.base, view.text[:3]) == (5, "fgh")
    assert view.source(5, 7) == (5, 7)
    view.take("ij")
    assert view.source(8, 9) == (8, 9)
    view.forget(2)
    assert view.base == 5
