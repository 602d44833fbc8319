from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from guard.events import Event
from guard.wire.choice import ChoiceReader
from guard.wire.chunks import COUNTED, KNOWN_FIELDS, Chunk, Delta, FunctionDelta, ToolDelta, read_chat_chunk, take_apart
from guard.wire.think import ThinkStart
from tests.support.upstream_streams import chunk


def apart(body: dict[str, Any]) -> tuple[Chunk, Counter[str]]:
    dropped: Counter[str] = Counter()
    return take_apart(msgspec.json.decode(json.dumps(body).encode()), dropped), dropped


def delta_of(delta: dict[str, Any]) -> tuple[Delta | None, Counter[str]]:
    read, dropped = apart(chunk(delta))
    return read.choices[0].delta, dropped


LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1, "id": 4}]}
PLAIN: list[dict[str, Any]] = [
    chunk({"content": "a", "role": "assistant"}),
    chunk({"reasoning": "a", "refusal": "b", "reasoning_content": None}),
    chunk({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
    chunk({"content": "a"}, "stop", logprobs={"content": [LOGPROB], "refusal": None}, stop_reason="x"),
    {"choices": [{}], "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}, "cost": 0.1}},
    {**chunk(), "system_fingerprint": "fp", "service_tier": None, "provider": "p", "obfuscation": "x", "error": None},
]


@pytest.mark.parametrize("body", PLAIN)
def test_both_roads_lead_to_the_same_chunk(body: dict[str, Any]) -> None:
    fast = read_chat_chunk(json.dumps(body).encode())
    assert isinstance(fast, Chunk)
    slow, dropped = apart(body)
    assert slow.usage == fast.usage
    assert said(slow) == said(fast)
    assert not dropped


def said(read: Chunk) -> list[Event]:
    return [event for choice in read.choices for event in ChoiceReader(0, ThinkStart.NATIVE, Counter()).read(choice)]


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        (
            chunk({"audio": {"transcript": "x"}, "annotations": [{"x": 1}], "zzz": "x"}),
            ["audio", "annotations", "other"],
        ),
        (chunk({"audio": None, "annotations": [], "zzz": ""}), []),
        (
            chunk({}, token_ids=[1], prompt_logprobs=[1], message={"content": "x"}),
            ["token_ids", "prompt_logprobs", "message"],
        ),
        ({**chunk(), "timings": {"n": 1}, "__verbose": {"x": "y"}, "made_up": 1}, ["timings", "__verbose", "other"]),
        ({**chunk(), "prompt_token_ids": [1], "model": "m", "id": "x"}, ["prompt_token_ids"]),
        (chunk({"tool_calls": [{"extra_content": {"x": "y"}, "function": {"parsed": {"x": 1}}}]}), ["other", "parsed"]),
        (chunk({"content": [{"type": "image_url", "image_url": "x"}, "x"]}), ["content", "content"]),
        (chunk({}, logprobs="x"), ["logprobs"]),
        (chunk({}, logprobs={"content": 5}), ["logprobs"]),
        (chunk({}, logprobs={"content": [5]}), ["logprobs"]),
        (chunk({}, logprobs={"content": [{"token": "a"}]}), ["logprobs"]),
        (chunk({}, logprobs={"content": [{**LOGPROB, "bytes": [300]}]}), ["logprobs"]),
        (chunk({}, logprobs={"content": [{**LOGPROB, "bytes": 10**12}]}), ["logprobs"]),
        ({**chunk(), "usage": 5}, ["usage"]),
        ({**chunk(), "usage": {"prompt_tokens": -1}}, ["usage"]),
        ({**chunk(), "usage": {"prompt_tokens": 10**30}}, ["usage"]),
        ({**chunk(), "usage": {}}, []),
    ],
)
def test_what_is_left_behind_is_counted(body: dict[str, Any], dropped: list[str]) -> None:
    counted = apart(body)[1]
    assert counted == Counter(dropped)
    assert set(counted) <= COUNTED


@pytest.mark.parametrize("name", sorted(KNOWN_FIELDS - {"logprobs", "usage", "matched_stop"}))
def test_no_known_field_reaches_the_answer_from_the_top_level(name: str) -> None:
    body = {**chunk(), name: "canary"}
    assert not isinstance(read_chat_chunk(json.dumps(body).encode()), Chunk)
    read, dropped = apart(body)
    assert dropped == {name: 1}
    assert "canary" not in repr(read)


@pytest.mark.parametrize(
    ("delta", "read"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, Delta(content="ab")),
        ({"content": "a", "x": 1}, Delta(content="a")),
        ({"content": []}, Delta(content="")),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, "é"]}}}]},
            Delta(tool_calls=[ToolDelta(function=FunctionDelta("f", '{"a":[1,"é"]}'))]),
        ),
        (
            {"tool_calls": [{"id": 5, "function": {"name": "f", "arguments": None}}]},
            Delta(tool_calls=[ToolDelta(function=FunctionDelta("f"))]),
        ),
        (
            {"function_call": {"name": "f", "arguments": "{}"}},
            Delta(tool_calls=[ToolDelta(index=0, function=FunctionDelta("f", "{}"))]),
        ),
        ({"tool_calls": [{"index": 1}], "x": 1}, Delta(tool_calls=[ToolDelta(index=1)])),
    ],
)
def test_deltas_that_need_a_closer_look(delta: dict[str, Any], read: Delta) -> None:
    assert delta_of(delta)[0] == read


def test_a_log_probability_too_low_to_state() -> None:
    body = chunk({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": None}]})
    logprobs = apart(body)[0].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert logprobs.content[0].logprob == -9999.0
