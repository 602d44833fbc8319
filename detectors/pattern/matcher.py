"""Many expressions looked for in one growing text.

    text  |--- decided ---|--- may be the beginning of a match ---|
                         open                                    end

One search for any of them, one for the earliest beginning of a match at the end; only on a hit each is asked by itself.
Both are single RE2 expressions rather than an `re2.Set`, whose `Match` answers "nothing" when its automaton outgrows
its memory; a single expression then goes on with a slower one.

Of one expression matches do not overlap; the leftmost is taken, and of those the longest. Different ones may overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import re2

from detectors._shadow import View
from detectors.pattern.regex import LONGEST, Piece

_MEMORY: Final = 128 << 20
"""Bytes that RE2 may use for one expression, its automaton included. Reached by word lists of some 50,000 words."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One expression and what it stands for."""

    label: str
    score: float
    piece: Piece
    group: int = 0
    """The group that is the match: 1 if the expression looks at the characters beside it."""
    check: Callable[[str], bool] | None = None
    """Is what matched really one? Sees the text of the view."""
    decoded: str = ""
    """How the text had to be read, if not as it stands."""
    compiled: Any = field(default=None)
    goes_on: bool = False
    """A key's body follows: what comes after the match belongs to it, to the key's last line."""


class Hit(NamedTuple):
    unit: Unit
    start: int
    end: int


class Matcher:
    """Immutable. Raises `ValueError` if RE2 refuses an expression."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = tuple(units)
        self.longest = max((unit.piece.longest for unit in units), default=0)
        openings = {unit.piece.opening for unit in units if unit.piece.opening}
        self.any = expression("|".join(f"(?:{unit.piece.full})" for unit in units)) if units else None
        self.opening = expression(f"(?:{'|'.join(sorted(openings))})?\\z")


def expression(text: str) -> Any:
    """Compiled, leftmost-longest. Raises `ValueError` with RE2's reason."""
    options = re2.Options()
    options.longest_match = True
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"RE2 refuses it: {told[:200]}") from None


class Cursor:
    """Where a matcher stands in a view. Offsets are the view's."""

    __slots__ = ("_going", "_gone", "_matcher", "_next", "_scanned", "open")

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._going: Hit | None = None
        """A match that goes on, as far as it has come."""
        self._gone = 0
        """Where the last one that went on ended."""
        self._scanned = 0
        self.open = 0
        """Matches that start before are known."""
        self._next: dict[Unit, int] = {}

    def copy(self) -> Cursor:
        """For a view that has been the same so far."""
        other = Cursor(self._matcher)
        other.open, other._next = self.open, dict(self._next)
        other._going, other._gone, other._scanned = self._going, self._gone, self._scanned
        return other

    @property
    def needed(self) -> int:
        """The view before may be forgotten: one character is kept for `\\b` to look at."""
        return max(self.open - 1, 0)

    def advance(self, view: View, *, settling: bool = False) -> list[Hit]:
        """The matches that more text cannot change; all that stand there if `settling`."""
        start = self._scanned - view.base
        opened = self._matcher.opening.search(view.text, start).start() + view.base
        hits = list(self._hits(view, start, view.end if settling else opened))
        self._scanned = self.open = opened
        if self._going is None and not any(hit.unit.goes_on for hit in hits):
            return hits
        return self._gone_on(view, hits, settling)

    def _gone_on(self, view: View, hits: list[Hit], settling: bool) -> list[Hit]:
        """`hits` with those that go on followed to their ends; one that may still go on is held from its start."""
        out = [hit for hit in hits if not hit.unit.goes_on]
        for going in [*([self._going] if self._going else []), *(hit for hit in hits if hit.unit.goes_on)]:
            if going is not self._going and going.start < self._gone:
                continue  # a first line within what the key before has taken
            start, base = going.start, view.base
            end, over = _key_end(view.text, start - base, going.end - base)
            self._gone = end + base
            self._going = None if over else Hit(going.unit, start, self._gone)
            if over or settling:
                out.append(Hit(going.unit, start, self._gone))
        if self._going is not None:
            self.open = min(self.open, self._going.start)
        return out

    def _hits(self, view: View, first: int, before: int) -> Iterator[Hit]:
        """Matches that start in `text` from `first` on and, absolutely, before `before`."""
        text, base = view.text, view.base
        matcher = self._matcher
        if matcher.any is None or matcher.any.search(text, first) is None:
            return
        for unit in matcher.units:
            at = max(first, self._next.get(unit, 0) - base)
            while at < len(text) and (found := unit.compiled.search(text, at)) is not None:
                if found.start() + base >= before:
                    break
                start, end = found.span(unit.group)
                # What stands beside a word may be the end of the word before it.
                at = max(end - 1, start + 1) if unit.group else end
                if unit.check is None or unit.check(text[start:end]):
                    yield Hit(unit, start + base, end + base)
                else:
                    at = start + 1  # digits before a number must not hide it
                self._next[unit] = at + base


_BODY: Final = re.compile(r"[A-Za-z0-9+/=\s\\:,-]*")
_LAST_LINE: Final = re.compile(r"-----END [A-Z ]{0,40}-----")
_LAST_LINE_LONGEST: Final = 55


def _key_end(text: str, start: int, at: int) -> tuple[int, bool]:
    """Where the body of a key that begins at `start` and has come to `at` ends, and whether it is over."""
    limit = max(start + LONGEST, at)
    found = _BODY.match(text, at, limit)
    end = found.end() if found else at
    last = _LAST_LINE.search(text, max(at - _LAST_LINE_LONGEST, start), end)
    if last is not None:
        return last.end(), True
    return end, end < len(text) or end >= limit
