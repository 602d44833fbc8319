"""Commands of the engine to a chat completions stream: the exact shape that every tested client accepts.

    OpenChoice          delta {"role": "assistant", "content": ""}
    SendText            delta {"content" | <reasoning field> | "refusal": …}; runs of one lane become one chunk
    SendNotice          delta {"content": …}
    SendToolCall        delta {"tool_calls": [the whole call]}
    FinishChoice        delta {}, finish_reason, and `guard` at the top level if an action shaped the choice
    SendUsage           choices [], usage; only where the client asked
    FailStream          {"error": {…}}, then the end mark
    EndStream           the end mark

Every event is one line of JSON; `finish_reason` is always there and null until the end; `delta` is never missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from guard.contract import REFUSAL, Channel, Lane
from guard.events import (
    Command,
    EndStream,
    FailStream,
    FinishChoice,
    Intervention,
    Logprob,
    OpenChoice,
    SendNotice,
    SendText,
    SendToolCall,
    SendUsage,
    Usage,
)
from guard.wire.jsontext import dump
from guard.wire.sse import DONE, encode_event

DEFAULT_REASONING_FIELD: Final = "reasoning_content"
"""Read by more clients than `reasoning`; sending both doubles the text in some."""

RESERVED: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "guard", "error"})
"""Top-level fields that the guard writes itself; no upstream field takes their place."""


class ChatEncoder:
    """Encodes one response. `guard` is read when a choice is finished, so what it says may be learnt on the way.

    `guard` holds what the `guard` object says of the request: `policy`, `policy_version`, `request_id`, `backend`.
    """

    _object: ClassVar = "chat.completion.chunk"

    def __init__(
        self,
        id: str,
        model: str,
        created: int,
        reasoning_field: str = "",
        include_usage: bool = False,
        guard: Mapping[str, str] | None = None,
    ) -> None:
        self.reasoning_field = reasoning_field
        """`reasoning` or `reasoning_content`; empty for the default. Set it once upstream's habit is known."""
        self.extra: Mapping[str, Any] = {}
        """Top-level fields that the operator has allowed; they leave on the chunks that finish a choice."""
        self.done = False
        """The end mark was written; whatever is ordered later is ignored."""
        self._include_usage = include_usage
        self._guard = guard if guard is not None else {}
        self._head = dump({"id": id, "object": self._object, "created": created, "model": model})[:-1]
        self._openings: dict[tuple[int, str], bytes] = {}

    def encode(self, commands: Sequence[Command]) -> bytes:
        """The bytes for the client, in the order of `commands`. Commands that are not for the client make none."""
        out: list[bytes] = []
        texts: list[SendText] = []
        for command in commands:
            if texts and not (isinstance(command, SendText) and command.lane == texts[0].lane):
                out.append(self._texts(texts))
                texts = []
            if self.done:
                break
            if isinstance(command, SendText):
                texts.append(command)
            else:
                out.append(self._encode(command))
        if texts:
            out.append(self._texts(texts))
        return b"".join(out)

    def _encode(self, command: Command) -> bytes:
        match command:
            case OpenChoice():
                return self._open(command.choice)
            case SendNotice():
                return self._text(Lane(command.choice, Channel.CONTENT), command.text, ())
            case SendToolCall():
                return self._tool_call(command)
            case FinishChoice():
                return self._chunk(command.choice, self._finish_content(), command)
            case SendUsage():
                return self._usage(command)
            case FailStream():
                self.done = True
                return encode_event(dump(error_body(command.code, command.message))) + DONE
            case EndStream():
                self.done = True
                return DONE
            case _:
                return b""

    def _texts(self, texts: Sequence[SendText]) -> bytes:
        if len(texts) == 1:
            return self._text(texts[0].lane, texts[0].text, texts[0].logprobs)
        logprobs = [logprob for text in texts for logprob in text.logprobs]
        return self._text(texts[0].lane, "".join(text.text for text in texts), logprobs)

    def _text(self, lane: Lane, text: str, logprobs: Sequence[Logprob]) -> bytes:
        field = text_field(lane, self.reasoning_field)
        opening = self._openings.get((lane.choice, field))
        if opening is None:
            opening = b'data: %b,"choices":[{"index":%d,"delta":{%b:' % (self._head, lane.choice, dump(field))
            self._openings[lane.choice, field] = opening
        if logprobs:
            rebuilt = dump(logprobs_body(logprobs, refusal=lane.tool == REFUSAL))
            return b'%b%b},"logprobs":%b,"finish_reason":null}]}\n\n' % (opening, dump(text), rebuilt)
        return b'%b%b},"finish_reason":null}]}\n\n' % (opening, dump(text))

    def _open(self, choice: int) -> bytes:
        return self._chunk(choice, {"delta": {"role": "assistant", "content": ""}})

    def _tool_call(self, command: SendToolCall) -> bytes:
        call = {"index": command.tool, **tool_call_body(command)}
        return self._chunk(command.choice, {"delta": {"tool_calls": [call]}})

    def _finish_content(self) -> dict[str, Any]:
        return {"delta": {}}

    def _chunk(self, choice: int, content: Mapping[str, Any], finish: FinishChoice | None = None) -> bytes:
        body = {"index": choice, **content, "finish_reason": finish.reason if finish is not None else None}
        tail: dict[str, Any] = {"choices": [body]}
        if finish is not None:
            tail |= {name: value for name, value in self.extra.items() if name not in RESERVED}
        if finish is not None and finish.native:
            body["native_finish_reason"] = finish.native
        told = finish_told(finish, self._guard) if finish is not None else {}
        if told:
            tail["guard"] = told
        return self._event(tail)

    def _usage(self, command: SendUsage) -> bytes:
        if not self._include_usage:
            return b""
        tail: dict[str, Any] = {"choices": [], "usage": usage_body(command.usage)}
        told = usage_told(command)
        if told:
            tail["guard"] = {"v": 1, **told}
        return self._event(tail)

    def _event(self, tail: Mapping[str, Any]) -> bytes:
        return encode_event(self._head + b"," + dump(tail)[1:])


