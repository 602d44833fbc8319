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

A window is made of pieces of 200 characters without their disguises (`detectors.harm.seen`): of as many as show 400
characters together, two of plain text. What a long encoded stretch says (`detectors._encoded`) is judged as a text of
its own when the stretch ends; its last 1,000 characters are held until then.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from detectors._encoded import LAYERS, Said, Stretches
from detectors._grid import Grid
from detectors.harm.categories import CATEGORIES
from detectors.harm.model import Model, ModelError, shipped_model
from detectors.harm.seen import seen
from guard.contract import Channel, Context, DetectorError, Finding, Lane, Report, Span, Stability

STEP: Final = 200
WINDOW: Final = 400
_SENTENCE: Final = 160
"""How far back a sentence end is looked for, in code points."""
_SENTENCE_END: Final = re.compile(r".*(?:[.!?…][\"'”’)\]*]*\s|\n|[。！？])", re.DOTALL)
_FULL_END: Final = re.compile(r"[.!?…。！？][\"'”’)\]*]*\Z")
_PIECES: Final = 40
"""Pieces that a window may be made of, where most of their characters are not seen."""
_TOKEN: Final = "[A-Za-z0-9+/=_%-]"
_HALF: Final = 12
_ENCODED: Final = re.compile(
    rf"{_TOKEN}{{{2 * _HALF}}}|\A{_TOKEN}{{{_HALF}}}|{_TOKEN}{{{_HALF}}}\Z|[\U000e0020-\U000e007e]|\u202e"
)
"""An encoded stretch worth reading, or the part of one on this side of a cut."""
_OPEN_TOKEN: Final = re.compile(rf"(?<!{_TOKEN}){_TOKEN}{{1,{_SENTENCE}}}\Z")
_LONGEST_WAIT: Final = 1_000
"""Code points of an encoded stretch that wait for its end. What comes to light later concerns these."""
_SHORTEST_SAID: Final = 12
"""Characters: what says less is not judged."""


def _may_be_encoded(piece: str) -> bool:
    """Is there an encoded stretch worth reading, or half of one at a cut? Most text is let go without a search."""
    if piece.isascii() and max(map(len, piece.split()), default=0) < _HALF:
        return False
    return _ENCODED.search(piece) is not None


