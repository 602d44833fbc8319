"""What tests of the engine share: fake detectors, a plan in one line, and ways to play events and read commands.

Fakes are plain: `Words` finds words and holds back only their beginnings, `Custom` says whatever a test wants it to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, ClassVar

from guard.contract import Channel, Context, Detector, Finding, Lane, Report, Scanner, Span, Stability
from guard.engine.plan import DEFAULT_HOLD, Hold, Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    Action,
    Command,
    Cut,
    Decision,
    Event,
    FinishChoice,
    Flag,
    RecordDecision,
    SendText,
    SendToolCall,
    TextReceived,
)

REASONING = Lane(0, Channel.REASONING)
CONTENT = Lane(0, Channel.CONTENT)


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Fakes are set up by their constructors."""


class _Fake:
    Settings: ClassVar[type] = NoSettings
    labels: ClassVar[Mapping[str, str]] = {"hit": "what the test looks for", "other": "something else"}
    stability: ClassVar[Stability] = Stability.SANDBOX
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: Any = None) -> None:
        self.name = name
        self.fed: dict[Lane, list[str]] = {}
        """The pieces each lane's scanner was fed."""
        self.settles: dict[Lane, list[int]] = {}
        """How much of each lane had been fed whenever its scanner was told to settle."""

    def load(self) -> None:
        return None


class Words(_Fake):
    """Finds words, overlapping ones too. Holds back what may be the beginning of one, and `lag` code points more."""

    def __init__(self, name: str, words: Iterable[str], *, lag: int = 0, label: str = "hit") -> None:
        super().__init__(name)
        self.words = tuple(words)
        self.lag = lag
        self.label = label

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        return _WordScanner(self, lane, history)


class _WordScanner:
    def __init__(self, detector: Words, lane: Lane, history: str) -> None:
        self._detector = detector
        self._pieces = detector.fed.setdefault(lane, [])
        self._settles = detector.settles.setdefault(lane, [])
        self._text = history
        self._settled = len(history)

    def feed(self, delta: str) -> Report:
        self._pieces.append(delta)
        before = len(self._text)
        self._text += delta
        found = [
            Finding(self._detector.name, self._detector.label, 0.9, Span(start, end))
            for start, end in occurrences(self._text, self._detector.words, self._settled)
            if end > before
        ]
        self._settled = max(self._settled, min(self._open(), len(self._text) - self._detector.lag))
        return Report(self._settled, found)

    def settle(self) -> Report:
        self._settles.append(len(self._text))
        self._settled = len(self._text)
        return Report(self._settled)

    def _open(self) -> int:
        """Where the earliest word begins that the text to come may complete."""
        end = len(self._text)
        longest = max(map(len, self._detector.words))
        for start in range(max(end - longest + 1, 0), end):
            if any(word.startswith(self._text[start:]) for word in self._detector.words):
                return start
        return end


