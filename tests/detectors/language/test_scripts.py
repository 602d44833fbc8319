from __future__ import annotations

import pytest

from detectors.language.scripts import Script, main_script, script_of, scripts_of, usual_language


@pytest.mark.parametrize(
    ("chars", "script"),
    [
        ("aZéßıẞḀﬁＡ", Script.LATIN),
        ("αΩἀ", Script.GREEK),
        ("жЯћ", Script.CYRILLIC),
        ("שׁא", Script.HEBREW),
        ("عفﻻ", Script.ARABIC),
        ("अह", Script.DEVANAGARI),
        ("ব", Script.BENGALI),
        ("த", Script.TAMIL),
        ("త", Script.TELUGU),
        ("ไท", Script.THAI),
        ("한ㄱ", Script.HANGUL),
        ("あアーｱ", Script.KANA),
        ("中㐀𠀀", Script.HAN),
        ("ߐᏣ", Script.OTHER),
        ("1 ,。・，_𝑥ℝⁿ🌊㎡", None),
    ],
)
def test_script_of_a_letter(chars: str, script: Script | None) -> None:
    assert {script_of(char) for char in chars if char != "\u05c1"} == {script}


@pytest.mark.parametrize(
    ("word", "script"),
    [
        ("word", Script.LATIN),
        ("pаssword", Script.LATIN),
        ("слово", Script.CYRILLIC),
        ("道", Script.HAN),
        ("é", Script.LATIN),
        ("₁₂", None),
    ],
)
def test_the_script_of_a_word_is_that_of_most_letters(word: str, script: Script | None) -> None:
    assert main_script(word) is script


def test_scripts_of_languages() -> None:
    assert scripts_of(()) == frozenset()
    assert scripts_of(("en", "ru")) == {Script.LATIN, Script.CYRILLIC}
    assert scripts_of(("ja",)) == {Script.HAN, Script.KANA}


def test_the_usual_language_of_a_script_is_written_in_it() -> None:
    for script in set(Script) - {Script.LATIN, Script.OTHER}:
        assert script in scripts_of((usual_language(script),))
    assert usual_language(Script.OTHER) == ""
