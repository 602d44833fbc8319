"""The driver's part in a repair: what is asked of upstream, and how each repair ended.

Resume --> continued(request, resume) --> backend --> UpstreamResumed, events --> the same StreamGuard
   |                                                                                  |
   +----------------- RepairWatch: decided -------- first text -------- finish -------+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from guard.backends.base import Continuation, ModelRequest
from guard.contract import Channel
from guard.events import Command, FailStream, FinishChoice, Resume, SendText

OnRepair = Callable[[str, str, float], None]
"""Told of a repair that is over: how, `answered` | `otherwise` | `failed`, and the seconds from the decision to the
continuation's first text (0 if there was none)."""


def asked(commands: Sequence[Command]) -> Resume | None:
    """The repair that `commands` end with, if they do."""
    last = commands[-1] if commands else None
    return last if isinstance(last, Resume) else None


def continued(request: ModelRequest, resume: Resume, answered_by: str) -> ModelRequest:
    """`request` as it goes on after a repair. `answered_by` is the backend whose answer is continued."""
    repair = resume.repair
    continuation = Continuation(
        how=repair.how,
        channel=Channel.CONTENT if repair.how == "conclude" else resume.lane.channel,
        reasoning=resume.reasoning,
        content=resume.content,
        phrase=repair.phrase,
        instruction=repair.instruction,
        sampling=repair.sampling,
        max_tokens=resume.max_tokens,
    )
    return replace(request, continuation=continuation, answered_by=answered_by)


class RepairWatch:
    """Tells of every repair of a stream once, when it is over."""

    __slots__ = ("_answered_at", "_began", "_how", "_tell")

    def __init__(self, tell: OnRepair) -> None:
        self._tell = tell
        self._how = ""
        self._began = 0.0
        self._answered_at: float | None = None

    def begin(self, resume: Resume, now: float) -> None:
        """A repair was decided on. One that was under way has led to it, and failed."""
        self._over("failed")
        self._how = resume.repair.how
        self._began = now
        self._answered_at = None

    def look(self, commands: Sequence[Command], now: float) -> None:
        """What the engine ordered since."""
        if not self._how:
            return
        for command in commands:
            if isinstance(command, SendText) and self._answered_at is None:
                self._answered_at = now
            elif isinstance(command, FinishChoice):
                told = command.intervention
                self._over("otherwise" if told is not None and told.action == "cut" else "answered")
            elif isinstance(command, FailStream):
                self._over("failed")

    def _over(self, outcome: str) -> None:
        if self._how:
            self._tell(self._how, outcome, 0.0 if self._answered_at is None else self._answered_at - self._began)
        self._how = ""
