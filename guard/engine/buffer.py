"""One lane's text and its release pointer: the only road by which model text reaches a client.

      0            released                          floor              end
      |-- has gone ---|------------- may go ----------|---- must wait ---|
                              [mask.start, mask.end)  leaves as its replacement, whole or not at all

`released` only grows. All positions are code points from the start of the lane.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from guard.contract import Span


class _Masked(NamedTuple):
    start: int
    end: int
    replacement: str


_end = attrgetter("end")


class HoldBack:
    """Text that waits, and how far it has gone."""

    __slots__ = ("_applied", "_masks", "_pieces", "end", "released")

    def __init__(self) -> None:
        self.released = 0
        self.end = 0
        self._applied: list[_Masked] = []
        self._pieces: list[str] = []
        self._masks: list[_Masked] = []

    def append(self, text: str) -> None:
        """Add text at the end; it waits."""
        self._pieces.append(text)
        self.end += len(text)

    def mask(self, span: Span, replacement: str) -> bool:
        """Let `span` leave as `replacement`. False, and nothing is changed, if part of it has left already.

        Overlapping masks become one, which reads as the one that starts first.
        """
        if span.start < self.released:
            return False
        if span.start == span.end:
            return True
        new = _Masked(span.start, span.end, replacement)
        masks = self._masks  # in order, and apart from each other
        first = after = bisect_right(masks, new.start, key=_end)
        while after < len(masks) and masks[after].start < new.end:
            old = masks[after]
            text = new.replacement if new.start < old.start else old.replacement
            new = _Masked(min(old.start, new.start), max(old.end, new.end), text)
            after += 1
        masks[first:after] = [new]
        return True

    def release(self, floor: int) -> str:
        """Let go of everything before `floor`, masks applied. A mask that reaches past `floor` waits whole."""
        floor = min(floor, self.end)
        for mask in self._masks:
            if mask.start < floor < mask.end:
                floor = mask.start
        if floor <= self.released:
            return ""
        held = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
        base = self.released
        rest = held[floor - base :]
        self._pieces = [rest] if rest else []
        self.released = floor
        if not self._masks:
            return held if not rest else held[: floor - base]
        out: list[str] = []
        at = base
        for mask in self._masks:
            if mask.end > floor:
                break
            out += (held[at - base : mask.start - base], mask.replacement)
            self._applied.append(mask)
            at = mask.end
        out.append(held[at - base : floor - base])
        self._masks = [mask for mask in self._masks if mask.end > floor]
        return "".join(out)

    def held(self, span: Span | None = None) -> str:
        """The text that waits, as it came, or what waits of a span. For repairs and pseudonyms; never for a client."""
        text = "".join(self._pieces)
        self._pieces = [text]  # asked for mask after mask
        return text if span is None else text[max(span.start - self.released, 0) : max(span.end - self.released, 0)]

    def sent(self, position: int) -> int:
        """Where a released position stands in the text that left; the start of the replacement, if it was masked."""
        shift = 0
        for mask in self._applied:
            if position < mask.end:
                position = min(position, mask.start)
                break
            shift += len(mask.replacement) - (mask.end - mask.start)
        return position + shift

    def restart(self, at: int) -> None:
        """Forget what waits: it will not leave. What left counts as `at` code points from now on."""
        self._pieces.clear()
        self._masks.clear()
        self._applied.clear()
        self.end = self.released = at
