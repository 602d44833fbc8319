"""What the engine is told (events, past tense) and what it orders (commands, imperative).

    backend -> events -> StreamGuard -> commands -> client

Model text enters in `TextReceived` and leaves in `SendText`, `SendToolCall` and `SendPrompt`, nowhere else.

The file is long because it is a list: the whole vocabulary between a backend, the engine and a client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from guard.contract import Finding, Lane

# --- actions


@dataclass(frozen=True, slots=True)
class Flag:
    """On the record only."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Replace the span. In the replacement `{label}` becomes the finding's label, and `{n}` the number of the value
    among those of its label: the same value has the same number throughout a response."""

    replacement: str = "<{label}>"


@dataclass(frozen=True, slots=True)
class Cut:
    """End the choice at the start of the span."""

    notice: str = ""
    """What the user reads instead; empty for none, unless nothing visible was sent."""
    finish: Literal["content_filter", "length", "stop"] = "content_filter"


@dataclass(frozen=True, slots=True)
class Repair:
    """End the text and answer anyway."""

    how: Literal["conclude", "resample", "hand_over"]
    keep: Literal["first_copy", "last_sentence", "span_start"] = "first_copy"
    sampling: Mapping[str, float] = field(default_factory=dict)
    phrase: str = ""
    """Ends the thinking in the model's own voice (`conclude`). The model reads it, the client does not."""
    max_tokens: int = 4096
    """Longest continuation."""
    attempts: int = 1
    """Of this kind, per answer."""
    otherwise: Cut = field(default_factory=Cut)
    """What is done where the repair cannot be had, or fails."""
    instruction: str = ""
    """Added to the system's instructions of the continued request."""


Action = Flag | Mask | Cut | Repair


class Decision(NamedTuple):
    """What a policy says of one finding: the id of the rule that spoke, and its action."""

    rule: str
    action: Action


# --- events


class Logprob(NamedTuple):
    """One token's log probability, as the OpenAI API spells it. Carries text: leaves only with unreviewed lanes."""

    token: str
    logprob: float
    utf8: Sequence[int] | None = None
    top: Sequence[Logprob] = ()


class Usage(NamedTuple):
    """Tokens as upstream counts them; never part of a verdict."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class Deadline(StrEnum):
    """Which clock ran out. Deadlines end a stream; they never settle or release text."""

    FIRST_BYTE = "first_byte"
    BETWEEN_EVENTS = "between_events"
    TOTAL = "total"
    DETECTOR = "detector"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class ChoiceOpened:
    choice: int


@dataclass(frozen=True, slots=True)
class TextReceived:
    lane: Lane
    text: str
    logprobs: Sequence[Logprob] = ()


@dataclass(frozen=True, slots=True)
class ToolCallOpened:
    """A tool call was begun. The name is model text too: it is reviewed as the first line of the tool's lane."""

    choice: int
    tool: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """Upstream ended a choice; `choice` -1 ends the prompt. `native` is upstream's own word where it differs."""

    choice: int
    reason: str
    native: str = ""


@dataclass(frozen=True, slots=True)
class UsageReported:
    usage: Usage


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    kind: Deadline


@dataclass(frozen=True, slots=True)
class UpstreamEnded:
    """The upstream's stream is over, with its terminal event or without."""


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """The upstream broke off or said so. `message` is ours, never upstream's."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class UpstreamResumed:
    """A repair's continued request has been accepted; its events follow."""

    choice: int
    live: bool = False
    """It is the running request, which upstream was told to go on with otherwise."""


Event = (
    ChoiceOpened
    | TextReceived
    | ToolCallOpened
    | ChoiceFinished
    | UsageReported
    | DeadlinePassed
    | UpstreamEnded
    | UpstreamFailed
    | UpstreamResumed
)

# --- commands


@dataclass(frozen=True, slots=True)
class SendPrompt:
    """One part of the messages may go upstream, as `text`."""

    part: int
    text: str


@dataclass(frozen=True, slots=True)
class OpenChoice:
    choice: int


@dataclass(frozen=True, slots=True)
class SendText:
    lane: Lane
    text: str
    logprobs: Sequence[Logprob] = ()


@dataclass(frozen=True, slots=True)
class SendToolCall:
    """A whole tool call, after its verdict."""

    choice: int
    tool: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class SendNotice:
    """The guard's own words to the user, in the content channel."""

    choice: int
    text: str


class Intervention(NamedTuple):
    """What the client is told of the action that shaped a choice: no text, no offsets."""

    action: Literal["mask", "cut", "repair"]
    rule: str
    detector: str
    label: str
    channel: str
    how: str = ""
    """Of a repair: `conclude`, `resample` or `hand_over`."""


@dataclass(frozen=True, slots=True)
class FinishChoice:
    choice: int
    reason: str
    intervention: Intervention | None = None
    native: str = ""


class RepairUsage(NamedTuple):
    """What repairs came to. `tokens_saved` is what the answer stayed under the client's `max_tokens`, None without."""

    attempts: int
    tokens_spent: int
    """Generated by all requests to upstream, sent or not."""
    tokens_saved: int | None = None


@dataclass(frozen=True, slots=True)
class SendUsage:
    """Sent once, before `EndStream`; the driver leaves it out if the client did not ask."""

    usage: Usage
    """Of all requests to upstream together."""
    estimated: bool
    repairs: RepairUsage | None = None


@dataclass(frozen=True, slots=True)
class CancelUpstream:
    """Nothing more of upstream's text is wanted."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Open a continued request for `choice`, as the repair says. Answer with `UpstreamResumed` once it is accepted, or
    with `UpstreamFailed`."""

    choice: int
    lane: Lane
    """The lane that went wrong."""
    reasoning: str
    """The thinking worth keeping."""
    content: str
    """The answer so far, exactly as it was sent."""
    repair: Repair
    attempt: int
    """Counts the repairs of this kind in the answer, from 1."""
    max_tokens: int
    """Longest continuation: the repair's limit, or what is left of the client's."""


@dataclass(frozen=True, slots=True)
class RecordDecision:
    """For metrics, the audit and reports. `at` is how many code points of the lane had been fed."""

    lane: Lane
    finding: Finding
    decision: Decision
    at: int


@dataclass(frozen=True, slots=True)
class FailStream:
    """End with one error event; nothing follows but the end mark."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class EndStream:
    """Every choice is finished: write the end mark. Nothing follows."""


Command = (
    SendPrompt
    | OpenChoice
    | SendText
    | SendToolCall
    | SendNotice
    | FinishChoice
    | SendUsage
    | CancelUpstream
    | Resume
    | RecordDecision
    | FailStream
    | EndStream
)
