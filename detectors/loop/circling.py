"""Circular reasoning in fresh words: turn after turn, and nothing new to turn to.

    Alternatively, maybe the answer is a bridge. Wait, maybe it is a check. Alternatively, a river. Hmm, maybe ...
    +1                                           +1                         +1                      +1

A turn is a sentence that begins with "Wait", "Alternatively", "Hmm" and the like. Ordinary reasoning turns too, but it
brings something new then: a name, a number, a word that neither the prompt nor the text has used. So this is a
cumulative sum (after E. S. Page, 1954): each turn adds a point, each new word takes one away, and a hundred words of
any kind take one, too. That a new concrete anchor ends a stall is an idea of the thinking-loop guard in `oh-my-pi`.

Knows only English turns.
"""

from __future__ import annotations

from typing import Final

from detectors.loop.level import level
from detectors.loop.tokens import codes_of
from detectors.loop.told import Told
from detectors.loop.words import Step

_TURNS: Final = frozenset(codes_of("wait hmm hmmm alternatively actually hold"))
_CODES: Final = 0x7FFF
_NEW_WORD: Final = 1.0
_WORD: Final = 0.01
_WARN: Final = 12.0
_STOP: Final = 30.0


class Circling:
    """Which words the prompt and the lane have used, one bit for two codes (of a number and a word), and the sum."""

    __slots__ = ("_at_start", "_patience", "_sum", "_used", "since")

    def __init__(self, told: Told, patience: float) -> None:
        self._patience = patience
        self._used = bytearray((_CODES + 1) // 8)
        for code in told.words:
            code &= _CODES
            self._used[code >> 3] |= 1 << (code & 7)
        self._sum = 0.0
        self._at_start = True
        self.since = 0
        """Where the first turn stood after which nothing new came, in code points."""

    def take(self, step: Step) -> None:
        used, total, at_start = self._used, self._sum, self._at_start
        if total <= 0:
            self.since = step.end
        for code in step.sentences:
            if not code:
                at_start = True
                continue
            if at_start:
                at_start = False
                if code in _TURNS:
                    total = max(total, 0.0) + 1
            total -= _WORD
            code &= _CODES
            if not used[code >> 3] >> (code & 7) & 1:
                used[code >> 3] |= 1 << (code & 7)
                total -= _NEW_WORD
                if total < 0:
                    total = 0.0
                    self.since = step.end
        self._sum, self._at_start = max(total, 0.0), at_start

    def restart(self) -> None:
        """Forget the suspicion, not the words."""
        self._sum = 0.0

    def level(self) -> float:
        return level(self._sum / _WARN / self._patience, self._sum / _STOP / self._patience)
