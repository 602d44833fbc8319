"""Cuts a growing text into pieces that no entity goes beyond, so that each is looked at once.

    Call   +1 (212) 555-0123   now   or   write   to   ada@example.org   ...
    |--||---------------------||--||--||-----||--||-------------------|  open: held from here
           ^ single spaces within a chain of numbers do not end a piece

A piece ends at white space and at characters that stand in no entity. A single space goes on with a piece if what
stands beside it may be a group of a number: `4111 1111`, `GB82 WEST`. A chain of more than 128 characters and a word of
more than 512 are cut, with an overlap of the longest entity: whatever begins before `upto` ends before `end`. Where the
cuts are depends on the characters alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from detectors.pii.entities import SENTENCE, SPACED, UNSPACED

_END: Final = re.compile(r"""[\s",;<>\\]""")
_BESIDE: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ)+")
"""A group of a number may end in one of these."""
_BEGINS: Final = frozenset("0123456789(+")
_GROUP: Final = re.compile("[A-Z0-9]+")
_LONGEST_GROUP: Final = 4
"""Characters of a group that begins with a letter: those of an IBAN."""


class Window(NamedTuple):
    """Look at `start` to `end`; what begins at `upto` or later is looked at again in the next one."""

    start: int
    upto: int
    end: int


class Pieces:
    """Where one text has been cut. Offsets are absolute."""

    __slots__ = ("_next", "open")

    def __init__(self) -> None:
        self.open = 0
        """The piece that may go on begins here."""
        self._next = 0

    def cut(self, text: str, base: int) -> Iterator[Window]:
        """The windows that `text`, of which the first character is at `base`, completes."""
        at = self._next - base
        while True:
            found = _END.search(text, at)
            end = found.start() if found else len(text)
            while end - (self.open - base) >= 2 * UNSPACED:
                yield Window(self.open, self.open + UNSPACED, self.open + 2 * UNSPACED)
                self.open += UNSPACED
            if found is None:
                self._next = base + end
                return
            ends = _ends_piece(text, end)
            if ends is None:
                self._next = base + end
                return
            here = base + end
            if ends:
                if here > self.open:
                    yield Window(self.open, here, here)
                self.open = here + 1
            elif here - self.open >= 2 * SPACED:
                yield Window(self.open, here - SPACED, here)
                self.open = here - SPACED
            at = end + 1
            self._next = here + 1

    def rest(self, end: int) -> Iterator[Window]:
        """The open piece as it stands. It may still go on."""
        if end > self.open:
            yield Window(self.open, end, end)


def _ends_piece(text: str, at: int) -> bool | None:
    """Does the character at `at`, one of those that may, end a piece? None if that cannot be said yet."""
    if text[at] != " " or at == 0 or text[at - 1] not in _BESIDE:
        return True
    after = text[at + 1 : at + 2 + _LONGEST_GROUP]
    if not after:
        return None
    if after[0] in _BEGINS:
        return False
    group = _GROUP.match(after)
    if group is None or group.end() > _LONGEST_GROUP:
        return True
    if group.end() == len(after):
        return None
    return after[group.end()].isalnum() or after[group.end()] == "_"


_SENTENCE: Final = re.compile(r"[.!?][\"')\]]{0,2}(?=\s)|\n")


class Sentences:
    """The same for a language model: windows are sentences of at most 400 characters."""

    __slots__ = ("_next", "open")

    def __init__(self) -> None:
        self.open = 0
        self._next = 0

    def cut(self, text: str, base: int) -> Iterator[Window]:
        at = self._next - base
        while True:
            found = _SENTENCE.search(text, at)
            end = found.end() if found else len(text)
            while end - (self.open - base) >= SENTENCE:
                yield Window(self.open, self.open + SENTENCE, self.open + SENTENCE)
                self.open += SENTENCE
            if found is None:
                # The end of a sentence is known by the space after it.
                self._next = max(base + end - 3, self.open)
                return
            if base + end > self.open:
                yield Window(self.open, base + end, base + end)
            self.open = base + end
            at = end
            self._next = self.open

    def rest(self, end: int) -> Iterator[Window]:
        """The open sentence as it stands."""
        if end > self.open:
            yield Window(self.open, end, end)
