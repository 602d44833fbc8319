"""A piece of text as the harm model reads it: without the disguises that cost little to undo.

    Ｋ і l l  y o u r s e l f   k1ll  ->  Kill  yourself   kill

Where there is anything but plain letters and signs, the piece is replaced by its shadow (`detectors._shadow`). Letters
that stand apart are put together, and digits within words are read as the letters they stand for. The model is trained
on texts seen like this. What is seen twice looks the same.
"""

from __future__ import annotations

import re
from typing import Final

from detectors._confusables import BLANK
from detectors._shadow import shadow, shadow_of

_PLAIN: Final = (
    r"\t\n\r\x20-\x7e\xa0\xa7-\xa9\xab\xb0\xb1\xb7\xbb\xd7\xf7"
    r"\u2010-\u2027\u2030-\u205e\u2190-\u22ff\u2500-\u27bf"  # punctuation, arrows, mathematics, boxes, dingbats
    r"\u3001-\u3020\u3040-\u30ff\u4e00-\u9fff\uff01-\uff0f\uff1a-\uff20"  # Chinese and Japanese
)
_LETTERS_ALONE: Final = (*range(0xC0, 0x250), *range(0x386, 0x482), *range(0x48A, 0x530))
"""Latin with accents, Greek, Cyrillic: most texts hold them without marks of their own, and a table is quick."""
_SHADOWS: Final = {code: shadow_of(chr(code)) for code in _LETTERS_ALONE}
_STRANGE: Final = re.compile(rf"[^{_PLAIN}\xc0-\u024f\u0386-\u0481\u048a-\u052f]")
_APART_INSIDE: Final = re.compile(rf"([ .\-_*|{BLANK}])[A-Za-z]\1[A-Za-z]\1[A-Za-z](?![^\W_])")
"""What four letters or more hold that stand apart, with the same sign between any two."""
_RUN: Final = re.compile(rf"(?<![^\W_])(?<!['’])[A-Za-z](?:([ .\-_*|{BLANK}])[A-Za-z])(?:\1[A-Za-z])*(?![^\W_])")
_DIGIT: Final = re.compile(r"[013457@$]")
_DIGIT_INSIDE: Final = re.compile(r"[A-Za-z][013457@$][A-Za-z]")
_TOKEN: Final = re.compile(r"[A-Za-z0-9@$]{2,24}")
_SHORTEST: Final = 4
_MANY: Final = 4
"""Words with digits inside, from which on a piece is taken to be spelled so."""
_SPELLED: Final = str.maketrans("013457@$", "oieastas")
_LONE: Final = re.compile("[A-Za-z]")


def seen(piece: str) -> str:
    """`piece` without disguises. It may have another length."""
    if _STRANGE.search(piece):
        piece = shadow(piece)
    elif not piece.isascii():
        piece = piece.translate(_SHADOWS)
    if _APART_INSIDE.search(piece):
        piece = _RUN.sub(lambda found: found[0].replace(found[1], ""), piece)
    if _DIGIT.search(piece) and (inside := _DIGIT_INSIDE.findall(piece)):
        piece = _TOKEN.sub(_spelled if len(inside) < _MANY else _spelled_freely, piece)
    return piece


def _spelled(found: re.Match[str]) -> str:
    """A word with digits in it, unless it has more of them than letters: that is a name or a number."""
    token = found[0]
    if (
        len(token) < _SHORTEST
        or token.isalpha()
        or not _DIGIT_INSIDE.search(token)
        or 2 * len(_LONE.findall(token)) < len(token)
    ):
        return token
    return token.translate(_SPELLED)


def _spelled_freely(found: re.Match[str]) -> str:
    """Any word with digits in it."""
    return found[0].translate(_SPELLED) if _LONE.search(found[0]) else found[0]
