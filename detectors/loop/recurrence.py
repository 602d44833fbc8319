"""Recurrence: whole phrases come again and again, in any order. A CUSUM on "these twelve words for the fourth time".

Sums log-likelihood ratios (E. S. Page's cumulative sum, 1954): how likely is it that a phrase of twelve words has been
there three times, in a text that goes round (60 %) against one that does not (10 %)? To be cheap it looks at one phrase
in eight, chosen by what it says, so that the same phrases are looked at in every copy (N. Heintze, 1996).
"""

from __future__ import annotations

from array import array
from math import log
from typing import Final
from zlib import crc32

from detectors.loop.level import level
from detectors.loop.words import Step, Words

_PHRASE: Final = 12
"""Words of a phrase; twice as many where a word is one character."""
_BEFORE: Final = 3
"""How often a phrase has to have been there before."""
_WHEN_STUCK: Final = 0.6
_USUALLY: Final = 0.1
_EVERY: Final = 8
"""One phrase in so many is looked at. A power of two."""
_UP: Final = _EVERY * log(_WHEN_STUCK / _USUALLY)
_DOWN: Final = _EVERY * log((1 - _WHEN_STUCK) / (1 - _USUALLY))
_FORGOTTEN: Final = 12_000
"""Words after which a phrase that has not come again is new."""
_WARN: Final = 48.0
_STOP: Final = 600.0
_PROTECTED: Final = 2.5
"""Factor on the thresholds in code and tables."""
_SLOTS: Final = 512
_MIX: Final = 0x85EBCA6B


class Recurrence:
    """How often each phrase was there, in a table of 512 slots; a newer phrase takes the slot of an older one."""

    __slots__ = ("_last", "_patience", "_phrases", "_protected", "_sum", "_times", "_words", "since")

    def __init__(self, words: Words, patience: float) -> None:
        self._words = words
        self._patience = patience
        self._phrases = array("I", bytes(4 * _SLOTS))
        self._last = array("I", bytes(4 * _SLOTS))
        self._times = array("B", bytes(_SLOTS))
        self._sum = 0.0
        self._protected = False
        self.since = 0
        """Where the suspicious part starts, in code points."""

    def take(self, step: Step, *, listing: bool = False) -> None:
        """Take a step. In a list, which is judged as one, phrases are only remembered."""
        self._protected = step.protected
        length = 2 * _PHRASE if step.unspaced else _PHRASE
        number = step.first
        for pair, told in zip(step.pairs, step.told, strict=True):
            number += 1
            if pair * _MIX >> 20 & _EVERY - 1 or number < length:
                continue
            before = self._count(crc32(self._words.last(length, number)), number, length)
            if told or listing:
                continue
            if before >= _BEFORE:
                if self._sum <= 0:
                    self.since = step.end
                self._sum += _UP
            else:
                self._sum = max(0.0, self._sum + _DOWN)

    def restart(self) -> None:
        """Forget the suspicion, not the phrases."""
        self._sum = 0.0

    def level(self) -> float:
        thresholds = self._patience * (_PROTECTED if self._protected else 1.0)
        return level(self._sum / _WARN / thresholds, self._sum / _STOP / thresholds)

    def _count(self, phrase: int, number: int, length: int) -> int:
        """How often `phrase`, which ends before word `number`, was there before; copies that overlap count once."""
        slot = phrase & _SLOTS - 1
        age = number - self._last[slot]
        if self._phrases[slot] != phrase or age > _FORGOTTEN:
            self._phrases[slot] = phrase
            self._times[slot] = 1
            self._last[slot] = number
            return 0
        before = self._times[slot]
        if age >= length:
            self._times[slot] = min(before + 1, 255)
            self._last[slot] = number
        return before
