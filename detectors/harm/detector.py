"""Finds harmful content with a small model that comes with the package.

    text      ....|---------|---------|---------|---------|..      cut at absolute multiples of 200
    windows       |=========2=========|
                            |=========3=========|                  400 characters each, scored when they end
    risks                0.1       0.7       0.8                   0.7 suspects, 0.8 confirms: score 0.7
    settled       |--------------->                                a sentence end before the suspect's new half

A window at or above `suspect` is confirmed by the next one, or cleared by it; one at or above `sure` needs no second,
nor does a text that fits into one window. The score is the lower probability of the two, or that of the one. A stretch
of such windows is one finding, and another each time its score rises, for rules that wait for a higher one.

While a window is suspected its text is held; else text is settled to the last sentence end before the last cut. So at
most two steps and a sentence wait. The label is a guess at the category: see MODEL_CARD.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from detectors._grid import Grid
from detectors.harm.categories import CATEGORIES
from detectors.harm.model import Model, ModelError, shipped_model
from guard.contract import Channel, Context, DetectorError, Finding, Lane, Report, Span, Stability

STEP: Final = 200
WINDOW: Final = 400
_SENTENCE: Final = 160
"""How far back a sentence end is looked for, in code points."""
_SENTENCE_END: Final = re.compile(r".*(?:[.!?…][\"'”’)\]*]*\s|\n|[。！？])", re.DOTALL)
_FULL_END: Final = re.compile(r"[.!?…。！？][\"'”’)\]*]*\Z")


@dataclass(frozen=True, slots=True)
class HarmSettings:
    """What an operator may change. Rules choose the score at which something is done; these say what gets a score."""

    suspect: float = 0.5
    """A window this likely to be harmful is held until the next one confirms or clears it."""
    sure: float = 0.97
    """A window this likely needs no second one."""
    prompt_suspect: float = 0.8
    """As `suspect`, for the request. Higher: a question about something dangerous is mostly harmless."""
    prompt_sure: float = 0.99
    """As `sure`, for the request."""

    def __post_init__(self) -> None:
        for suspect, sure in (("suspect", "sure"), ("prompt_suspect", "prompt_sure")):
            low, high = getattr(self, suspect), getattr(self, sure)
            if not 0 < low <= high <= 1:
                raise ValueError(f"{suspect} ({low}) and {sure} ({high}) must be 0 < {suspect} <= {sure} <= 1")


class Harm:
    """Content that harms: a cheap first look, not a judge."""

    Settings: ClassVar[type] = HarmSettings
    labels: ClassVar[Mapping[str, str]] = CATEGORIES
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: HarmSettings) -> None:
        self.name = name
        self.settings = settings
        self._model: Model | None = None

    def load(self) -> None:
        """Read the model. Raises `DetectorError` if it is missing or damaged."""
        try:
            self._model = shipped_model()
        except (OSError, ModelError) as error:
            raise DetectorError(
                f"{self.name}: the model that comes with the package cannot be used: {error}; install qwq-guard again"
            ) from error

    def open(self, lane: Lane, context: Context, history: str = "") -> HarmScanner:
        if self._model is None:
            raise DetectorError(f"{self.name}: opened before it was loaded")
        settings = self.settings
        if lane.channel is Channel.PROMPT:
            return HarmScanner(self.name, self._model, settings.prompt_suspect, settings.prompt_sure, history)
        return HarmScanner(self.name, self._model, settings.suspect, settings.sure, history)


class HarmScanner:
    """One lane."""

    __slots__ = (
        "_best", "_grid", "_model", "_name", "_peaks", "_risk", "_said", "_settled", "_sure", "_suspect", "_tail",
        "_worst",
    )  # fmt: skip

    def __init__(self, name: str, model: Model, suspect: float, sure: float, history: str) -> None:
        self._name = name
        self._model = model
        self._suspect = suspect
        self._sure = sure
        self._grid = Grid(STEP, len(history))
        self._tail = history[-WINDOW - _SENTENCE :]
        """The text before the last cut, as far back as is needed."""
        self._settled = len(history)
        cut = len(history) // STEP * STEP
        self._risk = model.risk(history[max(0, cut - WINDOW) : cut]) if cut else 0.0
        """Of the last whole window."""
        self._said = 0.0
        """The highest score reported of the present stretch."""
        self._best = 0.0
        self._worst = ""
        """The window with the highest score. Its category costs more than its score, so it is told when asked for."""
        self._peaks = dict.fromkeys(CATEGORIES, 0.0)

    def feed(self, delta: str) -> Report:
        pieces = self._grid.cut(delta)
        if not pieces:
            return Report(self._settled)
        findings: list[Finding] = []
        end = self._grid.end - sum(map(len, pieces))
        for piece in pieces:
            end += len(piece)
            self._take(piece)
            risk = self._model.risk(self._tail[-WINDOW:])
            score = risk if risk >= self._sure else min(risk, self._risk)
            self._judge(score, end, STEP, findings)
            self._risk = risk
            if risk < self._suspect or score >= self._suspect:
                self._settled = max(self._settled, end - self._unfinished())
        return Report(self._settled, findings)

    def settle(self) -> Report:
        findings: list[Finding] = []
        rest = self._grid.rest()
        end = self._grid.end
        self._take(rest)
        if end <= WINDOW:
            self._judge(self._model.risk(self._tail), end, 0, findings)
        elif rest:
            risk = self._model.risk(self._tail[-WINDOW:])
            # a window that has little new text says again what the one before it said
            second = min(risk, self._risk) if 2 * len(rest) >= STEP else 0.0
            self._judge(risk if risk >= self._sure else second, end, len(rest), findings)
        self._settled = end
        return Report(end, findings)

    def peaks(self) -> Mapping[str, float]:
        """The highest score, under the kind of harm that window would be, and those that were reported."""
        if not self._worst:
            return dict(self._peaks)
        label = self._model.category(self._worst)
        return {**self._peaks, label: max(self._peaks[label], self._best)}

    def _take(self, piece: str) -> None:
        self._tail = (self._tail + piece)[-WINDOW - _SENTENCE :]

    def _judge(self, score: float, end: int, back: int, findings: list[Finding]) -> None:
        """Report the window that ends at `end`, if its score says so; its forerunner ends `back` before it."""
        reported = score >= self._suspect and score > self._said and end > self._settled
        if score > self._best:
            self._best, self._worst = score, self._tail[-WINDOW:]
        if reported:
            label = self._model.category(self._tail[-WINDOW:])
            self._peaks[label] = max(self._peaks[label], score)
            first = max(0, end - WINDOW - back)
            span = Span(max(self._settled, first), end)
            findings.append(Finding(self._name, label, score, span, Span(first, end)))
        self._said = max(self._said, score) if score >= self._suspect else 0.0

    def _unfinished(self) -> int:
        """How many code points before the last cut belong to a sentence that goes on."""
        text = self._tail[-_SENTENCE:]
        if _FULL_END.search(text):
            return 0
        ended = _SENTENCE_END.match(text)
        return len(text) - ended.end() if ended else 0
