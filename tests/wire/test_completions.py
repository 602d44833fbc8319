from __future__ import annotations

import json
from typing import Any

import pytest

from guard.contract import Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Command,
    EndStream,
    Event,
    FinishChoice,
    Intervention,
    OpenChoice,
    SendNotice,
    SendText,
    SendToolCall,
    SendUsage,
    TextReceived,
    Usage,
    UsageReported,
)
from guard.wire.chat_decode import decode_completion
from guard.wire.completions import CompletionsDecoder, CompletionsEncoder
from guard.wire.errors import UpstreamError
from guard.wire.failures import failed
from guard.wire.sse import SseDecoder, SseEvent
from guard.wire.think import ThinkStart
from tests.support.upstream_streams import sse

CONTENT = Lane(0, Channel.CONTENT)


def chunk(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish, **more}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


def feed(decoder: CompletionsDecoder, stream: bytes) -> list[Event]:
    return [event for each in SseDecoder().feed(stream) for event in decoder.feed(each)] + decoder.end()


def test_text_is_content() -> None:
    decoder = CompletionsDecoder()
    chunks = [
        chunk("<think>a", logprobs={"tokens": ["a"]}, stop_reason=None),
        chunk("b", token_ids=[1], delta={"content": "x"}),
        chunk("", "length"),
        chunk("c"),
        {**chunk(""), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ]
    assert feed(decoder, sse(*chunks) + b"data: [DONE]\n\n") == [
        ChoiceOpened(0),
        TextReceived(CONTENT, "<think>a"),
        TextReceived(CONTENT, "b"),
        ChoiceFinished(0, "length"),
        UsageReported(Usage(1, 2)),
    ]
    assert decoder.done
    assert decoder.dropped == {"logprobs": 1, "token_ids": 1, "other": 1, "after_finish": 1}


def test_a_prompt_that_ends_in_a_thinking() -> None:
    decoder = CompletionsDecoder(ThinkStart.REASONING)
    assert feed(decoder, sse(chunk("a</think>b"))) == [
        ChoiceOpened(0),
        TextReceived(Lane(0, Channel.REASONING), "a"),
        TextReceived(CONTENT, "b"),
    ]


def test_a_whole_answer() -> None:
    body = json.dumps(chunk("a", "stop")).encode()
    expected = [ChoiceOpened(0), TextReceived(CONTENT, "a"), ChoiceFinished(0, "stop")]
    assert decode_completion(body, CompletionsDecoder()) == expected


def test_failures_and_what_cannot_be_read() -> None:
    assert feed(CompletionsDecoder(), sse({"error": {"code": 429, "message": "m"}})) == [failed("rate_limit")]
    for data in (b"[]", b'{"choices": [{"text": 1}]}'):
        with pytest.raises(UpstreamError):
            CompletionsDecoder().feed(SseEvent("message", data))


def test_what_the_client_gets() -> None:
    encoder = CompletionsEncoder("cmpl-1", "m", 1, include_usage=True, guard={"policy": "p"})
    commands: list[Command] = [
        OpenChoice(0),
        SendText(CONTENT, "a"),
        SendText(CONTENT, "b"),
        SendToolCall(0, 0, "i", "n", "{}"),
        SendNotice(0, "c"),
        FinishChoice(0, "content_filter", Intervention("cut", "r", "d", "l", "content")),
        SendUsage(Usage(1, 2), False),
        EndStream(),
    ]
    *chunks, done = [event.data for event in SseDecoder().feed(encoder.encode(commands))]
    told = {"v": 1, "action": "cut", "rule": "r", "detector": "d", "label": "l", "channel": "content", "policy": "p"}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert done == b"[DONE]"
    assert [json.loads(each) for each in chunks] == [
        chunk("ab", logprobs=None),
        chunk("c", logprobs=None),
        {**chunk("", "content_filter", logprobs=None), "guard": told},
        {**chunk(""), "choices": [], "usage": usage},
    ]
