"""Golden recordings: an answer's events, and what a client must get of them, written by hand.

tests/golden/NAME.jsonl            the recording (guard/wire/record.py)
tests/golden/NAME.expected.yaml    the expectation; names its policy, tests/golden/POLICY.policy.yaml

Nothing here writes an expectation, and nothing should. What plays recordings is in `tests.support.roads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from guard import registry
from guard.contract import PROMPT_CHOICE, REFUSAL, Context, Lane, Scanner, Stability
from guard.events import (
    CancelUpstream,
    Command,
    Event,
    FailStream,
    FinishChoice,
    RecordDecision,
    Resume,
    SendNotice,
    SendText,
    SendToolCall,
)
from guard.policy import CompiledPolicy, load_policy
from guard.policy.compile import ACTION_NAMES
from guard.wire.record import Header, RecordedEvent, read_events, read_header
from tests.support.engine import Words

FOLDER = Path(__file__).parents[1] / "golden"


# --- a detector that finds words, by the door that plug-ins use


@dataclass(frozen=True, slots=True)
class WordSettings:
    """What to look for."""

    words: tuple[str, ...] = ("ZEBRA",)


class WordDetector:
    """`Words` with settings."""

    Settings: ClassVar[type] = WordSettings
    labels: ClassVar[Mapping[str, str]] = {"animal": "a word of the list"}
    stability: ClassVar[Stability] = Stability.SANDBOX
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: WordSettings) -> None:
        self.name = name
        self._words = settings.words

    def load(self) -> None:
        return None

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        return Words(self.name, self._words, label="animal").open(lane, context, history)


def offer_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let policies name the detector `words` beside the installed ones."""
    points = [*registry.entry_points(), EntryPoint("words", f"{__name__}:{WordDetector.__name__}", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda: points)


# --- what came out


@dataclass
class ChoiceSeen:
    """One choice as it reached the client."""

    reasoning: str = ""
    content: str = ""
    refusal: str = ""
    notice: str = ""
    tools: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """The fields in which text came, neighbours as one."""
    finish: str = ""
    told: str = ""

    def add(self, name: str, text: str) -> None:
        setattr(self, name, getattr(self, name) + text)
        if name in ("reasoning", "content", "refusal") and self.order[-1:] != [name]:
            self.order.append(name)


@dataclass
class Seen:
    """What a road brought to light."""

    choices: dict[int, ChoiceSeen] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    """What upstream was asked to go on with: `how`, `reasoning`, `content`."""
    error: str = ""
    upstream: str = "read to its end"

    def choice(self, index: int) -> ChoiceSeen:
        return self.choices.setdefault(index, ChoiceSeen())

    def note(self, commands: Iterable[Command]) -> None:
        """Take in what the engine orders."""
        for command in commands:
            match command:
                case SendText(lane, text):
                    self.choice(lane.choice).add(_field(lane), text)
                case SendNotice(index, text):
                    self.choice(index).notice += text
                case SendToolCall(index, tool, id, name, arguments):
                    call = {"tool": tool, "id": id, "name": name, "arguments": arguments}
                    self.choice(index).tools.append(call)
                case FinishChoice(index, reason, intervention):
                    self.choice(index).finish = reason
                    self.choice(index).told = told(intervention._asdict()) if intervention else ""
                case RecordDecision():
                    self.record(command)
                case FailStream(code):
                    self.error = code
                case Resume(_, _, reasoning, content, repair):
                    self.asked.append({"how": repair.how, "reasoning": reasoning, "content": content})
                case CancelUpstream():
                    self.upstream = "cancelled"
                case _:
                    pass

    def record(self, record: RecordDecision) -> None:
        """Take in a decision of one of the policy's rules. A detector may learn to find more than they speak of."""
        if record.decision.rule:
            self.records.append(record_line(record))

    def by_client(self) -> Seen:
        """Without what no client can tell: a notice is content."""
        merged = {
            index: replace(choice, content=choice.content + choice.notice, notice="", order=[])
            for index, choice in self.choices.items()
        }
        return replace(self, choices=merged, upstream="")


def _field(lane: Lane) -> str:
    return "refusal" if lane.tool == REFUSAL else str(lane.channel)


def told(intervention: Mapping[str, Any]) -> str:
    how = f" by {intervention['how']}" if intervention.get("how") else ""
    return "{action} {rule}: {detector}/{label} in {channel}".format_map(intervention) + how


def record_line(record: RecordDecision) -> str:
    lane, finding, decision = record.lane, record.finding, record.decision
    if lane.choice == PROMPT_CHOICE:
        where = f"prompt {lane.tool}"
    else:
        where = f"{lane.choice} {_field(lane)}" + (f" {lane.tool}" if lane.tool >= 0 else "")
    action, span = ACTION_NAMES[type(decision.action)], finding.span
    said = f"{action} {decision.rule}: {finding.detector}/{finding.label}"
    return f"{said} in {where} {span.start}..{span.end} at {record.at}"


# --- cases


@dataclass(frozen=True)
class Case:
    """One recording and what is expected of it."""

    name: str
    policy_name: str
    expected: Seen

    @property
    def lines(self) -> list[str]:
        return (FOLDER / f"{self.name}.jsonl").read_text("utf-8").splitlines()

    @property
    def header(self) -> Header:
        return read_header(self.lines)

    @property
    def recorded(self) -> list[RecordedEvent]:
        return list(read_events(self.lines))

    @property
    def events(self) -> list[Event]:
        return [recorded.event for recorded in self.recorded]

    @property
    def choices(self) -> int:
        return max(1, len(self.expected.choices))

    def policy(self) -> CompiledPolicy:
        policy = load_policy(FOLDER / f"{self.policy_name}.policy.yaml")
        policy.load()
        return policy


def read_case(name: str) -> Case:
    """A case by its name. Raises on keys that mean nothing: an expectation that is not looked at proves nothing."""
    written = yaml.safe_load((FOLDER / f"{name}.expected.yaml").read_text("utf-8"))
    policy = written.pop("policy")
    choices = {index: ChoiceSeen(**_joined(choice)) for index, choice in written.pop("choices").items()}
    for choice in choices.values():
        choice.order = choice.order or [lane for lane in ("reasoning", "content", "refusal") if getattr(choice, lane)]
    asked = [{key: _text(value) for key, value in each.items()} for each in written.pop("asked", ())]
    return Case(name, policy, Seen(choices=choices, asked=asked, **written))


def _joined(choice: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _text(value) if key in ("reasoning", "content", "refusal") else value for key, value in choice.items()}


def _text(written: Any) -> str:
    """A text as expectations write it: a string, {repeat: string, times: n}, or a list of these."""
    if isinstance(written, str):
        return written
    if isinstance(written, list):
        return "".join(map(_text, written))
    return str(written["repeat"]) * int(written["times"])


def names() -> Iterator[str]:
    for recording in sorted(FOLDER.glob("*.jsonl")):
        yield recording.stem
