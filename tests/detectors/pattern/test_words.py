from __future__ import annotations

import pytest

from detectors._shadow import Raw, shadow
from detectors.pattern.matcher import Cursor, Matcher, Unit, expression
from detectors.pattern.words import LONGEST_WORD, words_of


def found(
    words: list[str], text: str, *, see_shadow: bool = True, whole: bool = True, ignore_case: bool = True
) -> list[str]:
    view = Raw()
    view.take(shadow(text) if see_shadow else text)
    listed = words_of(words, see_shadow=see_shadow, whole=whole, ignore_case=ignore_case, rot13=False)
    units = [Unit("listed", 0.9, some.piece, 1, compiled=expression(some.piece.full)) for some in listed]
    hits = sorted(Cursor(Matcher(units)).advance(view, settling=True), key=lambda hit: hit.start)
    return [view.text[hit.start : hit.end] for hit in hits]


@pytest.mark.parametrize(
    ("word", "text", "count"),
    [
        ("ass", "an ass. ass, class asset as_s ass_", 2),
        ("bad idea", "bad idea, bad  \n idea, badidea", 2),
        ("c++", "c++ c++x", 2),
        ("笨蛋", "他是笨蛋吗", 1),
        ("damn", "他说damn吗", 1),
        ("damn it", "damn\u2800it", 1),
        ("Straße", "die strasse", 1),
        ("new york", "new yorker", 0),
        ("жук", "жук жуки", 1),
    ],
)
def test_words_stand_for_themselves(word: str, text: str, count: int) -> None:
    assert len(found([word], text)) == count


def test_a_shorter_word_is_found_where_the_longer_one_is_not() -> None:
    assert found(["new york", "new"], "new yorker") == ["new"]
    assert found(["new york", "new"], "new york") == ["new york"]


def test_words_inside_words_if_wanted() -> None:
    assert found(["ass"], "class asset", whole=False) == ["ass", "ass"]


def test_case_is_kept_if_wanted() -> None:
    assert found(["IT"], "it IT It", see_shadow=False, ignore_case=False) == ["IT"]
    assert found(["IT"], "it IT It", see_shadow=False) == ["it", "IT", "It"]


@pytest.mark.parametrize(
    ("word", "told"), [("", "is empty"), ("\u200b", "nothing of it can be seen"), ("x" * (LONGEST_WORD + 1), "longer")]
)
def test_impossible_words_are_named(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        found([word], "")


def test_long_ascii_words_are_also_turned_by_thirteen() -> None:
    some = list(words_of(["grape", "fig"], see_shadow=True, whole=True, ignore_case=True, rot13=True))
    assert [each.decoded for each in some] == ["", "rot13"]
    assert expression(some[1].piece.full).search("some tencr juice").group(1) == "tencr"
    assert expression(some[1].piece.full).search("svt") is None
