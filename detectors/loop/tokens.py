"""Text into words, and words into numbers.

A word is a run of letters, a number, one character of a script that does not part its words, or one pictogram. Its code
is a checksum of 14 bits, and two bits that say "a number" and "one or two letters". Checksums, not Python's hashes, as
those differ from process to process; of a thousand words sixty share their code with another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from zlib import crc32

NUMBER: Final = 0x8000
"""The bit of a code that says: a number."""
SHORT: Final = 0x4000
"""The bit that says: one or two letters. Such words say little."""
SENTENCE_END: Final = 0
"""Stands among the codes where a sentence or a line ends."""
_CHECKSUM: Final = 0x3FFF
_ENDS: Final = frozenset(".?!。？！\n")
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0eff"
_PICTOGRAM: Final = "\u2600-\u27bf\U0001f300-\U0001faff"
_FIRST_UNSPACED: Final = "\u0e00"
_TOKEN: Final = re.compile(rf"[0-9]{{1,16}}|[{_UNSPACED}{_PICTOGRAM}]|[^\W\d_{_UNSPACED}]{{1,24}}|[.?!。？！\n]")
_UNSPACED_CHAR: Final = re.compile(f"[{_UNSPACED}]")


def codes_of(text: str) -> list[int]:
    """The codes of the words of `text`, and a `SENTENCE_END` for each end of a sentence or line."""
    return [
        SENTENCE_END
        if token in _ENDS
        else crc32(token.encode()) & _CHECKSUM
        | (NUMBER if token < ":" else SHORT if len(token) < 3 and token < _FIRST_UNSPACED else 0)
        for token in _TOKEN.findall(text.lower())
    ]


def pairs_of(words: Sequence[int], before: int = 0) -> list[int]:
    """For each word, the one before it and it as one number of 32 bits; `before` comes before the first."""
    return [one << 16 | other for one, other in zip([before, *words], words)]  # noqa: B905 - one list is longer


def is_unspaced(text: str) -> bool:
    """Whether `text` is mostly written in a script that does not part its words."""
    return not text.isascii() and 2 * len(_UNSPACED_CHAR.findall(text)) > len(text)


def whole_words(text: str) -> int:
    """How much of `text`, which will go on, ends in a whole word: up to white space, or all if no word can be open."""
    if _UNSPACED_CHAR.match(text[-1:]):
        return len(text)
    return max(text.rfind(" "), text.rfind("\n")) + 1
