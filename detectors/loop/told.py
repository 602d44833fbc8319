"""What the prompt tells, which it is no repetition to say.

Reasoning lists the premises again and again, and quotes the question. So a pair of words that stands in the prompt says
nothing about whether the text goes round. Pairs are kept in a Bloom filter (B. H. Bloom, 1970) of sixteen bits a pair,
two hashes: one pair in seventy passes for told that is not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from detectors.loop.tokens import codes_of, pairs_of

_NUMBER: Final = re.compile(r"(?<![\d.,])\d+(?![\d.,]\d|\d)")
_DIGITS: Final = 3
"""A longer number is a year or a measurement rather than a number of things that are wanted."""
_SPELLED: Final = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100}
_BITS_PER_PAIR: Final = 16
_FEWEST: Final = 1 << 10
_MOST: Final = 1 << 19
"""Bits; 64 KiB."""


class Told:
    """The words of one prompt, its pairs of words, and its greatest number. Immutable."""

    __slots__ = ("_bits", "_mask", "most", "words")

    def __init__(self, prompt: str = "") -> None:
        words = [code for code in codes_of(prompt) if code]
        self.words = frozenset(words)
        distinct = set(pairs_of(words))
        self.most = _greatest(prompt)
        size = min(max(_FEWEST, 1 << (_BITS_PER_PAIR * len(distinct)).bit_length()), _MOST)
        self._mask = size - 1
        bits = bytearray(size // 8)
        for pair in distinct:
            for bit in self._places(pair):
                bits[bit >> 3] |= 1 << (bit & 7)
        self._bits = bytes(bits) if distinct else b""

    def holds(self, pairs: Sequence[int]) -> list[bool]:
        """For each pair, whether the prompt holds it."""
        bits = self._bits
        if not bits:
            return [False] * len(pairs)
        found = []
        for pair in pairs:
            one, other = self._places(pair)
            found.append(bool(bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1))
        return found

    def _places(self, pair: int) -> tuple[int, int]:
        mixed = pair * 0x9E3779B97F4A7C15
        return mixed >> 20 & self._mask, mixed >> 40 & self._mask


def _greatest(prompt: str) -> int:
    """The greatest number in `prompt` that may say how many of something are wanted; 0 if there is none."""
    written = [int(number) for number in _NUMBER.findall(prompt) if len(number) <= _DIGITS]
    lower = prompt.lower()
    spelled = [number for word, number in _SPELLED.items() if word in lower]
    return max(written + spelled, default=0)
