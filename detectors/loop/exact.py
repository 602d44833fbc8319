"""Does the text end in copies of itself? Exact tail periods of any length up to a limit, in bounded memory.

                        start of run                end
    ... some text | copy 1 | copy 2 | copy 3 | cop|
                           |<------- run ------->|      text[i] == text[i - period] for every i in the run

Every 64 code points, the last 32 are looked up in the window before them (`str.rfind`); the distance is a candidate
period, and comparing slices by doubling and bisection tells how far back it holds. From then on one comparison of 64
code points per step prolongs the run, so its length is not limited by the window: only the period is.

A period is kept while it holds. Until it has held for a whole copy, a much shorter one may take its place: a passage
that was once told before may now be going round in itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STEP: Final = 64
"""Code points between two looks; all looks are at absolute multiples of it."""
ANCHOR: Final = 32
"""Code points that must recur before a period is considered."""
_CANDIDATES: Final = 3
_NEAR: Final = 2_048
"""How far back a shorter period is sought while a long one is unproven, in code points."""


@dataclass(frozen=True, slots=True)
class Run:
    """`text[i] == text[i - period]` for every `i` in `start..end` (absolute code points)."""

    period: int
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def copies(self) -> float:
        """How often the period stands there, the first copy included."""
        return 1 + self.length / self.period


class TailPeriod:
    """Follows the period of a growing text's tail. Call `look` once per step with the same, longer text."""

    __slots__ = ("longest", "run")

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.run: Run | None = None

    @property
    def window(self) -> int:
        """Code points of the text's end that `look` needs to see."""
        return self.longest + 4 * STEP

    def look(self, text: str, end: int) -> Run | None:
        """The run in which `text` (the tail of a lane, ending at absolute offset `end`) ends, if any."""
        run = self.run
        if run is not None and _goes_on(text, run.period):
            run = Run(run.period, run.start, end)
            if run.length < run.period > ANCHOR:
                run = self._shorter(text, run)
        else:
            run = self._search(text, end)
        self.run = run
        return run

    def _search(self, text: str, end: int) -> Run | None:
        anchor = text[-ANCHOR:]
        lowest = max(0, len(text) - ANCHOR - self.longest)
        upper = len(text) - 1
        best: Run | None = None
        for _ in range(_CANDIDATES):
            at = text.rfind(anchor, lowest, upper)
            if at < 0:
                break
            period = len(text) - ANCHOR - at
            length = run_length(text, period)
            if best is None or length > best.length:
                best = Run(period, end - length, end)
            if length >= period:
                break
            upper = at + ANCHOR - 1
        return best

    @staticmethod
    def _shorter(text: str, run: Run) -> Run:
        lowest = len(text) - ANCHOR - min(run.period - 1, _NEAR)
        at = text.rfind(text[-ANCHOR:], max(0, lowest), len(text) - 1)
        if at < 0:
            return run
        period = len(text) - ANCHOR - at
        length = run_length(text, period)
        return Run(period, run.end - length, run.end) if length >= 2 * period else run


def _goes_on(text: str, period: int) -> bool:
    return text[-STEP:] == text[-STEP - period : len(text) - period]


def run_length(text: str, period: int) -> int:
    """The longest `n` with `text[-n:] == text[-n - period:-period]`."""
    size = len(text)
    most = size - period
    known, probe = 0, STEP
    while probe < most and text[size - probe :] == text[size - probe - period : most]:
        known, probe = probe, probe * 2
    probe = min(probe, most)
    while known < probe:
        middle = (known + probe + 1) // 2
        if text[size - middle :] == text[size - middle - period : most]:
            known = middle
        else:
            probe = middle - 1
    return known
