"""Ends answers that run away: budgets for each lane and for a whole choice.

Going past the soft budget is a finding of score 0.5, past the hard one of score 0.9, each once a lane. The span starts
at the first character over the budget, so a cut there leaves the budget's worth of text. Nothing is held back: on a
budget counted by a tokenizer, or for the whole choice, the text before the step in which it was noticed has gone.

Without settings, the soft and hard budgets of thinking and answer are 8,000 and 16,000 tokens each; of QwQ-32B-Preview,
which thinks less and in its answer, half of that. Of 910 ordinary outputs of QwQ-32B 5.6 % are past the soft and 0.3 %
past the hard budget, of 765 of Preview 9.8 % and 1.3 % (estimated tokens). `detail` holds what the last 4,000
characters say of overthinking (`detectors._overthinking`).

Tokens are counted by the tokenizer at `tokenizer`, else estimated; the budget of a choice is compared with the
engine's own count over all lanes (`Context.spent`). There is no budget of a choice in characters: nobody but the engine
sees all lanes of a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Final

from detectors import _overthinking
from detectors._count import Characters, CountedTokens, EstimatedTokens, Meter
from guard.contract import STOP, WARN, Channel, Context, DetectorError, Finding, Lane, Report, Span, Stability


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be written. Leave one out for no limit."""

    soft: int | None = None
    """Past this: a finding `soft_budget`, score 0.5."""
    hard: int | None = None
    """Past this: a finding `hard_budget`, score 0.9."""

    def __post_init__(self) -> None:
        for name, value in (("soft", self.soft), ("hard", self.hard)):
            if value is not None and value < 0:
                raise ValueError(f"{name} must be 0 or more, not {value}")
        if self.soft is not None and self.hard is not None and self.soft > self.hard:
            raise ValueError(f"soft ({self.soft}) must not be above hard ({self.hard})")

    @property
    def limits(self) -> list[tuple[int, str, float]]:
        """Limit, label and score, the lower limit first."""
        both = ((self.soft, "soft_budget", WARN), (self.hard, "hard_budget", STOP))
        return [(limit, label, score) for limit, label, score in both if limit is not None]


@dataclass(frozen=True, slots=True)
class LengthSettings:
    """What an operator may change. A budget that is given replaces that of the model's family."""

    reasoning_tokens: Budget | None = None
    """Tokens of the thinking. By default those of the model's family (`FAMILIES`); `{}` sets no limit."""
    content_tokens: Budget | None = None
    """Tokens of the answer. By default those of the model's family (`FAMILIES`); `{}` sets no limit."""
    tool_tokens: Budget = field(default_factory=Budget)
    """Tokens of one tool call: its name and arguments."""
    choice_tokens: Budget = field(default_factory=Budget)
    """Tokens of a whole choice: thinking, answer and tool calls, as the engine counts them."""
    choice_characters: Budget = field(default_factory=Budget)
    """Code points of a whole choice."""
    reasoning_characters: Budget = field(default_factory=Budget)
    content_characters: Budget = field(default_factory=Budget)
    tool_characters: Budget = field(default_factory=Budget)
    tokenizer: str = ""
    """A `tokenizer.json` or the folder that holds one. Without it tokens are estimated from the kinds of characters."""


FAMILIES: Final = (("*qwq-32b-preview*", Budget(4_000, 8_000)), ("*", Budget(8_000, 16_000)))
"""Names of models, as a glob in lower case, and the budget of thinking and answer; the first that fits."""


class Length:
    """Answers, thoughts and tool calls that are longer than they may be."""

    Settings: ClassVar[type] = LengthSettings
    labels: ClassVar[Mapping[str, str]] = {
        "soft_budget": "longer than it should be",
        "hard_budget": "longer than it may be",
    }
    stability: ClassVar[Stability] = Stability.STABLE
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: LengthSettings) -> None:
        self.name = name
        self.settings = settings
        self._count: Callable[[str], int] | None = None

    def load(self) -> None:
        """Read the tokenizer, if one is configured. Raises `DetectorError` if that cannot be done."""
        if self.settings.tokenizer and self._count is None:
            self._count = _read_tokenizer(self.name, Path(self.settings.tokenizer).expanduser())

    def open(self, lane: Lane, context: Context, history: str = "") -> LengthScanner:
        settings = self.settings
        family = next(budget for names, budget in FAMILIES if fnmatchcase(context.model.lower(), names))
        tokens: dict[Channel, Budget] = {
            Channel.REASONING: family if settings.reasoning_tokens is None else settings.reasoning_tokens,
            Channel.CONTENT: family if settings.content_tokens is None else settings.content_tokens,
            Channel.TOOL: settings.tool_tokens,
        }
        characters: dict[Channel, Budget] = {
            Channel.REASONING: settings.reasoning_characters,
            Channel.CONTENT: settings.content_characters,
            Channel.TOOL: settings.tool_characters,
        }
        gauges = []
        if lane.channel in tokens:
            meter = CountedTokens(self._count) if self._count else EstimatedTokens()
            counted = "tokenizer" if self._count else "estimate"
            gauges = [
                _Gauge(f"{lane.channel}_tokens", counted, meter, tokens[lane.channel]),
                _Gauge(f"{lane.channel}_characters", "characters", Characters(), characters[lane.channel]),
                _Gauge("choice_tokens", "engine", _ByEngine(context.spent, lane.choice), settings.choice_tokens),
                _Gauge(
                    "choice_characters",
                    "characters",
                    _ByEngine(context.written, lane.choice),
                    settings.choice_characters,
                ),
            ]
        return LengthScanner(self.name, [gauge for gauge in gauges if gauge.limits], history)


