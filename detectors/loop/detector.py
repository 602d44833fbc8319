"""Finds text that goes round in circles.

    delta --> steps of 64 code points --> Verbatim     exact periods of the tail        exact, run
                                      --> Headers      parts of the prompt taken up     self_prompt
                                      --> Words -----> Diagonal     copies that differ  near, counter
                                                 +---> Recurrence   phrases             recurrence
                                                 +---> Stagnation   nothing new         stagnation
                                                 +---> Circling     turns               circular
                                                 +---> Sentences    one sentence        sentence

Each statistic comes to a level between 0 and 1 (`detectors.loop.level`); a finding is made where it passes 0.5 (warn)
and where it passes 0.9 (stop), once each in an episode. Everything is decided at absolute multiples of 64 code points,
so how the text was cut does not matter. Text is held back only for verbatim copies: from the suspicion on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar, Final

from detectors._grid import GridTail
from detectors.loop.circling import Circling
from detectors.loop.diagonal import Diagonal
from detectors.loop.exact import STEP, Run
from detectors.loop.fence import Fence
from detectors.loop.headers import Headers
from detectors.loop.level import Episode
from detectors.loop.prompt import Prompt
from detectors.loop.recurrence import Recurrence
from detectors.loop.sentences import Sentences
from detectors.loop.settings import LoopSettings
from detectors.loop.stagnation import Stagnation
from detectors.loop.verbatim import Suspicion, Verbatim
from detectors.loop.words import Words
from guard.contract import STOP, Channel, Context, Finding, Lane, Report, Span, Stability

_PROMPTS: Final = 32
"""Prompts that are remembered: a response has several lanes."""
_TABLE: Final = 3
"""Bars in a step that make it part of a table."""


class Loop:
    """Text that repeats itself: word for word, with changes, or in other order; and text that says nothing new."""

    Settings: ClassVar[type] = LoopSettings
    labels: ClassVar[Mapping[str, str]] = {
        "exact": "the same passage again and again",
        "run": "one character, one word or white space again and again",
        "near": "the same passage again and again, with small changes",
        "counter": "a count or list that goes on and on, one line like the other",
        "recurrence": "the same phrases again and again, in any order",
        "stagnation": "hardly a pair of words that was not used before",
        "circular": "one new start after the other that brings nothing new",
        "sentence": "one sentence again and again, with others in between (never surer than 0.5)",
        "self_prompt": "the response continues the prompt, part after part, instead of answering it",
    }
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: LoopSettings) -> None:
        self.name = name
        self.settings = settings
        self._prompt = lru_cache(_PROMPTS)(Prompt)

    def load(self) -> None:
        """Nothing to load."""

    def open(self, lane: Lane, context: Context, history: str = "") -> LoopScanner:
        return LoopScanner(self.name, self.settings, lane, self._prompt(context.prompt), history)


class LoopScanner:
    """One lane. Keeps the last `longest_period` characters or so, tables of fixed size, and a handful of numbers."""

    __slots__ = (
        "_circling",
        "_diagonal",
        "_episodes",
        "_fence",
        "_floor",
        "_headers",
        "_held",
        "_hold",
        "_in_tool",
        "_name",
        "_peaks",
        "_recurrence",
        "_sentences",
        "_stagnation",
        "_tail",
        "_verbatim",
        "_words",
    )

    def __init__(self, name: str, settings: LoopSettings, lane: Lane, prompt: Prompt, history: str) -> None:
        self._name = name
        self._hold = settings.hold
        self._in_tool = lane.channel is Channel.TOOL
        self._verbatim = Verbatim(settings.longest_period, settings.patience, prompt)
        self._tail = GridTail(step=STEP, keep=self._verbatim.window)
        self._fence = Fence()
        self._headers = Headers(prompt.headers, settings.restarts)
        self._words = Words(prompt.told)
        self._diagonal = Diagonal(self._words, settings.patience, prompt.told.most)
        self._recurrence = Recurrence(self._words, settings.patience)
        self._stagnation = Stagnation(self._words, settings.patience)
        self._circling = Circling(prompt.told, settings.patience)
        self._sentences = Sentences()
        self._held: int | None = None
        self._floor = 0
        self._episodes = {label: Episode() for label in Loop.labels}
        self._peaks = dict.fromkeys(Loop.labels, 0.0)
        if history:
            self._prime(history)

    def feed(self, delta: str) -> Report:
        findings: list[Finding] = []
        for end in self._tail.grow(delta):
            self._look(end, findings)
        return Report(self._tail.fed if self._held is None else self._held, findings)

    def settle(self) -> Report:
        """Lets go of what is held. Loops are found at multiples of 64 characters, so nothing is decided here."""
        self._floor = self._tail.fed
        if self._held is not None:
            self._held = self._floor
        return Report(self._floor)

    def peaks(self) -> Mapping[str, float]:
        return dict(self._peaks)

    def _prime(self, history: str) -> None:
        """Remember `history`, and suspect nothing for it but what goes on verbatim."""
        self.feed(history)
        self._floor = len(history)
        self._held = None
        self._verbatim.forget()
        for statistic in (
            self._diagonal,
            self._recurrence,
            self._stagnation,
            self._circling,
            self._sentences,
            self._headers,
        ):
            statistic.restart()
        for label in Loop.labels:
            self._episodes[label] = Episode()
            self._peaks[label] = 0.0

    def _look(self, end: int, findings: list[Finding]) -> None:
        text = self._tail.text
        self._fence.look(text, end)
        suspicion = self._verbatim.look(text, end, self._fence.opened)
        held = self._holding(suspicion, end)
        if suspicion is not None:
            self._suspect(suspicion, held, findings)
        self._headers.look(text, end)
        headers = self._headers
        restarts = {"copies": headers.most}
        self._raise("self_prompt", headers.level(), headers.since, held, end, findings, restarts)
        self._read(text[-STEP:], held, end, findings)

    def _read(self, piece: str, held: int, end: int, findings: list[Finding]) -> None:
        protected = self._in_tool or self._fence.opened >= 0 or piece.count("|") >= _TABLE
        step = self._words.read(piece, end, protected=protected)
        if not step.words:
            return
        repeat = self._diagonal.take(step)
        self._recurrence.take(step, listing=self._diagonal.listing)
        self._stagnation.take(step, listing=self._diagonal.listing)
        self._circling.take(step)
        self._sentences.take(step)
        if repeat is not None:
            detail = {"period": round(repeat.period), "copies": round(repeat.copies, 1)}
            self._raise(repeat.label, repeat.level, repeat.since, held, end, findings, detail)
        since = self._stagnation.since
        self._raise("stagnation", self._stagnation.level(), since, held, end, findings)
        # Phrases count from their fourth time on; nothing new was said since their second.
        self._raise("recurrence", self._recurrence.level(), min(since, self._recurrence.since), held, end, findings)
        self._raise("circular", self._circling.level(), self._circling.since, held, end, findings)
        self._raise("sentence", self._sentences.level(), end, held, end, findings)

    def _holding(self, suspicion: Suspicion | None, end: int) -> int:
        """Hold, or let go; where a span may start at the earliest."""
        if suspicion is None or not suspicion.holds:
            self._held = None
            return max(end - 1, self._floor)
        # At the look that raises the suspicion, everything before its last character may have gone already.
        held = end - 1 if self._held is None else self._held
        self._held = held = max(held, self._floor, end - self._hold)
        return held

    def _suspect(self, suspicion: Suspicion, held: int, findings: list[Finding]) -> None:
        label, level, run, score = suspicion
        self._peaks[label] = max(self._peaks[label], level)
        if score is None:
            return
        if score == STOP:
            self._held = None  # nothing more will be said of this run
        findings.append(self._finding(label, score, run.start, held, run.end, _detail(run)))

    def _raise(
        self,
        label: str,
        level: float,
        since: int,
        held: int,
        end: int,
        findings: list[Finding],
        detail: Mapping[str, float] | None = None,
    ) -> None:
        if level > self._peaks[label]:
            self._peaks[label] = level
        score = self._episodes[label].rise(level)
        if score is not None:
            findings.append(self._finding(label, score, min(since, end - 1), held, end, detail or {}))

    def _finding(
        self, label: str, score: float, since: int, held: int, end: int, detail: Mapping[str, float]
    ) -> Finding:
        return Finding(
            detector=self._name,
            label=label,
            score=score,
            span=Span(max(held, since), end),
            evidence=Span(since, end),
            detail=detail,
        )


def _detail(run: Run) -> Mapping[str, float]:
    return {"period": run.period, "copies": round(run.copies, 1)}
