"""Meters: how much of a lane has been written, in characters or tokens, and where a limit was passed.

    meter.advance(delta)       # -> the new total
    meter.passed(limit)        # -> the absolute offset of the code point with which the total went past `limit`

`passed` is asked right after the `advance` that went past. Totals and offsets depend on the text alone, not on how it
was cut into deltas.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from guard.contract import estimate_tokens

_ROUNDING: Final = 1e-6
"""A sum of floats is compared with a limit: what is less than this past it is not past it. One character counts for at
least a quarter of a token."""
_BLOCK: Final = 64
"""Code points between two counts by a tokenizer."""
_LONGEST_WORD: Final = 256
"""Text without white space is counted in pieces of this many code points."""
_LAST_GAP: Final = re.compile(r"\s+(?=\S*\Z)")


class Meter(Protocol):
    """Counts one lane."""

    def advance(self, delta: str) -> float:
        """Take the next piece of text; the total so far."""
        ...

    def passed(self, limit: float) -> int:
        """Where the total went past `limit`, in code points from the start of the lane."""
        ...


class Characters:
    """Counts code points."""

    __slots__ = ("_total",)

    def __init__(self) -> None:
        self._total = 0

    def advance(self, delta: str) -> float:
        self._total += len(delta)
        return self._total

    def passed(self, limit: float) -> int:
        return int(limit)


class EstimatedTokens:
    """Counts tokens as `guard.contract.estimate_tokens` does."""

    __slots__ = ("_before", "_delta", "_fed", "_total")

    def __init__(self) -> None:
        self._total = 0.0
        self._before = 0.0
        self._delta = ""
        self._fed = 0

    def advance(self, delta: str) -> float:
        self._before = self._total
        self._delta = delta
        self._fed += len(delta)
        self._total += estimate_tokens(delta)
        return self._total - _ROUNDING

    def passed(self, limit: float) -> int:
        total = self._before
        start = self._fed - len(self._delta)
        for offset, char in enumerate(self._delta):
            total += estimate_tokens(char)
            if total - _ROUNDING > limit:
                return start + offset
        return self._fed - 1


class CountedTokens:
    """Counts tokens with a tokenizer, each time another 64 code points have come, up to the last white space.

    A cut before white space is one that byte-pair tokenizers make too, so the sum over the pieces is the count of the
    whole to within a token in some hundreds.
    """

    __slots__ = ("_count", "_fed", "_marks", "_total", "_waiting")

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._total = 0
        self._fed = 0
        self._waiting = ""
        self._marks: list[tuple[int, int]] = []

    def advance(self, delta: str) -> float:
        self._marks.clear()
        taken = 0
        while taken < len(delta):
            piece = delta[taken : taken + _BLOCK - self._fed % _BLOCK]
            taken += len(piece)
            self._fed += len(piece)
            self._waiting += piece
            if self._fed % _BLOCK == 0:
                self._count_waiting()
        return self._total

    def passed(self, limit: float) -> int:
        return next((fed - 1 for fed, total in self._marks if total > limit), self._fed - 1)

    def _count_waiting(self) -> None:
        gap = _LAST_GAP.search(self._waiting)
        end = gap.start() if gap else 0
        if not end:
            if len(self._waiting) < _LONGEST_WORD:
                return
            end = len(self._waiting)
        self._total += self._count(self._waiting[:end])
        self._waiting = self._waiting[end:]
        self._marks.append((self._fed, self._total))
