"""A lane's words as numbers: made once per step, and remembered, for all statistics that look at words.

    text    Let me check case 12.\nLet me check case 13.
    words   a   b  c     d    #   a   b  c     d    #      codes (`detectors.loop.tokens`), # a number
    pairs      ab bc    cd   d#  #a  ab bc    cd   d#      two codes each

    codes   |............ 4,096 words .............|       a ring: word number n stands at n % 4096
                                              count ^

What is cut off at the end of a step is read with the next one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from detectors.loop.tokens import codes_of, is_unspaced, pairs_of, whole_words
from detectors.loop.told import Told

REMEMBERED: Final = 4_096
"""Words that are remembered. A power of two."""
_LONGEST_WAIT: Final = 256
"""Code points without white space after which the text is cut anywhere."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of text brought."""

    end: int
    """Where the step ends, in code points from the start of the lane."""
    first: int
    """Number of its first word, counted from the start of the lane."""
    words: Sequence[int]
    pairs: Sequence[int]
    """For each word, it and the one before."""
    told: Sequence[bool]
    """For each pair, whether the prompt holds it."""
    sentences: Sequence[int]
    """The words again, with a 0 where a sentence or line ends."""
    unspaced: bool
    """Written in a script that does not part its words: a word here is a character, and says less."""
    protected: bool
    """In code, in a table, or in the arguments of a tool, where much repeats by right."""


class Words:
    """Reads a lane's text step by step and remembers its last 4,096 words."""

    __slots__ = ("_told", "_waiting", "codes", "count")

    def __init__(self, told: Told) -> None:
        self._told = told
        self._waiting = ""
        self.codes = array("H", bytes(2 * REMEMBERED))
        self.count = 0

    def read(self, piece: str, end: int, *, protected: bool) -> Step:
        """Take the step of text that ends at `end`."""
        text = self._waiting + piece
        cut = whole_words(text)
        if not cut and len(text) > _LONGEST_WAIT:
            cut = len(text)
        self._waiting = text[cut:]
        sentences = codes_of(text[:cut])
        words = [code for code in sentences if code]
        first = self.count
        pairs = pairs_of(words, self.codes[(first - 1) % REMEMBERED])
        self._remember(words)
        return Step(end, first, words, pairs, self._told.holds(pairs), sentences, is_unspaced(piece), protected)

    def last(self, length: int, before: int) -> array[int]:
        """The `length` words before word number `before`."""
        end = before % REMEMBERED
        start = end - length
        return self.codes[start:end] if start >= 0 else self.codes[start:] + self.codes[:end]

    def _remember(self, words: Sequence[int]) -> None:
        for count, code in enumerate(words, self.count):
            self.codes[count % REMEMBERED] = code
        self.count += len(words)
