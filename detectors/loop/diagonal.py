"""Copies that differ: what comes again at nearly the same distance, word for word or with some words changed.

    words    Let me check case 12 . Let me check case 13 . Let me verify case 14 ...
    seeds    three words in a row (six characters where words are not parted), numbers all alike
    distance                    5                     5                     5        from a seed to where it was before

In a matrix that compares a text with itself copies lie along a diagonal (dot plots, A. J. Gibbs and G. A. McIntyre,
1970; chains of seeds near a diagonal, as in sequence alignment). A candidate is a distance; each seed that lies on it,
within 12 %, or on its double or treble, adds a point, and each word costs a third of one. Up to four candidates are
followed.

Where the numbers change from copy to copy, where most copies bring a word that the others do not have, or where short
copies differ much from their neighbours, it is a count or a list (`counter`). That takes far more to be wrong than
copies that only vary (`near`), and more still where the prompt names a number that it may be to come to.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from detectors.loop.bar import MARGIN
from detectors.loop.level import level
from detectors.loop.tokens import NUMBER, SHORT
from detectors.loop.words import REMEMBERED, Step, Words


class _Bar(NamedTuple):
    copies: float
    covered: float
    """Code points after the first copy."""


_SEED: Final = 3
_SEED_UNSPACED: Final = 6
_COST: Final = 0.34
"""Points a word costs a candidate."""
_MOST_POINTS: Final = 400.0
_POINTS: Final = 30.0
"""Points of a verdict, doubled for periods of 200 words and more."""
_TOLERANCE: Final = 0.12
_CANDIDATES: Final = 4
_COPIES: Final = 4.0
_SHORT: Final = 300
"""Periods shorter than this, in code points, need up to five copies more."""
_COVERED: Final = 500
"""Code points a verdict needs after the first copy."""
_COUNTER_WARN: Final = _Bar(20, 1_200)
_COUNTER_STOP: Final = _Bar(80, 6_000)
_PROTECTED: Final = 2.5
"""Factor on copies and length in code and tables."""
_BROUGHT: Final = 0.6
_BROUGHT_PER_WORD: Final = 0.015
"""Words that a copy of a list has and the others have not: so many at least, and so many for each of its words."""
_COMPARED: Final = 24
"""Copies that are compared for that."""
_DRIFT: Final = 0.25
"""Share of its words in which each entry of a list differs from the one before ..."""
_ENTRY: Final = 40
"""... if it is no longer than this, in words."""
_LOOKS: Final = 3
"""A candidate is held against the thresholds eight (`1 << 3`) times in a period."""
_LIST_GOES_ON: Final = 100
"""Words for which a list is taken to go on after it was last seen to."""
_NEIGHBOURS: Final = 8
"""Entries that are compared with their neighbours."""
_PLACE: Final = REMEMBERED - 1
_SLOTS: Final = 2_048


class Repeat(NamedTuple):
    """What a candidate has come to."""

    label: str
    level: float
    since: int
    """Where the first repeated copy starts, in code points."""
    period: float
    """Code points."""
    copies: float


@dataclass(slots=True)
class _Candidate:
    distance: int
    """Words."""
    since: int
    """Where its first seed stood, in code points."""
    start: int
    """Number of the first seed's word."""
    last: int
    points: float = 0.0
    """At word `last`."""
    seeds: int = 0
    direct: int = 0
    """Seeds at the distance itself. A candidate that mostly lives on its multiples is none."""
    changed: int = 0
    """Numbers that differed from the copy before."""
    judged: int = 0
    """Number of the word at which it was last held against the thresholds."""

    def points_at(self, number: int) -> float:
        return self.points - _COST * (number - self.last)


