"""Recorded outputs through the same engine as live ones: what would this policy have done?

    record (JSON) --> prompt, reasoning, content --> StreamGuard --> ScanResult (JSON)

A record is `{"id", "prompt" | "messages", "output" | ("reasoning", "content"), "model"?}`; `output` may hold its
thinking between `<think>` and `</think>`. Spans and `at` count code points of the lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from guard.contract import ERROR_LABEL, PROMPT_CHOICE, Channel, Context, Lane, Span
from guard.engine.stream import StreamGuard
from guard.events import (
    ChoiceFinished,
    Command,
    Cut,
    Event,
    FinishChoice,
    Flag,
    Mask,
    RecordDecision,
    Repair,
    Resume,
    SendText,
    TextReceived,
    UpstreamEnded,
)
from guard.policy import CompiledPolicy
from guard.wire.think import split_output

REPAIRS: Final = frozenset({"conclude", "resample", "hand_over"})
_WORDS: Final[Mapping[type, str]] = {Flag: "flag", Mask: "mask", Cut: "cut", Repair: "repair"}

Outcome = Literal["passed", "flagged", "masked", "cut", "repaired", "error"]


class RecordError(ValueError):
    """A record that cannot be scanned; the message says what it lacks."""


class Record(msgspec.Struct, kw_only=True):
    """One recorded answer. Fields that are not named here are ignored."""

    id: str | int
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    output: str | None = None
    reasoning: str | None = None
    content: str | None = None
    model: str | None = None

    def texts(self) -> tuple[str, str]:
        """Reasoning and content. Raises `RecordError` if there is neither."""
        if self.output is not None:
            return split_output(self.output, self.model or "")
        if self.reasoning is None and self.content is None:
            raise RecordError("has no text: give `output`, or `reasoning` and `content`")
        return self.reasoning or "", self.content or ""

    def prompt_text(self) -> str:
        if self.prompt is not None:
            return self.prompt
        return "\n".join(text for message in self.messages or () for text in _texts(message.get("content")))


class FoundRow(msgspec.Struct):
    """A finding, as reported."""

    detector: str
    label: str
    score: float
    channel: str
    span: Span
    evidence: Span | None
    at: int


class ActionRow(msgspec.Struct):
    """What a rule did about a finding."""

    rule: str
    action: str
    detector: str
    label: str
    channel: str
    span: Span
    at: int


class ScanResult(msgspec.Struct):
    """What became of a record. `released` counts the code points that would have reached a client."""

    id: str | int
    outcome: Outcome
    findings: list[FoundRow]
    actions: list[ActionRow]
    released: dict[str, int]


def read_record(line: bytes | str) -> Record:
    """A record from a line of JSON. Raises `RecordError` that says what is wrong with it."""
    try:
        record = msgspec.json.decode(line, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"is no record: {error}") from error
    record.texts()
    return record


def scan(record: Record, policy: CompiledPolicy) -> ScanResult:
    """Run a record through the engine under a loaded policy. A repair ends it: there is no model to ask."""
    return summarise(record.id, run(record, policy))


def run(record: Record, policy: CompiledPolicy) -> list[Command]:
    """The engine's commands for a record, in order."""
    model = record.model or ""
    prompt = record.prompt_text()
    plan = policy.plan(model)
    guard = StreamGuard(plan, Context(prompt=prompt, model=model), repairs=REPAIRS)
    reasoning, content = record.texts()
    events: list[Event] = []
    if plan.watch.get(Channel.PROMPT):
        events += [TextReceived(Lane(PROMPT_CHOICE, Channel.PROMPT, 0), prompt), ChoiceFinished(PROMPT_CHOICE, "")]
    events += [TextReceived(Lane(0, channel), text) for channel, text in _lanes(reasoning, content) if text]
    events += [ChoiceFinished(0, "stop"), UpstreamEnded()]
    commands: list[Command] = []
    for event in events:
        commands += guard.receive(event)
        if commands and isinstance(commands[-1], Resume):
            break
    return commands


def summarise(id: str | int, commands: Sequence[Command]) -> ScanResult:
    """The engine's commands as a row of the report."""
    result = ScanResult(id, "passed", [], [], {"reasoning": 0, "content": 0})
    worst = 0
    for command in commands:
        if isinstance(command, SendText):
            channel = str(command.lane.channel)
            result.released[channel] = result.released.get(channel, 0) + len(command.text)
        elif isinstance(command, RecordDecision):
            worst = max(worst, _take(result, command))
        elif isinstance(command, Resume):
            worst = max(worst, _OUTCOMES.index("repaired"))
        elif isinstance(command, FinishChoice) and command.intervention and command.intervention.action == "cut":
            worst = max(worst, _OUTCOMES.index("cut"))
    result.outcome = _OUTCOMES[worst]
    return result


_OUTCOMES: Final[Sequence[Outcome]] = ("passed", "flagged", "masked", "repaired", "cut", "error")


def _take(result: ScanResult, command: RecordDecision) -> int:
    """Add a decision to the report; returns the index of the outcome it amounts to by itself."""
    finding, (rule, action), lane = command.finding, command.decision, command.lane
    channel = str(lane.channel)
    result.findings.append(
        FoundRow(finding.detector, finding.label, finding.score, channel, finding.span, finding.evidence, command.at)
    )
    if rule:
        word = _WORDS[type(action)]
        result.actions.append(ActionRow(rule, word, finding.detector, finding.label, channel, finding.span, command.at))
    if finding.label == ERROR_LABEL:
        return _OUTCOMES.index("error")
    if not rule:
        return 0
    return _OUTCOMES.index("masked") if isinstance(action, Mask) else _OUTCOMES.index("flagged")


def _lanes(reasoning: str, content: str) -> Sequence[tuple[Channel, str]]:
    return ((Channel.REASONING, reasoning), (Channel.CONTENT, content))


def _texts(content: object) -> Sequence[str]:
    if isinstance(content, str):
        return (content,)
    if isinstance(content, list):
        return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return ()
