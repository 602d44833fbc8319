"""Finds text that goes round in circles.

    lane text   ......| first copy | copy | copy | c
                                   ^evidence.start     where the first *repeated* copy starts
                                          ^held        what is held once a loop is suspected, at most `hold`
                                                ^end   the verdict: span = held..end

The verdict rests on exact periods of the text's tail (`detectors.loop.exact`) and a bar that depends on what repeats
(`detectors.loop.bar`). Everything is decided at absolute multiples of 64 code points. Half way to the bar a loop is
suspected (a finding of score 0.5, text is held); at the bar it is one (score 0.9). Each run is reported once at each
severity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from detectors._grid import GridTail
from detectors.loop.bar import Bar, bar_for, base_bar
from detectors.loop.exact import STEP, Run, TailPeriod
from detectors.loop.fence import Fence
from guard.contract import STOP, WARN, Context, Finding, Lane, Report, Span, Stability

_SUSPECTED: Final = 0.5
"""Share of the bar at which a loop is suspected."""
_TOKEN: Final = 32
"""Longest repeated token, in code points."""
_IDEOGRAPHS: Final = 4
"""Longest repeated word of a script that does not part its words."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What an operator may change."""

    patience: float = 1.0
    """Multiplies the copies and the length that make a loop: 0.7 stops sooner, 2 later."""
    longest_period: int = 16_000
    """Longest period that is looked for, in characters; memory and CPU grow with it."""
    hold: int = 512
    """Most characters held back while a loop is suspected. 0 holds nothing."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.patience <= 100:
            raise ValueError(f"patience must be between 0.1 and 100, not {self.patience}")
        if not 64 <= self.longest_period <= 65_536:
            raise ValueError(f"longest_period must be between 64 and 65536 characters, not {self.longest_period}")
        if not 0 <= self.hold <= 4_000:
            raise ValueError(f"hold must be between 0 and 4000 characters, not {self.hold}")


class Loop:
    """Text that repeats itself verbatim, whatever the length of what repeats (up to `longest_period`)."""

    Settings: ClassVar[type] = LoopSettings
    labels: ClassVar[Mapping[str, str]] = {
        "exact": "the same passage again and again",
        "run": "one character, one word or white space again and again",
    }
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: LoopSettings) -> None:
        self.name = name
        self.settings = settings

    def load(self) -> None:
        """Nothing to load."""

    def open(self, lane: Lane, context: Context, history: str = "") -> LoopScanner:
        return LoopScanner(self.name, self.settings, context.prompt, history)


class LoopScanner:
    """One lane. Keeps the last `longest_period` characters or so, and a handful of numbers."""

    __slots__ = (
        "_bar",
        "_fence",
        "_floor",
        "_held",
        "_name",
        "_peaks",
        "_period",
        "_prompt",
        "_said",
        "_settings",
        "_tail",
    )

    def __init__(self, name: str, settings: LoopSettings, prompt: str, history: str) -> None:
        self._name = name
        self._settings = settings
        self._prompt = prompt
        self._period = TailPeriod(settings.longest_period)
        self._tail = GridTail(step=STEP, keep=self._period.window)
        self._fence = Fence()
        self._bar: Bar | None = None
        self._said = 0.0
        self._held: int | None = None
        self._floor = 0
        self._peaks = dict.fromkeys(Loop.labels, 0.0)
        if history:
            self.feed(history)
            self._floor = len(history)
            self._held = None
            self._said = 0.0

    def feed(self, delta: str) -> Report:
        findings: tuple[Finding, ...] = ()
        for end in self._tail.grow(delta):
            findings += self._look(end)
        return Report(self._tail.fed if self._held is None else self._held, findings)

    def settle(self) -> Report:
        """Lets go of what is held. Loops are found at multiples of 64 characters, so nothing is decided here."""
        self._floor = self._tail.fed
        if self._held is not None:
            self._held = self._floor
        return Report(self._floor)

    def peaks(self) -> Mapping[str, float]:
        return dict(self._peaks)

    def _look(self, end: int) -> tuple[Finding, ...]:
        text = self._tail.text
        self._fence.look(text, end)
        before = self._period.run
        run = self._period.look(text, end)
        if run is None or before is None or run.period != before.period or run.start != before.start:
            self._bar = None
            self._said = 0.0
        if run is None:
            self._held = None
            return ()
        progress = self._progress(text, run)
        if progress < _SUSPECTED or self._said == STOP:
            self._held = None
            return ()
        return self._suspect(text, run, progress)

    def _progress(self, text: str, run: Run) -> float:
        """Share of the bar that `run` has come to. The bar is made once per run, and only if prose would near it."""
        patience = self._settings.patience
        if self._bar is None:
            rough = base_bar(run.period).raised(patience, patience).progress(run)
            if rough < _SUSPECTED:
                return rough
            prompt = "".join(self._prompt.split())
            self._bar = bar_for(text, run.period, in_code=self._in_code(run), prompt=prompt).raised(patience, patience)
        return self._bar.progress(run)

    def _in_code(self, run: Run) -> bool:
        return 0 <= self._fence.opened < run.start

    def _suspect(self, text: str, run: Run, progress: float) -> tuple[Finding, ...]:
        # At the look that raises the suspicion, everything before its last character may have gone already.
        held = run.end - 1 if self._held is None else self._held
        held = max(held, self._floor, run.end - self._settings.hold)
        self._held = held
        label = _label(text, run)
        self._peaks[label] = max(self._peaks[label], _score(progress))
        score = STOP if progress >= 1 else WARN
        if score <= self._said:
            return ()
        self._said = score
        if score == STOP:
            self._held = None  # nothing more will be said of this run
        return (self._finding(label, score, run, held),)

    def _finding(self, label: str, score: float, run: Run, held: int) -> Finding:
        return Finding(
            detector=self._name,
            label=label,
            score=score,
            span=Span(max(held, run.start), run.end),
            evidence=Span(run.start, run.end),
            detail={"period": run.period, "copies": round(run.copies, 1)},
        )


def _label(text: str, run: Run) -> str:
    if run.period > _TOKEN:
        return "exact"
    block = text[-run.period :]
    words = len((block * 2).split()) - len(block.split())  # as if written round a ring: no word is cut
    ideographs = sum(char >= "\u2e80" for char in block)
    return "run" if words <= 1 and ideographs <= _IDEOGRAPHS else "exact"


def _score(progress: float) -> float:
    """Progress on the scale on which half the bar is `WARN` and the bar is `STOP`."""
    if progress < 1:
        return WARN + (progress - _SUSPECTED) * (STOP - WARN) / (1 - _SUSPECTED)
    return 1 - (1 - STOP) / progress
