from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pattern.matcher import expression
from detectors.pattern.regex import LONGEST, bounded, literal

EXPRESSIONS = (
    r"foo\b",
    r"\bab{1,3}c",
    r"a(?:b|cd|cde)f?",
    r"[a-c]{2,4}d",
    r"(?i)AB",
    r"^ab",
    r"ab$",
    r"(a|b)(c|d){2}",
    r"a.c",
    r"a[^b]c",
    r"a\d{1,2}",
    r"(?:ab){2}\B",
)


@pytest.mark.parametrize(
    ("source", "max_length", "shortest", "longest"),
    [
        ("abc", None, 3, 3),
        (r"\ba{2,5}b?\b", None, 2, 6),
        ("a+b", 20, 2, 20),
        ("a+b*c+", 20, 2, 18),
        (r"key=\S+", 60, 5, 60),
        ("(?:ab|cde)f", None, 3, 4),
        ("(?:a+,)+", 30, 2, 30),
        ("x{3,}", 2_000, 3, 1_000),
    ],
)
def test_bounds_are_computed(source: str, max_length: int | None, shortest: int, longest: int) -> None:
    piece = bounded(source, max_length=max_length, shadow=False)
    assert (piece.shortest, piece.longest) == (shortest, longest)
    expression(piece.full)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a+", "no upper limit of length; give max_length"),
        ("a*", "no upper limit"),
        ("(?:a{2,})b", "no upper limit"),
        ("a?", "matches the empty text"),
        ("(", "cannot be read: missing"),
        (r"(?=a)b", "look-around"),
        (r"(a)\1", "no references"),
        (r"\pL", "cannot be read: bad escape"),
        ("[[:alpha:]]", "cannot be read"),
        ("a{,3}", "write {0,n}"),
        (f"a{{{LONGEST + 1}}}", f"more than {LONGEST}; shorten it"),
    ],
)
def test_what_cannot_be_bounded_is_told(source: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        bounded(source, max_length=None, shadow=False)


def test_a_limit_that_is_too_low_is_told() -> None:
    with pytest.raises(ValueError, match="matches up to 6 characters, more than 3"):
        bounded("abcdef+", max_length=3, shadow=False)


@given(st.sampled_from(EXPRESSIONS), st.text("abcdefoAB1 \n", max_size=12))
def test_means_what_it_meant_to_python(source: str, text: str) -> None:
    piece = bounded(source, max_length=None, shadow=False)
    found = expression(piece.full).search(text)
    # Python takes the leftmost alternative, RE2 is asked for the longest match; where it starts is the same.
    # At `$` Python also looks before a last line end.
    expected = re.search(source.replace("$", r"\Z"), text)
    assert (found and found.start()) == (expected and expected.start())
    if found:
        assert re.fullmatch(source.strip(r"^$").replace(r"\b", "").replace(r"\B", ""), found.group())


@given(st.sampled_from(EXPRESSIONS), st.text("abcdefoAB1 ", max_size=8), st.text("abcdefoAB1 ", max_size=8))
def test_every_match_that_text_to_come_completes_was_open(source: str, before: str, after: str) -> None:
    piece = bounded(source, max_length=None, shadow=False)
    compiled: Any = expression(piece.full)
    opened = expression(f"(?:{piece.opening})?\\z").search(before).start()
    whole = compiled.search(before + after)
    early = compiled.search(before)
    if whole and whole.start() < opened:
        assert early is not None
        assert early.span() == whole.span()
    if early and early.start() < opened:
        assert whole is not None
        assert whole.span() == early.span()


def test_text_that_cannot_begin_a_match_is_not_open() -> None:
    opening = expression(f"(?:{bounded('password', max_length=None, shadow=False).opening})?\\z")
    assert opening.search("my pass").start() == 3
    assert opening.search("my passport").start() == 11
    assert opening.search("my password").start() == 11


def test_a_literal_is_taken_by_the_letter() -> None:
    assert expression(literal("a.b*(笨)").full).search("a.b*(笨)").span() == (0, 7)
    assert expression(literal("a.c").full).search("abc") is None


def test_a_space_matches_blank_letters_in_a_shadow_only() -> None:
    for source in ("a b", r"a\sb", "a[ x]b"):
        assert expression(bounded(source, max_length=None, shadow=True).full).search("a\u2800b")
        assert expression(bounded(source, max_length=None, shadow=False).full).search("a\u2800b") is None