class Custom(_Fake):
    """Answers with what `feed` and `settle` make of the whole text so far, be it nonsense; by default it is content."""

    def __init__(
        self,
        name: str = "custom",
        *,
        feed: Callable[[str], Any] = lambda text: Report(len(text)),
        settle: Callable[[str], Any] = lambda text: Report(len(text)),
        opening: Callable[[Lane, Context], None] = lambda lane, context: None,
        peaks: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__(name)
        self.feed = feed
        self.settle = settle
        self.opening = opening
        self.peaks = peaks

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        self.opening(lane, context)
        return _TellingScanner(self, lane, history) if self.peaks else _CustomScanner(self, lane, history)


class _CustomScanner:
    def __init__(self, detector: Custom, lane: Lane, history: str) -> None:
        self._detector = detector
        self._pieces = detector.fed.setdefault(lane, [])
        self._settles = detector.settles.setdefault(lane, [])
        self._text = history

    def feed(self, delta: str) -> Report:
        self._pieces.append(delta)
        self._text += delta
        return self._detector.feed(self._text)  # type: ignore[no-any-return]

    def settle(self) -> Report:
        self._settles.append(len(self._text))
        return self._detector.settle(self._text)  # type: ignore[no-any-return]


class _TellingScanner(_CustomScanner):
    def peaks(self) -> Mapping[str, float]:
        assert self._detector.peaks is not None
        return self._detector.peaks()


def occurrences(text: str, words: Iterable[str], since: int = 0) -> Iterator[tuple[int, int]]:
    """Where `words` stand in `text` from `since` on, overlaps included, word by word."""
    for word in words:
        start = text.find(word, since)
        while start >= 0:
            yield start, start + len(word)
            start = text.find(word, start + 1)


def hit(start: int, end: int, *, detector: str = "custom", label: str = "hit", score: float = 0.9) -> Finding:
    return Finding(detector, label, score, Span(start, end))


def plan_of(
    *detectors: Detector,
    actions: Mapping[str, Action] | None = None,
    on_error: Action | None = None,
    channels: Iterable[Channel] = Channel,
    hold: Mapping[Channel, Hold] | None = None,
    keep_text: bool = False,
) -> Plan:
    """`actions` maps a detector's name, or `name/label`, to what its findings do; what is not named is flagged.

    The rule id is the key. `on_error` is what an `error` does (default: cut).
    """
    rules = dict(actions or {})

    def decide(lane: Lane, finding: Finding) -> Decision:
        for key in (f"{finding.detector}/{finding.label}", finding.detector):
            if key in rules and (finding.label != "error" or key.endswith("/error")):
                return Decision(key, rules[key])
        return Decision("on_error", on_error or Cut()) if finding.label == "error" else Decision("", Flag())

    def can_act(channel: Channel, name: str) -> bool:
        return any(key.split("/")[0] == name and not isinstance(action, Flag) for key, action in rules.items())

    return Plan(
        watch=dict.fromkeys(channels, detectors),
        decide=decide,
        can_act=can_act,
        hold={**DEFAULT_HOLD, **(hold or {})},
        keep_text=keep_text,
    )


def play(guard: StreamGuard, events: Iterable[Event]) -> list[Command]:
    """Every command that `events` lead to. After each event it is checked that no held lane let go too much."""
    commands: list[Command] = []
    for event in events:
        commands += guard.receive(event)
        for lane in guard.lanes():
            if lane.held:
                assert lane.released <= lane.floor <= lane.fed, (lane.lane, lane.released, lane.floor, lane.fed)
    return commands


def said(commands: Iterable[Command]) -> dict[Lane, str]:
    """The model text that left, by lane. A tool call reads as its name, a line end and its arguments."""
    texts: dict[Lane, str] = {}
    for command in commands:
        if isinstance(command, SendText):
            texts[command.lane] = texts.get(command.lane, "") + command.text
        elif isinstance(command, SendToolCall):
            texts[Lane(command.choice, Channel.TOOL, command.tool)] = f"{command.name}\n{command.arguments}"
    return texts


def records(commands: Iterable[Command]) -> list[RecordDecision]:
    return [command for command in commands if isinstance(command, RecordDecision)]


def finishes(commands: Iterable[Command]) -> dict[int, FinishChoice]:
    """How each choice was finished; asserts that none was finished twice."""
    found: dict[int, FinishChoice] = {}
    for command in commands:
        if isinstance(command, FinishChoice):
            assert command.choice not in found, f"choice {command.choice} was finished twice"
            found[command.choice] = command
    return found


def seen(commands: Iterable[Command]) -> list[Command]:
    """What a client can tell apart: no records, and neighbouring texts of a lane as one."""
    out: list[Command] = []
    for command in commands:
        if isinstance(command, RecordDecision):
            continue
        last = out[-1] if out else None
        if isinstance(command, SendText) and isinstance(last, SendText) and command.lane == last.lane:
            out[-1] = replace(last, text=last.text + command.text)
        else:
            out.append(command)
    return out


def rechunk(text: str, sizes: Sequence[int]) -> list[str]:
    """`text` in pieces of `sizes` code points, taken in turn and over again."""
    pieces: list[str] = []
    start = 0
    for size in cycle(sizes):
        if start >= len(text):
            break
        pieces.append(text[start : start + size])
        start += size
    return pieces


def rechunked(events: Iterable[Event], sizes: Sequence[int]) -> list[Event]:
    """The same events with every text cut up anew."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, TextReceived):
            out += [replace(event, text=piece) for piece in rechunk(event.text, sizes)] or [event]
        else:
            out.append(event)
    return out
