"""Commands of the engine to one response, for clients that do not stream.

A request with `stream: false` is streamed from the backend all the same and folded here: there is one road for text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from guard.contract import REFUSAL, Channel, Lane
from guard.events import (
    Command,
    EndStream,
    FailStream,
    FinishChoice,
    Logprob,
    OpenChoice,
    SendNotice,
    SendText,
    SendToolCall,
    SendUsage,
    Usage,
)
from guard.wire.chat_encode import (
    RESERVED,
    finish_told,
    logprobs_body,
    text_field,
    tool_call_body,
    usage_body,
    usage_told,
)
from guard.wire.jsontext import dump


@dataclass(slots=True)
class _Choice:
    """What has been said of one choice, in the order of the lanes' first words."""

    texts: dict[Lane, list[str]] = field(default_factory=dict)
    logprobs: dict[bool, list[Logprob]] = field(default_factory=dict)
    """By whether they belong to a refusal, as `logprobs_body` keeps them apart."""
    calls: list[SendToolCall] = field(default_factory=list)
    finish: FinishChoice | None = None


class Fold:
    """Folds one chat completion. `guard` is as for `ChatEncoder`, and read when the body is made."""

    _object: ClassVar = "chat.completion"

    def __init__(
        self, id: str, model: str, created: int, reasoning_field: str = "", guard: Mapping[str, str] | None = None
    ) -> None:
        self.reasoning_field = reasoning_field
        """`reasoning` or `reasoning_content`; empty for the default. Set it once upstream's habit is known."""
        self.extra: Mapping[str, Any] = {}
        """Top-level fields that the operator has allowed."""
        self.failure: FailStream | None = None
        """The failure that ended the stream: answer with an error, there is no body."""
        self.done = False
        """Every choice is finished, or the stream has failed."""
        self._head = {"id": id, "object": self._object, "created": created, "model": model}
        self._guard = guard if guard is not None else {}
        self._choices: dict[int, _Choice] = {}
        self._usage: SendUsage | None = None

    def take(self, commands: Sequence[Command]) -> None:
        """Carry out `commands`; those that are not for the client, or come after the end, are ignored."""
        for command in commands:
            if not self.done:
                self._take(command)

    def _take(self, command: Command) -> None:
        match command:
            case OpenChoice():
                self._choice(command.choice)
            case SendText():
                self._add(command.lane, command.text, command.logprobs)
            case SendNotice():
                self._add(Lane(command.choice, Channel.CONTENT), command.text, ())
            case SendToolCall():
                self._choice(command.choice).calls.append(command)
            case FinishChoice():
                self._choice(command.choice).finish = command
            case SendUsage():
                self._usage = command
            case FailStream():
                self.failure = command
                self.done = True
            case EndStream():
                self.done = True
            case _:
                pass

    def _choice(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice())

    def _add(self, lane: Lane, text: str, logprobs: Sequence[Logprob]) -> None:
        choice = self._choice(lane.choice)
        choice.texts.setdefault(lane, []).append(text)
        if logprobs:
            choice.logprobs.setdefault(lane.tool == REFUSAL, []).extend(logprobs)

    def response(self) -> dict[str, Any]:
        """The response as far as it goes; whole once `done` is true and `failure` is None."""
        usage = self._usage or SendUsage(Usage(), estimated=False)
        choices = sorted(self._choices.items())
        ends = [choice.finish for _, choice in choices if choice.finish is not None]
        ends.sort(key=lambda finish: finish.intervention is None)  # what an action shaped is told before all else
        guard = next(filter(None, (finish_told(finish, self._guard) for finish in ends)), {})
        told = usage_told(usage)
        if told:
            guard = {"v": 1, **guard, **told}
        return {
            **{name: value for name, value in self.extra.items() if name not in RESERVED},
            **self._head,
            "choices": [self._body(index, choice) for index, choice in choices],
            "usage": usage_body(usage.usage),
            **({"guard": guard} if guard else {}),
        }

    def body(self) -> bytes:
        """`response` as JSON."""
        return dump(self.response())

    def _body(self, index: int, choice: _Choice) -> dict[str, Any]:
        body = {
            "index": index,
            **self._said(choice),
            "finish_reason": choice.finish.reason if choice.finish is not None else None,
        }
        if choice.finish is not None and choice.finish.native:
            body["native_finish_reason"] = choice.finish.native
        return body

    def _said(self, choice: _Choice) -> dict[str, Any]:
        texts = {text_field(lane, self.reasoning_field): "".join(parts) for lane, parts in choice.texts.items()}
        silent = bool(choice.calls) or "refusal" in texts
        message: dict[str, Any] = {"role": "assistant", "content": None if silent else "", "refusal": None, **texts}
        if choice.calls:
            message["tool_calls"] = [tool_call_body(call) for call in choice.calls]
        logprobs: dict[str, Any] = {}
        for refusal, tokens in choice.logprobs.items():
            logprobs.update(logprobs_body(tokens, refusal=refusal))
        return {"message": message, "logprobs": logprobs or None}


class CompletionsFold(Fold):
    """Folds one text completion; text of every lane is its `text`."""

    _object: ClassVar = "text_completion"

    def _said(self, choice: _Choice) -> dict[str, Any]:
        return {"text": "".join(part for parts in choice.texts.values() for part in parts), "logprobs": None}
