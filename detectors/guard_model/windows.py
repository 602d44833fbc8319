"""Shows the guard model everything, every so many characters.

text      |-------|-------|-------|---      cut at absolute multiples of `every`
                  |= tail =|= new =|        what the model is shown at a cut
settled                   ------->|         what it has consumed; an incremental model may keep the end back
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from detectors._grid import Grid
from detectors.guard_model.adapter import Judge, Unavailable
from detectors.guard_model.lane import Desk, readable
from guard.contract import Finding, Report, Span


class WindowScanner:
    """One lane."""

    __slots__ = ("_desk", "_grid", "_judge", "_keep", "_new", "_open", "_prompt", "_reach", "_settled", "_tail")

    def __init__(
        self,
        desk: Desk,
        open_judge: Callable[[], Judge],
        prompt: str,
        history: str,
        *,
        every: int,
        tail: int,
        reach: int,
    ) -> None:
        """`tail` is what the judge is shown of the text before, `reach` what a second opinion needs, in code points."""
        self._desk = desk
        self._open = open_judge
        self._judge: Judge | None = None
        self._prompt = prompt
        self._reach = tail
        self._keep = max(tail, reach)
        self._grid = Grid(every, len(history))
        self._settled = len(history)
        self._tail = readable(history[-self._keep :]) if self._keep else ""
        self._new = ""
        """Text up to the last cut that has not been consumed."""

    def feed(self, delta: str) -> Report:
        pieces = self._grid.cut(readable(delta))
        if not pieces:
            return Report(self._settled)
        findings: list[Finding] = []
        end = self._grid.end - sum(map(len, pieces))
        for piece in pieces:
            end += len(piece)
            self._new += piece
            self._ask(end, findings, final=False)
        return Report(self._settled, findings, self._desk.take_counts())

    def settle(self) -> Report:
        findings: list[Finding] = []
        self._new += self._grid.rest()
        if self._new:
            self._ask(self._grid.end, findings, final=True)
        return Report(self._settled, findings, self._desk.take_counts())

    def peaks(self) -> Mapping[str, float]:
        return self._desk.peaks()

    def _ask(self, end: int, findings: list[Finding], *, final: bool) -> None:
        self._desk.counts["windows"] += 1
        self._desk.counts["held_chars"] += end - self._settled
        shown = self._tail[len(self._tail) - min(self._reach, len(self._tail)) :]
        span = Span(self._settled, end)
        try:
            self._judge = self._judge or self._open()
            judgement = self._judge.score(self._prompt, shown, self._new, final=final)
        except Unavailable as error:
            self._judge = None
            findings += self._desk.unavailable(error, self._tail + self._new, span)
            consumed = len(self._new)
        else:
            consumed = judgement.consumed
            if consumed:
                findings += self._desk.judged(judgement, span, Span(self._settled - len(shown), end))
        self._tail = (self._tail + self._new[:consumed])[-self._keep :] if self._keep else ""
        self._new = self._new[consumed:]
        self._settled = end - len(self._new)