class LengthScanner:
    """One lane."""

    __slots__ = ("_fed", "_gauges", "_history", "_kept", "_name", "_peaks", "_pieces")

    def __init__(self, name: str, gauges: list[_Gauge], history: str) -> None:
        self._name = name
        self._gauges = gauges
        self._history = len(history)
        self._fed = len(history)
        self._peaks = dict.fromkeys(Length.labels, 0.0)
        self._pieces: list[str] = []
        self._kept = 0
        self._keep(history)
        for gauge in gauges if history else ():
            total = gauge.meter.advance(history)
            # Reported before; but past the hard budget the lane is over, and goes on: that is said once more.
            while len(gauge.limits) > 1 and total > gauge.limits[0][0]:
                gauge.limits.pop(0)

    def feed(self, delta: str) -> Report:
        self._fed += len(delta)
        findings: list[Finding] = []
        if delta:
            self._keep(delta)
            for gauge in self._gauges:
                total = gauge.meter.advance(delta)
                while gauge.limits and total > gauge.limits[0][0]:
                    findings.append(self._finding(gauge, *gauge.limits.pop(0)))
                for limit, label, score in gauge.limits:
                    self._peaks[label] = max(self._peaks[label], score * min(1.0, total / max(limit, 1)))
        if len(findings) > 1:
            findings.sort(key=lambda finding: finding.span)
        return Report(self._fed, findings)

    def settle(self) -> Report:
        return Report(self._fed)

    def peaks(self) -> Mapping[str, float]:
        return dict(self._peaks)

    def _finding(self, gauge: _Gauge, limit: int, label: str, score: float) -> Finding:
        start = max(gauge.meter.passed(limit), self._history)
        self._peaks[label] = score
        return Finding(
            detector=self._name,
            label=label,
            score=score,
            span=Span(start, start + 1),
            detail={"budget": gauge.budget, "limit": limit, "counted": gauge.counted, **self._signals(start)},
        )

    def _keep(self, delta: str) -> None:
        if not self._gauges or not delta:
            return
        self._pieces.append(delta)
        self._kept += len(delta)
        if self._kept > 2 * _overthinking.KEPT + len(delta):
            tail = "".join(self._pieces)[-_overthinking.KEPT - len(delta) :]
            self._pieces = [tail]
            self._kept = len(tail)

    def _signals(self, end: int) -> dict[str, float]:
        """What the text up to `end` says of overthinking: the same however it was cut."""
        text = "".join(self._pieces)
        return _overthinking.signals(text[: len(text) - (self._fed - end)])


class _Gauge:
    """One budget of one lane: the meter, and the limits that have not been passed."""

    __slots__ = ("budget", "counted", "limits", "meter")

    def __init__(self, budget: str, counted: str, meter: Meter, limits: Budget) -> None:
        self.budget = budget
        self.counted = counted
        self.meter = meter
        self.limits = limits.limits


class _ByEngine:
    """The engine's count for a choice; a limit is passed at the start of the piece in which that is noticed."""

    __slots__ = ("_choice", "_fed", "_last", "_spent")

    def __init__(self, spent: Callable[[int], int], choice: int) -> None:
        self._spent = spent
        self._choice = choice
        self._fed = 0
        self._last = 0

    def advance(self, delta: str) -> float:
        self._last = self._fed
        self._fed += len(delta)
        return self._spent(self._choice)

    def passed(self, limit: float) -> int:
        return self._last


def _read_tokenizer(name: str, path: Path) -> Callable[[str], int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise DetectorError(
            f"{name}: the setting `tokenizer` needs the package tokenizers: pip install tokenizers, or remove the "
            "setting to have tokens estimated"
        ) from error
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise DetectorError(f"{name}: tokenizer: there is no file {file}; give a tokenizer.json or its folder")
    try:
        tokenizer: Any = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises nothing narrower
        raise DetectorError(f"{name}: tokenizer: {file} cannot be read: {error}") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
