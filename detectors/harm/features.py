"""What the harm model sees of a text: its words, pairs of words, and pieces of words, hashed into buckets.

    "Wir bauen es."  ->  words  wir bauen es
                         pairs  wir_bauen bauen_es
                         pieces <wi wir ir> <bau baue ...

A Han or kana character is a word of its own, so pairs of words are pairs of characters there. Every word and pair
counts once, however often it stands in the text. Feature hashing: Weinberger et al. 2009; pieces of words as in
fastText (Bojanowski et al. 2017). CRC-32 is the hash because it is the same on every machine, and fast.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

BITS: Final = 19
"""The feature space has `2 ** BITS` buckets."""
PIECES: Final = (4, 5)
"""Lengths of the pieces of a word, its boundaries included."""
_MASK: Final = (1 << BITS) - 1
LONGEST: Final = 24
"""Code points of a word that are looked at; what is longer is no word of any language."""
_LETTER: Final = r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
_TURNED: Final = frozenset({"gur", "naq", "bs", "gb", "vf", "lbh", "sbe", "gung", "ubj"})
"""the, and, of, to, is, you, for, that, how."""
_ROT13: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
HAN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""A character that is a word of its own."""
_DIGIT: Final = re.compile(r"\d")
_WORD: Final = re.compile(rf"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|{_LETTER}+(?:['’]{_LETTER}+)*|\d+")


def words(text: str) -> list[str]:
    """The words of `text` in order, in lower case; every number is `0`."""
    found: list[str] = _WORD.findall(text.lower())
    if _DIGIT.search(text) is None:
        return found
    return ["0" if word[0].isdecimal() else word for word in found]


def upright(sequence: list[str]) -> list[str]:
    """The words of a text, turned back where it is in rot13: where two of the commonest English words are so."""
    if len(_TURNED.intersection(sequence)) < 2:
        return sequence
    return [word.translate(_ROT13) for word in sequence]


def word_bucket(word: str) -> int:
    """The bucket of the word itself: the first of `word_buckets`."""
    return crc32(word[:LONGEST].encode()) & _MASK


def word_buckets(word: str) -> list[int]:
    """The buckets of a word and of its pieces."""
    word = word[:LONGEST]
    buckets = [crc32(word.encode()) & _MASK]
    if len(word) > 3:
        bounded = f"<{word}>"
        for length in PIECES:
            for start in range(len(bounded) - length + 1):
                buckets.append(crc32(bounded[start : start + length].encode(), 1) & _MASK)
    return buckets


def pair_bucket(first: str, second: str) -> int:
    """The bucket of two words that follow each other."""
    return crc32(f"{first} {second}".encode(), 2) & _MASK
