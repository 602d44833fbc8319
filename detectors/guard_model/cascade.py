"""The embedded classifier looks at everything; the guard model judges what it escalates.

    text      ....|---------|---------|---------|..      cut at absolute multiples of 200
    windows       |=== 0.1 ==========|
                            |=== 0.4 ==========|         escalated: the guard model is shown the text before and this
    settled       |-------->                             until it has judged; then a sentence end before the cut

Text is held from the last sentence end before an escalated window's new half, which is where no earlier window has
settled it. The judge is asked within the feed, so that its word counts at the same place on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from detectors._grid import Grid
from detectors.guard_model.adapter import Judge, Unavailable
from detectors.guard_model.embedded import REACH, Embedded
from detectors.guard_model.lane import Desk
from detectors.harm.detector import STEP, WINDOW
from guard.contract import Finding, Report, Span

_SENTENCE: Final = 160
"""How far back a sentence end is looked for, in code points."""
_SENTENCE_END: Final = re.compile(r".*(?:[.!?…][\"'”’)\]*]*\s|\n|[。！？])", re.DOTALL)
_FULL_END: Final = re.compile(r"[.!?…。！？][\"'”’)\]*]*\Z")


class CascadeScanner:
    """One lane."""

    __slots__ = ("_desk", "_escalate", "_first", "_grid", "_keep", "_open", "_prompt", "_reach", "_settled", "_tail")

    def __init__(
        self,
        desk: Desk,
        first: Embedded,
        open_judge: Callable[[], Judge],
        prompt: str,
        history: str,
        *,
        escalate: float,
        tail: int,
    ) -> None:
        """`tail` is what the judge is shown of the text before, in code points."""
        self._desk = desk
        self._first = first
        self._open = open_judge
        self._prompt = prompt
        self._escalate = escalate
        self._reach = tail
        self._keep = tail + REACH + _SENTENCE
        self._grid = Grid(STEP, len(history))
        self._settled = len(history)
        self._tail = history[-self._keep :]

    def feed(self, delta: str) -> Report:
        pieces = self._grid.cut(delta)
        if not pieces:
            return Report(self._settled)
        findings: list[Finding] = []
        end = self._grid.end - sum(map(len, pieces))
        for piece in pieces:
            end += len(piece)
            self._look(piece, end, findings)
            self._settled = max(self._settled, end - self._unfinished())
        return Report(self._settled, findings, self._desk.take_counts())

    def settle(self) -> Report:
        findings: list[Finding] = []
        rest = self._grid.rest()
        end = self._grid.end
        if rest:
            self._look(rest, end, findings)
        self._settled = end
        return Report(end, findings, self._desk.take_counts())

    def peaks(self) -> Mapping[str, float]:
        return self._desk.peaks()

    def _look(self, piece: str, end: int, findings: list[Finding]) -> None:
        """Look at the window that ends with `piece`, at `end`."""
        self._tail = (self._tail + piece)[-self._keep :]
        counts = self._desk.counts
        counts["windows"] += 1
        if self._first.risk(self._tail[-WINDOW:]) < self._escalate:
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

    def _unfinished(self) -> int:
        """How many code points before the last cut belong to a sentence that goes on."""
        text = self._tail[-_SENTENCE:]
        if _FULL_END.search(text):
            return 0
        ended = _SENTENCE_END.match(text)
        return len(text) - ended.end() if ended else 0
