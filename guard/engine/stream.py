"""The whole engine behind one method: events of a stream in, commands out. Pure: no clock, no I/O, no log.

    prompt parts --> [review whole] --> SendPrompt ...            or a cut: choice 0 carries the notice
    upstream     --> ChoiceReview 0 --> SendText, SendToolCall, FinishChoice
                     ChoiceReview 1 ...
                 --> SendUsage, EndStream                         once, when every choice is over
                 --> FailStream                                   once, when the stream broke
    repair       --> CancelUpstream, Resume                       then UpstreamResumed and the events that follow, or
                                                                  UpstreamFailed: the repair's `otherwise`

The commands are a function of the events, and of text only through its characters: never of chunk sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from guard.contract import PROMPT_CHOICE, Channel, Context, Lane, estimate_tokens
from guard.engine.calls import Calls
from guard.engine.choice import DEFAULT_NOTICE, ChoiceReview, State, without_repair
from guard.engine.lane import Ending, LaneReview
from guard.engine.plan import Plan
from guard.engine.pseudonyms import Pseudonyms
from guard.events import (
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Command,
    Cut,
    Deadline,
    DeadlinePassed,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Intervention,
    OpenChoice,
    SendNotice,
    SendPrompt,
    SendUsage,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
    Usage,
    UsageReported,
)

DEADLINE_MESSAGES = {
    Deadline.FIRST_BYTE: "The model did not begin to answer in time.",
    Deadline.BETWEEN_EVENTS: "The model stopped answering in mid-stream.",
    Deadline.TOTAL: "The answer took longer than the guard allows.",
    Deadline.DETECTOR: "A detector did not come back in time.",
    Deadline.SHUTDOWN: "The guard is shutting down.",
}
_PATIENCE = frozenset({Deadline.FIRST_BYTE, Deadline.BETWEEN_EVENTS})
"""Clocks of one request to upstream, not of the answer."""


class StreamGuard:
    """One response under review. `receive` is the whole interface.

    `choices` is the request's `n`. `repairs` names the repairs the driver can carry out; others take their
    `otherwise`. `structured` says that a notice would corrupt the answer (JSON output), so it is left out unless
    nothing visible was sent.
    """

    def __init__(
        self,
        plan: Plan,
        context: Context,
        *,
        choices: int = 1,
        repairs: frozenset[str] = frozenset(),
        structured: bool = False,
    ) -> None:
        self.ended = False
        self.usage: Usage | None = None
        """Of the running request, as upstream last reported it; for metrics only."""
        self._plan = plan
        self._context = replace(context, spent=self.spent, written=self.written)
        self._expected = choices
        self._repairs = repairs if choices == 1 else frozenset()
        self._structured = structured
        self._pseudonyms = Pseudonyms()
        self._choices: dict[int, ChoiceReview] = {}
        self._prompt: dict[int, LaneReview] = {}
        self._prompt_over = False
        self._reading = False
        self._calls = Calls()

    # --- what it knows

    def spent(self, choice: int) -> int:
        """Estimated tokens of a choice so far, over its lanes."""
        review = self._choices.get(choice)
        return 0 if review is None else review.spent

    def written(self, choice: int) -> int:
        """Code points of a choice so far, over its lanes."""
        review = self._choices.get(choice)
        return 0 if review is None else review.written

    @property
    def answered(self) -> bool:
        """True once every choice is over: what upstream may still say (usage, its end mark) changes no text."""
        return self._all_over()

    def lanes(self) -> Sequence[LaneReview]:
        """Every lane under review, the prompt's first."""
        return [*self._prompt.values(), *(lane for choice in self._choices.values() for lane in choice.lanes())]

    # --- what it does

    def receive(self, event: Event) -> list[Command]:
        """Take one event; returns the commands to carry out, in order. After the end it returns none.

        The prompt comes first: what pretends to belong to it after its end, or after the answer began, is dropped.
        """
        if self.ended:
            return []
        match event:
            case TextReceived(lane, text, logprobs):
                if lane.choice == PROMPT_CHOICE:
                    return self._prompt_text(lane, text)
                choice = self._choice(lane.choice)
                if choice is None:
                    return []
                commands = choice.text(lane, text, logprobs)
                return commands if choice.takes_text() else self._after_ending(choice, commands)
            case ToolCallOpened(index, tool, id, name):
                choice = self._choice(index)
                if choice is None:
                    return []
                commands = choice.tool(tool, id, name)
                return commands if choice.takes_text() else self._after_ending(choice, commands)
            case ChoiceOpened(index):
                choice = self._choice(index)
                return choice.begin() if choice else []
            case ChoiceFinished(index, reason, native):
                if index == PROMPT_CHOICE:
                    return self._prompt_ended()
                choice = self._choice(index)
                if choice is None:
                    return []
                commands = choice.finish(reason, native)
                return commands if choice.state is State.FINISHED else self._after_ending(choice, commands)
            case UsageReported(usage):
                if self._calls.running:
                    self.usage = usage
                return []
            case UpstreamEnded():
                return self._upstream_ended()
            case UpstreamFailed(code, message):
                return self._upstream_ended(FailStream(code, message))
            case DeadlinePassed(kind):
                return self._deadline(kind)
            case _:
                return self._resumed(event)

    # --- choices

    def _choice(self, index: int) -> ChoiceReview | None:
        choice = self._choices.get(index)
        if choice is None:
            if not 0 <= index < self._expected:
                return None
            self._reading = self._prompt_over = True
            choice = self._choices[index] = ChoiceReview(
                index,
                self._plan,
                self._context,
                repairs=self._repairs,
                structured=self._structured,
                pseudonyms=self._pseudonyms,
            )
        return choice

    def _after_ending(self, choice: ChoiceReview, commands: list[Command]) -> list[Command]:
        """A choice no longer takes text. If none does, upstream is not wanted either."""
        if choice.state is State.PAUSED:
            if not commands:
                return []
            self._close_call()
            self.usage = None
            return [*commands[:-1], *self._let_go(), *commands[-1:]]  # before `Resume`, which opens the next one
        if choice.state is not State.CUT or not self._all_over():
            return commands
        return [*commands, *self._let_go(), *self._end()]

    def _let_go(self) -> list[Command]:
        """Cancel upstream, if it has not been cancelled and has not ended by itself."""
        was, self._reading = self._reading, False
        return [CancelUpstream()] if was else []

    def _resumed(self, event: UpstreamResumed) -> list[Command]:
        choice = self._choices.get(event.choice)
        if choice is None or choice.state is not State.PAUSED:
            return []
        self._reading = True
        self._calls.go_on(same=event.live)
        commands = choice.resume()
        return commands if choice.takes_text() else self._after_ending(choice, commands)

    def _close_call(self) -> None:
        """The running request is over: add what it took to what others took."""
        generated = sum(choice.generated for choice in self._choices.values())
        self._calls.add(self.usage, math.ceil(estimate_tokens(self._context.prompt)), generated)

    def _all_over(self) -> bool:
        return len(self._choices) == self._expected and all(choice.over for choice in self._choices.values())

    def _upstream_ended(self, failure: FailStream | None = None) -> list[Command]:
        self._reading = False
        choices = self._choices.values()
        commands = [command for choice in choices for command in choice.fail()]
        # an upstream that ends in order may give fewer choices than asked for; one that breaks off has not
        enough = len(choices) == self._expected if failure else bool(choices)
        if enough and all(choice.state is not State.FAILED for choice in choices):
            return commands + self._end()
        self.ended = True
        if failure is None:
            failure = (
                FailStream("upstream_incomplete", "The model's stream ended before the answer was finished.")
                if choices
                else FailStream("upstream_empty", "The model's stream ended without an answer.")
            )
        return [*commands, failure]

    def _deadline(self, kind: Deadline) -> list[Command]:
        if self._all_over():
            return [*self._let_go(), *self._end()]
        if kind in _PATIENCE:
            commands = [command for choice in self._choices.values() for command in choice.give_up()]
            if commands:
                return [*commands, *self._let_go(), *self._end()]
        for choice in self._choices.values():
            choice.abandon()
        self.ended = True
        self._reading = False
        return [CancelUpstream(), FailStream(f"deadline_{kind}", DEADLINE_MESSAGES[kind])]

    def _end(self) -> list[Command]:
        self.ended = True
        if self._calls.running:
            self._close_call()
        calls = self._calls
        attempts = sum(choice.attempts for choice in self._choices.values())
        return [SendUsage(calls.usage, calls.estimated, calls.repairs(attempts, self._context.max_tokens)), EndStream()]

    # --- prompt

    def _prompt_text(self, lane: Lane, text: str) -> list[Command]:
        if self._prompt_over:
            return []
        review = self._prompt.get(lane.tool)
        if review is None:
            review = self._prompt[lane.tool] = LaneReview(
                Lane(PROMPT_CHOICE, Channel.PROMPT, lane.tool),
                self._plan,
                self._context,
                lambda _tokens: None,
                self._pseudonyms,
            )
        review.push(text)
        return []

    def _prompt_ended(self) -> list[Command]:
        """Every part is settled; all of them go upstream, or none does."""
        if self._prompt_over:
            return []
        self._prompt_over = True
        parts: list[Command] = []
        records: list[Command] = []
        ending: Ending | None = None
        for part, review in self._prompt.items():
            text = review.finish()
            records += map(without_repair, review.take_records())
            ending = ending or review.ending
            parts.append(SendPrompt(part, text))
        if ending is None:
            return records + parts
        cut = ending.action if isinstance(ending.action, Cut) else ending.action.otherwise
        finding = ending.finding
        told = Intervention("cut", ending.rule, finding.detector, finding.label, str(Channel.PROMPT))
        self.ended = True
        return [
            *records,
            OpenChoice(0),
            SendNotice(0, cut.notice or DEFAULT_NOTICE),
            FinishChoice(0, cut.finish, told),
            SendUsage(Usage(), estimated=True),
            EndStream(),
        ]