class _Piece(NamedTuple):
    """Text between two cuts: where it starts, and what is seen of it."""

    start: int
    seen: str


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
    """One lane, or what an encoded stretch of one says (`layer` 1 and more)."""

    __slots__ = (
        "_best", "_encoded", "_encoded_base", "_grid", "_layer", "_model", "_name", "_peaks", "_pieces", "_risk",
        "_said", "_settled", "_sure", "_suspect", "_tail", "_worst",
    )  # fmt: skip

    def __init__(self, name: str, model: Model, suspect: float, sure: float, history: str, layer: int = 0) -> None:
        self._name = name
        self._model = model
        self._suspect = suspect
        self._sure = sure
        self._layer = layer
        self._grid = Grid(STEP, len(history))
        self._tail = ""
        """The last characters before the last cut: the sentence that goes on, or an encoded stretch."""
        self._pieces: deque[_Piece] = deque(maxlen=_PIECES)
        self._encoded: Stretches | None = None
        """While one is open, the stretches from `_encoded_base` on."""
        self._encoded_base = 0
        self._settled = len(history)
        cut = len(history) // STEP * STEP
        for start in range(max(0, cut - WINDOW), cut, STEP):
            self._take(history[start : start + STEP], start)
        self._risk = self._model.weigh(self._window(WINDOW)[1]) if cut else 0.0
        """Of the last whole window."""
        self._take(history[cut:], cut)
        self._tail = history[-_SENTENCE:]
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
            said = self._read(piece, end)
            self._take(piece, end)
            end += len(piece)
            first, window = self._window(WINDOW)
            risk = self._model.weigh(window)
            score = risk if risk >= self._sure else min(risk, self._risk)
            self._judge(score, window, Span(max(0, min(first, end - WINDOW - STEP)), end), findings)
            self._risk = risk
            for stretch in said:
                self._decode(stretch, end, findings)
            if risk < self._suspect or score >= self._suspect:
                self._settled = max(self._settled, min(end - self._unfinished(), self._open(end)))
        return Report(self._settled, findings)

    def settle(self) -> Report:
        findings: list[Finding] = []
        rest = self._grid.rest()
        end = self._grid.end
        said = [*self._read(rest, end - len(rest)), *(self._encoded.settle() if self._encoded else ())]
        self._take(rest, end - len(rest))
        if end <= WINDOW:
            _, window = self._window(2 * WINDOW)
            self._judge(self._model.weigh(window), window, Span(0, end), findings)
        elif rest:
            first, window = self._window(WINDOW + STEP)
            risk = self._model.weigh(window)
            # a window that has little new text says again what the one before it said
            second = min(risk, self._risk) if 2 * len(rest) >= STEP else 0.0
            score = risk if risk >= self._sure else second
            self._judge(score, window, Span(max(0, min(first, end - WINDOW - len(rest))), end), findings)
        for stretch in said:
            self._decode(stretch, end, findings)
        self._settled = end
        return Report(end, findings)

    def peaks(self) -> Mapping[str, float]:
        """The highest score, under the kind of harm that window would be, and those that were reported."""
        if not self._worst:
            return dict(self._peaks)
        label = self._model.category(self._worst)
        return {**self._peaks, label: max(self._peaks[label], self._best)}

    def _take(self, piece: str, start: int) -> None:
        if piece:
            self._pieces.append(_Piece(start, seen(piece)))
            self._tail = (self._tail + piece)[-_SENTENCE:]

    def _window(self, length: int) -> tuple[int, str]:
        """Where the last pieces that show `length` characters begin, two at least, and what they show."""
        shown: list[str] = []
        first = total = 0
        for start, text in reversed(self._pieces):
            total += len(text)
            if total > length and len(shown) >= WINDOW // STEP:
                break
            first = start
            shown.append(text)
        return first, "".join(reversed(shown))

    def _judge(self, score: float, window: str, evidence: Span, findings: list[Finding]) -> None:
        """Report the window, and with it the one that it confirms, if its score says so."""
        reported = score >= self._suspect and score > self._said and evidence.end > self._settled
        if score > self._best:
            self._best, self._worst = score, window
        if reported:
            label = self._model.category(window)
            self._peaks[label] = max(self._peaks[label], score)
            span = Span(max(self._settled, evidence.start), evidence.end)
            findings.append(Finding(self._name, label, score, span, evidence))
        self._said = max(self._said, score) if score >= self._suspect else 0.0

    def _unfinished(self) -> int:
        """How many code points before the last cut belong to a sentence that goes on."""
        text = self._tail
        if _FULL_END.search(text):
            return 0
        ended = _SENTENCE_END.match(text)
        return len(text) - ended.end() if ended else 0

    # --- encoded stretches

    def _read(self, piece: str, start: int) -> Sequence[Said]:
        """The stretches that `piece`, which starts at `start`, ends. None are looked for before one may be there."""
        if self._encoded is None:
            if self._layer >= LAYERS or not _may_be_encoded(piece):
                return ()
            before = _OPEN_TOKEN.search(self._tail)
            head = before[0] if before else ""
            self._encoded, self._encoded_base = Stretches(), start - len(head)
            piece = head + piece
        said = [*self._encoded.take(piece)]
        base = self._encoded_base
        if self._encoded_base + self._encoded.open >= start + len(piece):
            self._encoded = None
        return [each._replace(start=base + each.start, end=base + each.end) for each in said]

    def _open(self, end: int) -> int:
        """Where the text begins that waits for an encoded stretch to end, or `end`."""
        return end if self._encoded is None else max(self._encoded_base + self._encoded.open, end - _LONGEST_WAIT)

    def _decode(self, said: Said, end: int, findings: list[Finding]) -> None:
        """Judge what a stretch says, and report it as a finding of the stretch."""
        if len(said.text) < _SHORTEST_SAID or said.end <= self._settled:
            return
        inner = HarmScanner(self._name, self._model, self._suspect, self._sure, "", self._layer + 1)
        found = [*inner.feed(said.text).findings, *inner.settle().findings]
        for label, score in inner.peaks().items():
            self._peaks[label] = max(self._peaks[label], score)
        if found:
            worst = max(found, key=lambda finding: finding.score)
            decoded = "/".join([said.codec, *(str(value) for value in worst.detail.values())])
            evidence = Span(said.start, min(said.end, end))
            span = Span(max(self._settled, evidence.start), evidence.end)
            findings.append(Finding(self._name, worst.label, worst.score, span, evidence, {"decoded": decoded}))
