"""The embedded classifier looks at everything; the guard model judges what it escalates.

    text      ....|---------|---------|---------|..      cut at absolute multiples of 200
    windows       |=== 0.1 ==========|
                            |=== 0.4 ==========|         escalated: the guard model is shown the text before and this
    settled       |-------->                             until it has judged; then a sentence end before the cut

The first look is the detector `harm` with one low bar: what it would report is escalated (texts in disguise and what
encoded stretches say among it), and every window at that bar. Text is held as `harm` holds it, from the last sentence
end before an escalated window's new half, until the guard model has judged. It is asked within the feed, so that its
word counts at the same place on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from detectors._grid import Grid
from detectors.guard_model.adapter import Judge, Unavailable
from detectors.guard_model.embedded import REACH, Embedded
from detectors.guard_model.lane import Desk, readable
from detectors.harm.detector import STEP, WINDOW
from guard.contract import Finding, Report, Scanner, Span

_LONGEST_HELD: Final = 1_600
"""More than `harm` ever holds back, in code points."""


class CascadeScanner:
    """One lane."""

    __slots__ = (
        "_desk",
        "_escalate",
        "_first",
        "_grid",
        "_keep",
        "_open",
        "_prompt",
        "_reach",
        "_scout",
        "_settled",
        "_stretch",
        "_tail",
    )

    def __init__(
        self,
        desk: Desk,
        scout: Scanner,
        first: Embedded,
        open_judge: Callable[[], Judge],
        prompt: str,
        history: str,
        *,
        escalate: float,
        tail: int,
    ) -> None:
        """`scout` reports what is to be escalated, on the same lane with the same history. `tail` is what the judge is
        shown of the text before, in code points."""
        self._desk = desk
        self._scout = scout
        self._first = first
        self._open = open_judge
        self._prompt = prompt
        self._escalate = escalate
        self._reach = tail
        self._keep = tail + max(REACH, _LONGEST_HELD)
        self._grid = Grid(STEP, len(history))
        self._settled = len(history)
        self._stretch = False
        """The last window was escalated."""
        self._tail = readable(history[-self._keep :])

    def feed(self, delta: str) -> Report:
        pieces = self._grid.cut(delta)
        if not pieces:
            return Report(self._settled)
        findings: list[Finding] = []
        end = self._grid.end - sum(map(len, pieces))
        for piece in pieces:
            end += len(piece)
            report = self._scout.feed(piece)
            self._look(piece, end, findings, escalated=bool(report.findings))
            self._settled = report.settled
        return Report(self._settled, findings, self._desk.take_counts())

    def settle(self) -> Report:
        findings: list[Finding] = []
        rest = self._grid.rest()
        end = self._grid.end
        reports = [self._scout.feed(rest), self._scout.settle()]
        escalated = any(report.findings for report in reports)
        if (rest or escalated) and self._settled < end:
            self._look(rest, end, findings, escalated=escalated)
        self._settled = end
        return Report(end, findings, self._desk.take_counts())

    def peaks(self) -> Mapping[str, float]:
        return self._desk.peaks()

    def _look(self, piece: str, end: int, findings: list[Finding], *, escalated: bool) -> None:
        """Look at the window that ends with `piece`, at `end`; have it judged if the scout or the bar says so."""
        self._tail = (self._tail + readable(piece))[-self._keep :]
        counts = self._desk.counts
        counts["windows"] += 1
        # the scout reports a stretch of suspicious windows once, and again where it gets worse
        self._stretch = escalated or (self._stretch and self._first.risk(self._tail[-WINDOW:]) >= self._escalate)
        if not self._stretch:
            self._desk.clean()
            return
        counts["escalated"] += 1
        counts["held_chars"] += end - self._settled
        # the whole window is new to the judge: only the first look has seen its first half
        new = max(min(WINDOW, len(self._tail)), end - self._settled)
        before, window = self._tail[:-new], self._tail[-new:]
        shown = before[-self._reach :] if self._reach else ""
        span = Span(self._settled, end)
        try:
            judgement = self._open().score(self._prompt, shown, window, final=True)
        except Unavailable as error:
            findings += self._desk.unavailable(error, self._tail, span)
        else:
            findings += self._desk.judged(judgement, span, Span(end - new, end))