class Diagonal:
    """Follows the distances at which seeds come again. `asked` is how many entries of a list the prompt may ask for."""

    __slots__ = ("_candidates", "_count_to", "_listing_until", "_patience", "_seeds", "_words")

    def __init__(self, words: Words, patience: float, asked: int = 0) -> None:
        self._words = words
        self._patience = patience
        self._seeds = array("H", bytes(2 * _SLOTS))
        """Where each seed was last, as places in the memory of words."""
        self._count_to = _Bar(max(_COUNTER_STOP.copies, MARGIN * asked), _COUNTER_STOP.covered)
        self._listing_until = 0
        """Number of the word up to which a count or a list is taken to go on."""
        self._candidates: list[_Candidate] = []

    def take(self, step: Step) -> Repeat | None:
        """Take a step; what the strongest candidate that it fed has come to, if that is worth a word."""
        codes, seeds = self._words.codes, self._seeds
        length = _SEED_UNSPACED if step.unspaced else _SEED
        number = step.first
        fed: _Candidate | None = None
        one = min(codes[(number - 2) & _PLACE], NUMBER)
        two = min(codes[(number - 1) & _PLACE], NUMBER)
        for code, told in zip(step.words, step.told, strict=True):
            three = code if code < NUMBER else NUMBER
            slot = (one * 0x9E3B + two * 0x85EB + three * 0xC2B3) >> 4 & _SLOTS - 1
            at = seeds[slot]
            seeds[slot] = number & _PLACE
            if not told:
                before = codes[at]
                if (before if before < NUMBER else NUMBER) == three and self._same(at, number & _PLACE, length):
                    distance = (number - at) & _PLACE
                    if 0 < distance <= number:
                        candidate = self._candidate(distance, number, step.end)
                        if candidate is not None:
                            self._feed(candidate, distance, number)
                            fed = candidate
            one, two = two, three
            number += 1
        return None if fed is None or fed.points < _POINTS else self._judge(fed, step)

    @property
    def listing(self) -> bool:
        """Whether a count or a list is going on."""
        return self._words.count <= self._listing_until

    def restart(self) -> None:
        """Forget the candidates, not the words."""
        self._candidates = []
        self._listing_until = 0

    def _same(self, at: int, now: int, length: int) -> bool:
        """Whether the `length` words up to place `at` are those up to place `now`, any number like any other."""
        codes = self._words.codes
        for back in range(1, length):
            one, other = codes[at - back], codes[now - back]
            if one != other and not one & other & NUMBER:
                return False
        return True

    def _candidate(self, distance: int, number: int, end: int) -> _Candidate | None:
        """The candidate that a seed at `distance` speaks for: one that is there, or a new one if there is room."""
        for candidate in self._candidates:
            known = candidate.distance
            tolerance = 2 + _TOLERANCE * known
            if abs(distance - known) <= tolerance:
                candidate.distance = distance
                return candidate
            if 2 * candidate.direct >= candidate.seeds and _is_multiple(distance, known, tolerance):
                return candidate
        alive = [candidate for candidate in self._candidates if candidate.points_at(number) > 0]
        if len(alive) == _CANDIDATES:
            weakest = min(alive, key=lambda candidate: candidate.points_at(number))
            if weakest.points_at(number) >= 2:
                self._candidates = alive
                return None
            alive.remove(weakest)
        new = _Candidate(distance, end, number, number)
        self._candidates = [*alive, new]
        return new

    def _feed(self, candidate: _Candidate, distance: int, number: int) -> None:
        points = candidate.points_at(number)
        if points <= 0:
            points = 0.0
        candidate.points = min(points + 1, _MOST_POINTS)
        candidate.last = number
        candidate.seeds += 1
        candidate.direct += distance == candidate.distance
        codes = self._words.codes
        code = codes[number & _PLACE]
        if code & NUMBER and codes[(number - distance) & _PLACE] != code:
            candidate.changed += 1

    def _judge(self, candidate: _Candidate, step: Step) -> Repeat | None:
        distance = candidate.distance
        words = candidate.last - candidate.start
        covered = step.end - candidate.since
        if words < distance or covered <= 0 or candidate.last - candidate.judged < distance >> _LOOKS:
            return None
        candidate.judged = candidate.last
        period = covered * distance / words
        copies = 1 + words / distance
        factor = self._patience * (_PROTECTED if step.protected else 1.0)
        block = self._words.last(distance, candidate.last + 1)
        distinct = {code for code in block if code < SHORT}
        counts = self._counts(candidate, copies, block)
        self._listing_until = candidate.last + _LIST_GOES_ON if counts else 0
        if counts:
            if len(distinct) < 2:
                return None
            warned, stopped = (_share(copies, covered, *bar) / factor for bar in (_COUNTER_WARN, self._count_to))
            return Repeat("counter", level(warned, stopped), candidate.since, period, copies)
        if len(distinct) < 3 or (distance > 40 and len(distinct) < 10):
            return None
        needed = _COPIES + 5 * max(0.0, 1 - period / _SHORT)
        points = _POINTS * (1 + min(1.0, distance / 200))
        share = min(_share(copies, covered, needed, _COVERED) / factor, candidate.points / points)
        return Repeat("near", level(2 * share, share), candidate.since, period, copies)

    def _counts(self, candidate: _Candidate, copies: float, block: Sequence[int]) -> bool:
        """Whether each copy has its own number or word."""
        numbers = sum(code >= NUMBER for code in block)
        distance = candidate.distance
        if candidate.changed >= 3 and candidate.changed * 10 * distance > candidate.seeds * numbers:
            return True
        several = min(int(copies), _COMPARED, _PLACE // distance)
        brought = len(set(self._words.last(several * distance, candidate.last + 1))) - len(set(block))
        if brought >= max(_BROUGHT, _BROUGHT_PER_WORD * distance) * (several - 1) > 0:
            return True
        if distance > _ENTRY or several < 3:
            return False
        length = (min(several, _NEIGHBOURS) - 1) * distance
        here = self._words.last(length, candidate.last + 1)
        before = self._words.last(length, candidate.last + 1 - distance)
        return sum(one != other for one, other in zip(here, before, strict=True)) >= _DRIFT * length


def _is_multiple(distance: int, known: int, tolerance: float) -> bool:
    """Whether one or two copies have been skipped."""
    return known > 8 and (abs(distance - 2 * known) <= 2 * tolerance or abs(distance - 3 * known) <= 3 * tolerance)


def _share(copies: float, covered: float, copies_needed: float, covered_needed: float) -> float:
    return min((copies - 1) / (copies_needed - 1), covered / covered_needed)
