"""Writing systems: which one a character belongs to, and which ones a language is written in.

Blocks are those of the Unicode standard, kept to what tells writing systems apart. Mathematical alphabets, letterlike
symbols and phonetic signs belong to none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Script(StrEnum):
    """A writing system. `OTHER` is any that is not listed."""

    LATIN = "Latin"
    GREEK = "Greek"
    CYRILLIC = "Cyrillic"
    ARMENIAN = "Armenian"
    GEORGIAN = "Georgian"
    HEBREW = "Hebrew"
    ARABIC = "Arabic"
    DEVANAGARI = "Devanagari"
    BENGALI = "Bengali"
    GURMUKHI = "Gurmukhi"
    GUJARATI = "Gujarati"
    TAMIL = "Tamil"
    TELUGU = "Telugu"
    KANNADA = "Kannada"
    MALAYALAM = "Malayalam"
    SINHALA = "Sinhala"
    THAI = "Thai"
    LAO = "Lao"
    MYANMAR = "Myanmar"
    ETHIOPIC = "Ethiopic"
    KHMER = "Khmer"
    HANGUL = "Hangul"
    KANA = "Kana"
    HAN = "Han"
    OTHER = "Other"


CJK: Final = frozenset({Script.HAN, Script.KANA, Script.HANGUL})
"""Scripts of which a single character says as much as a word elsewhere."""
UNSPACED: Final = CJK | {Script.THAI, Script.LAO, Script.KHMER, Script.MYANMAR}

_BLOCKS: Final[tuple[tuple[int, Script | None], ...]] = (
    # each from this code point up to the next
    (0x0000, Script.LATIN),
    (0x02B0, None),  # modifier letters
    (0x0370, Script.GREEK),
    (0x0400, Script.CYRILLIC),
    (0x0530, Script.ARMENIAN),
    (0x0590, Script.HEBREW),
    (0x0600, Script.ARABIC),
    (0x0780, Script.OTHER),
    (0x08A0, Script.ARABIC),
    (0x0900, Script.DEVANAGARI),
    (0x0980, Script.BENGALI),
    (0x0A00, Script.GURMUKHI),
    (0x0A80, Script.GUJARATI),
    (0x0B00, Script.OTHER),
    (0x0B80, Script.TAMIL),
    (0x0C00, Script.TELUGU),
    (0x0C80, Script.KANNADA),
    (0x0D00, Script.MALAYALAM),
    (0x0D80, Script.SINHALA),
    (0x0E00, Script.THAI),
    (0x0E80, Script.LAO),
    (0x0F00, Script.OTHER),
    (0x1000, Script.MYANMAR),
    (0x10A0, Script.GEORGIAN),
    (0x1100, Script.HANGUL),
    (0x1200, Script.ETHIOPIC),
    (0x13A0, Script.OTHER),
    (0x1780, Script.KHMER),
    (0x1800, Script.OTHER),
    (0x1C80, Script.CYRILLIC),
    (0x1C90, Script.GEORGIAN),
    (0x1CC0, Script.OTHER),
    (0x1D00, None),  # phonetic extensions
    (0x1E00, Script.LATIN),
    (0x1F00, Script.GREEK),
    (0x2000, None),  # punctuation, super- and subscripts, letterlike symbols, mathematics
    (0x2C60, Script.LATIN),
    (0x2C80, Script.OTHER),
    (0x2DE0, Script.CYRILLIC),
    (0x2E00, None),
    (0x3040, Script.KANA),
    (0x3100, Script.OTHER),
    (0x3130, Script.HANGUL),
    (0x3190, None),
    (0x31F0, Script.KANA),
    (0x3200, None),
    (0x3400, Script.HAN),
    (0x4DC0, None),
    (0x4E00, Script.HAN),
    (0xA000, Script.OTHER),
    (0xA640, Script.CYRILLIC),
    (0xA6A0, Script.OTHER),
    (0xA720, Script.LATIN),
    (0xA800, Script.OTHER),
    (0xAC00, Script.HANGUL),
    (0xD800, None),
    (0xF900, Script.HAN),
    (0xFB00, Script.LATIN),
    (0xFB1D, Script.HEBREW),
    (0xFB50, Script.ARABIC),
    (0xFE00, None),
    (0xFE70, Script.ARABIC),
    (0xFEFF, None),
    (0xFF21, Script.LATIN),
    (0xFF66, Script.KANA),
    (0xFFA0, Script.HANGUL),
    (0xFFE0, None),
    (0x10000, Script.OTHER),
    (0x1D000, None),  # mathematical alphanumerics, emoji
    (0x20000, Script.HAN),
    (0x32000, None),
)
_STARTS: Final = [start for start, _ in _BLOCKS]

_WRITTEN_IN: Final[dict[str, frozenset[Script]]] = {
    **dict.fromkeys(("ru", "uk", "be", "bg", "sr", "mk", "kk"), frozenset({Script.CYRILLIC})),
    **dict.fromkeys(("ar", "fa", "ur"), frozenset({Script.ARABIC})),
    "he": frozenset({Script.HEBREW}),
    "hi": frozenset({Script.DEVANAGARI}),
    "bn": frozenset({Script.BENGALI}),
    "ta": frozenset({Script.TAMIL}),
    "te": frozenset({Script.TELUGU}),
    "th": frozenset({Script.THAI}),
    "el": frozenset({Script.GREEK}),
    "hy": frozenset({Script.ARMENIAN}),
    "ka": frozenset({Script.GEORGIAN}),
    "pa": frozenset({Script.GURMUKHI}),
    "gu": frozenset({Script.GUJARATI}),
    "kn": frozenset({Script.KANNADA}),
    "ml": frozenset({Script.MALAYALAM}),
    "si": frozenset({Script.SINHALA}),
    "lo": frozenset({Script.LAO}),
    "my": frozenset({Script.MYANMAR}),
    "am": frozenset({Script.ETHIOPIC}),
    "km": frozenset({Script.KHMER}),
    "ko": frozenset({Script.HANGUL}),
    "ja": frozenset({Script.KANA, Script.HAN}),
    "zh": frozenset({Script.HAN}),
}
_LATIN: Final = frozenset({Script.LATIN})
_USUAL: Final = {
    Script.GREEK: "el",
    Script.CYRILLIC: "ru",
    Script.ARMENIAN: "hy",
    Script.GEORGIAN: "ka",
    Script.GURMUKHI: "pa",
    Script.GUJARATI: "gu",
    Script.KANNADA: "kn",
    Script.MALAYALAM: "ml",
    Script.SINHALA: "si",
    Script.LAO: "lo",
    Script.MYANMAR: "my",
    Script.ETHIOPIC: "am",
    Script.KHMER: "km",
    Script.HEBREW: "he",
    Script.ARABIC: "ar",
    Script.DEVANAGARI: "hi",
    Script.BENGALI: "bn",
    Script.TAMIL: "ta",
    Script.TELUGU: "te",
    Script.THAI: "th",
    Script.HANGUL: "ko",
    Script.KANA: "ja",
    Script.HAN: "zh",
}


def script_of(char: str) -> Script | None:
    """The script of a letter; None for what is no letter, or one of no script."""
    if "\u4e00" <= char <= "\u9fff":
        return Script.HAN
    if "\uac00" <= char <= "\ud7a3":
        return Script.HANGUL
    return _looked_up(char)


@lru_cache(maxsize=512)
def _looked_up(char: str) -> Script | None:
    if not char.isalpha():
        return None
    return _BLOCKS[bisect_right(_STARTS, ord(char)) - 1][1]


def main_script(word: str) -> Script | None:
    """The script of most letters of `word`."""
    if word.isascii():
        return Script.LATIN
    if len(word) == 1:
        return script_of(word)
    counts: dict[Script, int] = {}
    for char in word:
        script = script_of(char)
        if script is not None:
            counts[script] = counts.get(script, 0) + 1
    return max(counts, key=lambda script: counts[script]) if counts else None


def scripts_of(languages: Iterable[str]) -> frozenset[Script]:
    """The scripts these languages (ISO 639-1) are written in; Latin for those not known to be written otherwise."""
    return frozenset().union(*(_WRITTEN_IN.get(language, _LATIN) for language in languages))


def usual_language(script: Script) -> str:
    """The language that a text in `script` is most likely in; "" where that cannot be said."""
    return _USUAL.get(script, "")
