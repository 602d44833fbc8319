from __future__ import annotations

import pytest

from detectors._shadow import Raw
from detectors.pattern.matcher import Cursor, Hit, Matcher, Unit, expression
from detectors.pattern.regex import bounded


def unit(source: str, label: str = "hit", max_length: int | None = None) -> Unit:
    piece = bounded(source, max_length=max_length, shadow=False)
    return Unit(label, 0.9, piece, compiled=expression(piece.full))


def found(units: list[Unit], text: str, size: int) -> list[tuple[str, int, int]]:
    view, cursor = Raw(), Cursor(Matcher(units))
    hits: list[Hit] = []
    for at in range(0, len(text), size):
        view.take(text[at : at + size])
        hits += cursor.advance(view)
        view.forget(cursor.needed)
    hits += cursor.advance(view, settling=True)
    return sorted((hit.unit.label, hit.start, hit.end) for hit in hits)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("sources", "text", "expected"),
    [
        (["ab|abc"], "xabcab", [(1, 4), (4, 6)]),
        (["foobar|barbaz"], "foobarbaz", [(0, 6)]),
        (["foobar", "barbaz"], "foobarbaz", [(0, 6), (3, 9)]),
        (["a{2,3}"], "aaaaaaa", [(0, 3), (3, 6)]),
        ([r"\bab\b"], "ab cab ab", [(0, 2), (7, 9)]),
        (["^ab"], "abab\nab", [(0, 2)]),
        (["(?m)^ab"], "abab\nab", [(0, 2), (5, 7)]),
        (["ab$"], "ab ab", [(3, 5)]),
        (["a.{0,20}z"], "a z" + "-" * 30 + "a", [(0, 3)]),
    ],
)
def test_leftmost_longest_whatever_the_chunks(
    sources: list[str], text: str, expected: list[tuple[int, int]], size: int
) -> None:
    assert [(start, end) for _, start, end in found([unit(source) for source in sources], text, size)] == expected


def test_nothing_but_the_open_match_is_kept() -> None:
    view, cursor = Raw(), Cursor(Matcher([unit("password")]))
    for _ in range(500):
        view.take("some words, pass")
        cursor.advance(view)
        view.forget(cursor.needed)
    assert len(view.text) <= 5
    assert cursor.open == 8_000 - 4


def test_without_expressions_nothing_is_found_or_held() -> None:
    view, cursor = Raw(), Cursor(Matcher([]))
    view.take("text")
    assert cursor.advance(view) == []
    assert cursor.open == 4


def test_a_check_decides() -> None:
    piece = bounded(r"\d{2}", max_length=None, shadow=False)
    even = Unit("even", 0.9, piece, check=lambda text: int(text) % 2 == 0, compiled=expression(piece.full))
    assert found([even], "11 12 13 14", 3) == [("even", 3, 5), ("even", 9, 11)]


def test_what_re2_refuses_is_told() -> None:
    with pytest.raises(ValueError, match=r"RE2 refuses it: .*repetition"):
        expression("(?:(?:a{1000}){1000}){10}")


def test_catastrophes_of_backtracking_are_none() -> None:
    """On 30 of these letters a backtracking engine takes minutes, on these it never ends."""
    assert found([unit(r"(?:a+)+\$", max_length=64)], "a" * 100_000, 10_000) == []
