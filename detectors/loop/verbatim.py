"""Verbatim copies: exact periods of the text's tail, each held against the bar for what repeats.

lane text   ......| first copy | copy | copy | c
                               ^start            where the first *repeated* copy starts
                                      ^held      half way to the bar: a loop is suspected, text is held from here
                                             ^end
"""

from __future__ import annotations

from typing import Final, NamedTuple

from detectors.loop.bar import Bar, bar_for, base_bar
from detectors.loop.exact import Run, TailPeriod
from detectors.loop.prompt import Prompt
from guard.contract import STOP, WARN

_SUSPECTED: Final = 0.5
"""Share of the bar at which a loop is suspected."""
_TOKEN: Final = 32
"""Longest repeated token, in code points."""
_IDEOGRAPHS: Final = 4
"""Longest repeated word of a script that does not part its words."""


class Suspicion(NamedTuple):
    """A run, and how far it has come to its bar."""

    label: str
    level: float
    run: Run
    score: float | None
    """The score to report now, if any: each run is reported once at each severity."""

    @property
    def holds(self) -> bool:
        """True if text should wait for the verdict."""
        return self.level >= WARN


class Verbatim:
    """Follows the run in which a growing text ends."""

    __slots__ = ("_bar", "_patience", "_period", "_prompt", "_said")

    def __init__(self, longest_period: int, patience: float, prompt: Prompt) -> None:
        self._period = TailPeriod(longest_period)
        self._patience = patience
        self._prompt = prompt
        self._bar: Bar | None = None
        self._said = 0.0

    @property
    def window(self) -> int:
        """Code points of the text's end that `look` needs to see."""
        return self._period.window

    def forget(self) -> None:
        """What was reported so far may be reported again if it goes on."""
        self._said = 0.0

    def look(self, text: str, end: int, fence: int) -> Suspicion | None:
        """What `text`, ending at absolute offset `end`, ends in. `fence` is where a code fence is open, or -1."""
        before = self._period.run
        run = self._period.look(text, end)
        if run is None or before is None or run.period != before.period or run.start != before.start:
            self._bar = None
            self._said = 0.0
        if run is None:
            return None
        progress = self._progress(text, run, in_code=0 <= fence < run.start)
        if self._said == STOP:
            return None
        if progress < _SUSPECTED:
            return Suspicion(_label(text, run), progress * WARN / _SUSPECTED, run, None)
        score = STOP if progress >= 1 else WARN
        said, self._said = self._said, score
        return Suspicion(_label(text, run), _level(progress), run, score if score > said else None)

    def _progress(self, text: str, run: Run, *, in_code: bool) -> float:
        """Share of the bar that `run` has come to. The bar is made once per run, and only if prose would near it."""
        patience = self._patience
        if self._bar is None:
            rough = base_bar(run.period).raised(patience, patience).progress(run)
            if rough < _SUSPECTED:
                return rough
            prompt = "".join(self._prompt.text.split())
            bar = bar_for(text, run.period, in_code=in_code, prompt=prompt, asked=self._prompt.told.most)
            self._bar = bar.raised(patience, patience)
        return self._bar.progress(run)


def _label(text: str, run: Run) -> str:
    if run.period > _TOKEN:
        return "exact"
    block = text[-run.period :]
    words = len((block * 2).split()) - len(block.split())  # as if written round a ring: no word is cut
    ideographs = sum(char >= "\u2e80" for char in block)
    return "run" if words <= 1 and ideographs <= _IDEOGRAPHS else "exact"


def _level(progress: float) -> float:
    """Progress on the scale on which half the bar is `WARN` and the bar is `STOP`."""
    if progress < 1:
        return WARN + (progress - _SUSPECTED) * (STOP - WARN) / (1 - _SUSPECTED)
    return 1 - (1 - STOP) / progress
