from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Word, words
from detectors.language.scripts import Script


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So it's l’eau, isn't it?", ["So", "it's", "l’eau", "isn't", "it"]),
        ("然后we", ["然", "后", "we"]),
        ("한글 ไทย", ["한", "글", "ไ", "ท", "ย"]),
        ("слово, слово2 x_макс", ["слово"]),
        ("π, αβ, 2πr², ω₁, ελληνικά", ["ελληνικά"]),
        ("snake_case and x2", ["snake_case", "and", "x2"]),
        ("1 2 ✅ 𝑥", ["1", "2"]),
    ],
)
def test_words_of_a_piece(text: str, found: list[str]) -> None:
    read = list(words(Piece(text, 100, 0.25)))
    assert [word.text for word in read] == found
    for word in read:
        assert text[word.start - 100 : word.end - 100] == word.text
        assert word.weight == 0.25


def test_words_carry_their_script() -> None:
    assert list(words(Piece("a 道", 0))) == [Word("a", 0, 1, 1.0, Script.LATIN), Word("道", 2, 3, 1.0, Script.HAN)]
