"""How a stream went, learnt from the commands that were carried out: for metrics and logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from guard.contract import estimate_tokens
from guard.events import Command, FailStream, FinishChoice, Flag, Mask, RecordDecision, SendText
from guard.observe.metrics import StreamMetrics

_WEIGHTS: Final = ("passed", "flagged", "masked", "repaired", "cut", "error", "client_left")


@dataclass(slots=True)
class Summary:
    """One stream so far."""

    max_tokens: int | None = None
    """The client's limit per choice."""
    outcome: str = "passed"
    backend: str = ""
    error: str = ""
    tokens: dict[str, float] = field(default_factory=dict)
    """Released, estimated, by channel."""
    tokens_saved: float = 0.0
    """What was left of the client's `max_tokens` when a rule cut the answer."""
    dropped: Counter[str] = field(default_factory=Counter)

    def worsen(self, outcome: str) -> None:
        """Take `outcome` if it weighs more than what is known so far."""
        if _WEIGHTS.index(outcome) > _WEIGHTS.index(self.outcome):
            self.outcome = outcome

    def note(
        self, commands: Sequence[Command], elapsed: float, spent: Callable[[int], int], metrics: StreamMetrics
    ) -> None:
        """Count what `commands` are about to do, `elapsed` seconds after the request came. `spent` tells the tokens of
        a choice so far."""
        for command in commands:
            if isinstance(command, SendText):
                if not self.tokens:
                    metrics.first_token(elapsed)
                channel = command.lane.channel
                self.tokens[channel] = self.tokens.get(channel, 0.0) + estimate_tokens(command.text)
            elif isinstance(command, RecordDecision):
                metrics.decided(command.lane, command.finding, command.decision)
                action = command.decision.action
                if command.decision.rule and isinstance(action, Flag | Mask):
                    self.worsen("flagged" if isinstance(action, Flag) else "masked")
            elif isinstance(command, FinishChoice):
                if command.intervention is not None and command.intervention.action == "cut":
                    self.worsen("cut")
                    self.tokens_saved += max((self.max_tokens or 0) - spent(command.choice), 0)
            elif isinstance(command, FailStream):
                self.worsen("error")
                self.error = command.code
