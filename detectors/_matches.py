"""What a scanner of listed forms has found, told as findings as soon as their beginning is settled.

found --add--> [matches] --report(settled)--> findings of those that begin before `settled`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from guard.contract import Finding, Report, Span


class Match(NamedTuple):
    """In the order in which findings are made; offsets are those of the lane."""

    start: int
    end: int
    label: str
    decoded: str
    """What had to be undone to see it, such as `base64`."""
    score: float


class Matches:
    """Those of one lane."""

    __slots__ = ("_found", "_name", "_peaks", "_settled")

    def __init__(self, name: str, labels: Iterable[str]) -> None:
        """`name` is the detector's, as rules know it."""
        self._name = name
        self._settled = 0
        self._found: set[Match] = set()
        self._peaks = dict.fromkeys(labels, 0.0)

    def __iter__(self) -> Iterator[Match]:
        return iter(sorted(self._found))

    def add(self, match: Match) -> None:
        """Finding it again changes nothing."""
        self._found.add(match)

    def begin(self, history: int) -> None:
        """The lane begins after so many code points of history: what lies wholly in it is not reported."""
        self._found = {match for match in self._found if match.end > history}
        self._settled = history
        self._peaks = dict.fromkeys(self._peaks, 0.0)

    def report(self, settled: int) -> Report:
        """The matches that begin before `settled`. Of one that began in settled text what is not settled is reported,
        and the whole is the evidence."""
        before, self._settled = self._settled, max(settled, self._settled)
        if not self._found:
            return Report(self._settled)
        known = sorted(match for match in self._found if match.start < self._settled)
        self._found.difference_update(known)
        return Report(self._settled, [self._finding(match, before) for match in known if match.end > before])

    def peaks(self) -> Mapping[str, float]:
        """The highest score reported, by label."""
        return dict(self._peaks)

    def _finding(self, match: Match, before: int) -> Finding:
        self._peaks[match.label] = max(self._peaks.get(match.label, 0.0), match.score)
        whole = Span(match.start, match.end)
        detail: dict[str, Any] = {"decoded": match.decoded} if match.decoded else {}
        if match.start >= before:
            return Finding(self._name, match.label, match.score, whole, detail=detail)
        return Finding(self._name, match.label, match.score, Span(before, match.end), evidence=whole, detail=detail)
