"""How a stream went, learnt from the commands that were carried out: for metrics and logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from guard.contract import Channel, Lane, estimate_tokens
from guard.engine.lane import LaneReview
from guard.events import (
    Command,
    Deadline,
    FailStream,
    FinishChoice,
    Flag,
    Mask,
    RecordDecision,
    Resume,
    SendText,
    SendToolCall,
    SendUsage,
)
from guard.observe.metrics import StreamMetrics

_WEIGHTS: Final = ("passed", "flagged", "masked", "repaired", "cut", "error", "client_left")
_STATES: Final = {
    **{f"deadline_{kind}": "deadline" for kind in Deadline},
    f"deadline_{Deadline.DETECTOR}": "guard_failed",
    f"deadline_{Deadline.SHUTDOWN}": "shutdown",
    "internal_error": "guard_failed",
    "shut_down": "shutdown",
    "shutting_down": "shutdown",
    "authentication": "refused",
    "content_filter": "refused",
    "context_length_exceeded": "refused",
    "invalid_request": "refused",
    "model_not_found": "refused",
    "rate_limit": "refused",
}
"""The state in which an error ends a stream; any other code means that upstream died."""


class Reviewed(Protocol):
    """As much of `StreamGuard` as is counted here."""

    def spent(self, choice: int) -> int: ...

    def written(self, choice: int) -> int: ...

    def lanes(self) -> Sequence[LaneReview]: ...


@dataclass(slots=True)
class Summary:
    """One stream so far. Tokens are estimates, but for `tokens_spent` where upstream tells."""

    max_tokens: int | None = None
    """The client's limit per choice."""
    on_decision: Callable[[RecordDecision], None] = lambda _command: None
    """Told of every decision."""
    outcome: str = "passed"
    backend: str = ""
    error: str = ""
    tokens: dict[str, float] = field(default_factory=dict)
    """Released, by channel."""
    tokens_spent: float = 0.0
    """What the model wrote, over all requests to upstream."""
    tokens_saved: float = 0.0
    """What was left of the client's `max_tokens` when a rule cut the answer."""
    tokens_wasted: float = 0.0
    """What was written after a loop had begun to repeat itself."""
    dropped: Counter[str] = field(default_factory=Counter)
    _answered: set[int] = field(default_factory=set)
    """Choices with an answer: text that is not blank, or a tool call."""
    _loops: dict[Lane, tuple[int, int]] = field(default_factory=dict)
    """Where the first repetition of a lane's loop began, and how far the lane had been fed when that was last told."""

    def worsen(self, outcome: str) -> None:
        """Take `outcome` if it weighs more than what is known so far."""
        if _WEIGHTS.index(outcome) > _WEIGHTS.index(self.outcome):
            self.outcome = outcome

    def note(self, commands: Sequence[Command], elapsed: float, guard: Reviewed, metrics: StreamMetrics) -> None:
        """Count what `commands` are about to do, `elapsed` seconds after the request came."""
        for command in commands:
            if isinstance(command, SendText):
                if not self.tokens:
                    metrics.first_token(elapsed)
                lane, text = command.lane, command.text
                channel = lane.channel
                self.tokens[channel] = self.tokens.get(channel, 0.0) + estimate_tokens(text)
                if channel is Channel.CONTENT and lane.choice not in self._answered and not text.isspace():
                    self._answered.add(lane.choice)
            elif isinstance(command, RecordDecision):
                metrics.decided(command.lane, command.finding, command.decision)
                self.on_decision(command)
                action = command.decision.action
                if command.decision.rule and isinstance(action, Flag | Mask):
                    self.worsen("flagged" if isinstance(action, Flag) else "masked")
                if metrics.is_loop(command.finding):
                    self._loop_told(command)
            elif isinstance(command, SendToolCall):
                self._answered.add(command.choice)
            elif isinstance(command, FinishChoice):
                self._finished(command, guard, metrics)
            elif isinstance(command, Resume):
                self._waste(command.lane, 0, guard)
            elif isinstance(command, SendUsage):
                self.tokens_spent = float(command.usage.completion_tokens)
            elif isinstance(command, FailStream):
                self.worsen("error")
                self.error = command.code

    def close(self, guard: Reviewed, metrics: StreamMetrics) -> None:
        """Count the stream itself, once it is over, however that came about."""
        lanes = guard.lanes()
        for lane in lanes:
            self._waste(lane.lane, lane.fed, guard)
            for (detector, counter), value in lane.counters().items():
                metrics.counted(detector, counter, value)
        spent = self.tokens_spent or sum(guard.spent(choice) for choice in {lane.lane.choice for lane in lanes})
        metrics.closed(
            self.outcome,
            state=_STATES.get(self.error, "upstream_died") if self.outcome == "error" else "",
            backend=self.backend,
            tokens=self.tokens,
            tokens_spent=spent,
            tokens_saved=self.tokens_saved,
            tokens_wasted=self.tokens_wasted,
        )

    def _finished(self, command: FinishChoice, guard: Reviewed, metrics: StreamMetrics) -> None:
        choice, intervention = command.choice, command.intervention
        done = "" if intervention is None else intervention.action
        if done == "cut":
            self.worsen("cut")
            self.tokens_saved += max((self.max_tokens or 0) - guard.spent(choice), 0)
        elif done == "repair":
            self.worsen("repaired")
        if done != "cut":
            metrics.finished(command.native or command.reason, self.backend)
        thought = thoughts = 0
        for lane in guard.lanes():
            if lane.lane.channel is Channel.REASONING:
                thoughts += lane.fed
                thought += lane.fed if lane.lane.choice == choice else 0
        if thought:
            metrics.thought(self.tokens.get(Channel.REASONING, 0.0) * thought / thoughts)
            if done != "cut" and choice not in self._answered:
                metrics.thought_unfinished()

    def _loop_told(self, command: RecordDecision) -> None:
        finding = command.finding
        onset = (finding.evidence or finding.span).start
        first, _ = self._loops.get(command.lane, (onset, 0))
        self._loops[command.lane] = (min(first, onset), command.at)

    def _waste(self, lane: Lane, end: int, guard: Reviewed) -> None:
        """What a lane wrote between its loop's first repetition and its end was of no use to anybody."""
        if lane not in self._loops:
            return
        onset, told = self._loops.pop(lane)
        written = guard.written(lane.choice)
        if written:
            self.tokens_wasted += max(max(end, told) - onset, 0) * guard.spent(lane.choice) / written