def text_field(lane: Lane, reasoning_field: str) -> str:
    """The field of a delta or message in which a lane's text leaves."""
    if lane.channel is Channel.REASONING:
        return reasoning_field or DEFAULT_REASONING_FIELD
    return "refusal" if lane.tool == REFUSAL else "content"


def logprobs_body(logprobs: Sequence[Logprob], *, refusal: bool) -> dict[str, Any]:
    """`choices[].logprobs` with nothing in it but what was read into `Logprob`."""
    tokens = [
        {**_logprob_body(logprob), "top_logprobs": [_logprob_body(top) for top in logprob.top]} for logprob in logprobs
    ]
    return {"refusal": tokens} if refusal else {"content": tokens}


def _logprob_body(logprob: Logprob) -> dict[str, Any]:
    return {"token": logprob.token, "logprob": logprob.logprob, "bytes": logprob.utf8}


def tool_call_body(command: SendToolCall) -> dict[str, Any]:
    """A whole tool call as a message holds it."""
    function = {"name": command.name, "arguments": command.arguments}
    return {"id": command.id, "type": "function", "function": function}


def usage_body(usage: Usage) -> dict[str, Any]:
    """`usage` as OpenAI spells it."""
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return body


def guard_body(intervention: Intervention, guard: Mapping[str, str]) -> dict[str, Any]:
    """The `guard` object: which action shaped the answer, by which rule. No text, no offsets."""
    told = intervention._asdict()
    if not intervention.how:
        del told["how"]
    return {"v": 1, **told, **guard}


def finish_told(finish: FinishChoice, guard: Mapping[str, str]) -> dict[str, Any]:
    """The `guard` object of a choice's end: what shaped it, and upstream's own word for an end that is not ordinary."""
    told = guard_body(finish.intervention, guard) if finish.intervention is not None else {}
    if not finish.native or finish.reason == "stop":
        return told
    return {"v": 1, **told, "native_finish_reason": finish.native}


def usage_told(command: SendUsage) -> dict[str, Any]:
    """What the `guard` object says of the usage: `usage_estimated`, and under `repair` what repairs came to
    (`attempts`, `tokens_spent`, and with a `max_tokens` also `tokens_saved`)."""
    told: dict[str, Any] = {"usage_estimated": True} if command.estimated else {}
    if command.repairs is not None:
        told["repair"] = {name: value for name, value in command.repairs._asdict().items() if value is not None}
    return told


def error_body(code: str, message: str) -> dict[str, Any]:
    """The only in-band form of an error that every tested client raises with its message."""
    return {"error": {"message": message, "type": "upstream_error", "param": None, "code": code}}
