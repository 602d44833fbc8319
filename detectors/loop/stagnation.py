"""Stagnation: nothing new is being said. A CUSUM on "this pair of words has been used before".

Two cumulative sums of log-likelihood ratios (E. S. Page, 1954) over the words: how likely is an old pair in a text
that goes round (95 %), against one that goes on (75 %)? The first counts a pair as old if it stands among the last
1,500 words; ordinary reasoning gets that far now and then, so it only warns. The second wants it there twice, and so
needs a third copy: it is the verdict. The order of what is repeated does not matter, nor do small changes, nor the
length of the period up to 1,500 words.
"""

from __future__ import annotations

from array import array
from math import log
from typing import Final

from detectors.loop.level import level
from detectors.loop.words import REMEMBERED, Step, Words

_NEAR: Final = 1_500
"""Words within which a pair has to come again to be old."""
_NEW_WHEN_STUCK: Final = 0.05
_NEW_USUALLY: Final = 0.25
_NOT_THIRD_USUALLY: Final = 0.35
_OLD_STEP: Final = log((1 - _NEW_WHEN_STUCK) / (1 - _NEW_USUALLY))
_NEW_STEP: Final = log(_NEW_WHEN_STUCK / _NEW_USUALLY)
_THIRD_STEP: Final = log((1 - _NEW_WHEN_STUCK) / (1 - _NOT_THIRD_USUALLY))
_NOT_THIRD_STEP: Final = log(_NEW_WHEN_STUCK / _NOT_THIRD_USUALLY)
_WARN: Final = 44.0
_STOP: Final = 140.0
_FEWEST: Final = 300
"""Words before which nothing is decided."""
_PLACE: Final = REMEMBERED - 1
_USES: Final = 12
"""Bits of a slot that say where; those above say how many times before, up to 15."""
_SLOTS: Final = 4_096
_LAST_SLOT: Final = _SLOTS - 2
_MIX: Final = 0x9E3779B1


class Stagnation:
    """Where each pair was last used, and how often before, in a table of 4,096 slots, two for the pairs of a hash.

    A slot holds a place in the memory of words, so a pair is looked up by comparing words: no pair passes for another.
    """

    __slots__ = ("_once", "_patience", "_slots", "_twice", "_words", "since")

    def __init__(self, words: Words, patience: float) -> None:
        self._words = words
        self._patience = patience
        self._slots = array("H", bytes(2 * _SLOTS))
        self._once = 0.0
        self._twice = 0.0
        self.since = 0
        """Where the suspicious part starts, in code points."""

    def take(self, step: Step, *, listing: bool = False) -> None:
        """Take a step. In a list, which is judged as one, and in code, the words are only remembered."""
        judging = not (listing or step.protected)
        codes, slots = self._words.codes, self._slots
        once, twice = self._once, self._twice
        number = step.first
        if once <= 0:
            self.since = step.end
        for pair, told in zip(step.pairs, step.told, strict=True):
            before, word = pair >> 16, pair & 0xFFFF
            slot = pair * _MIX >> 15 & _LAST_SLOT
            entry = slots[slot]
            at = entry & _PLACE
            if codes[at] != word or codes[at - 1] != before:
                # It stands in the second slot, or nowhere. The first slot's pair moves down: it is the older one now.
                second = slots[slot + 1]
                slots[slot + 1] = entry
                entry = second
                at = entry & _PLACE
                if codes[at] != word or codes[at - 1] != before:
                    at = number
            uses = (entry >> _USES) + 1 if 0 < number - at & _PLACE <= _NEAR else 0
            slots[slot] = (uses if uses < 16 else 15) << _USES | number & _PLACE
            number += 1
            if told or not judging:
                continue
            once += _OLD_STEP if uses else _NEW_STEP
            twice += _THIRD_STEP if uses > 1 else _NOT_THIRD_STEP
            if once < 0:
                once = 0.0
                self.since = step.end
            if twice < 0:
                twice = 0.0
        self._once, self._twice = once, twice

    def restart(self) -> None:
        """Forget the suspicion, not the words."""
        self._once = self._twice = 0.0

    def level(self) -> float:
        if self._words.count < _FEWEST:
            return 0.0
        return level(self._once / _WARN / self._patience, self._twice / _STOP / self._patience)
