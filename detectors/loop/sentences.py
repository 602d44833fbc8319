"""The same sentence seven times among the last eighty, whatever stands between. It happens; it only warns."""

from __future__ import annotations

from array import array
from typing import Final

from detectors.loop.level import level
from detectors.loop.words import Step

_AMONG: Final = 80
_TIMES: Final = 7
_TIMES_SHORT: Final = 10
_FEWEST_WORDS: Final = 4
_SHORT: Final = 7
"""Words; a shorter sentence has to come ten times."""


class Sentences:
    """The last eighty sentences, as checksums. A line counts as a sentence; one of three words or fewer does not.

    The level is that of the most frequent sentence, and falls slowly when it comes no more.
    """

    __slots__ = ("_length", "_next", "_recent", "_sentence", "_share")

    def __init__(self) -> None:
        self._recent = array("I", bytes(4 * _AMONG))
        self._next = 0
        self._sentence = 0
        self._length = 0
        self._share = 0.0

    def take(self, step: Step) -> None:
        sentence, length = self._sentence, self._length
        for code in step.sentences:
            if code:
                sentence = (sentence * 0x01000193 ^ code) & 0xFFFFFFFF
                length += 1
                continue
            if length >= _FEWEST_WORDS and not step.protected:
                self._end(sentence, length)
            sentence = length = 0
        self._sentence, self._length = sentence, length

    def restart(self) -> None:
        """Forget the suspicion, not the sentences."""
        self._share = 0.0

    def level(self) -> float:
        return level(self._share, 0)

    def _end(self, sentence: int, length: int) -> None:
        self._recent[self._next] = sentence
        self._next = (self._next + 1) % _AMONG
        times = self._recent.count(sentence)
        share = times / (_TIMES_SHORT if length < _SHORT else _TIMES)
        self._share = max(share, self._share - 1 / _AMONG)
