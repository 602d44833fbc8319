from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guard.contract import REFUSAL, Channel, Lane
from guard.events import (
    CancelUpstream,
    Command,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Intervention,
    Logprob,
    OpenChoice,
    RepairUsage,
    SendNotice,
    SendText,
    SendToolCall,
    SendUsage,
    TextReceived,
    Usage,
)
from guard.wire.chat_decode import ChatDecoder
from guard.wire.fold import CompletionsFold, Fold
from guard.wire.think import ThinkStart

CONTENT, REASONING = Lane(0, Channel.CONTENT), Lane(0, Channel.REASONING)
REFUSED = Lane(0, Channel.CONTENT, REFUSAL)
USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def fold(*commands: Command, **more: Any) -> dict[str, Any]:
    folded = Fold("chatcmpl-1", "QwQ", 17, **more)
    for command in commands:
        folded.take([command])
    body: dict[str, Any] = json.loads(folded.body())
    assert body == folded.response()
    return body


def said(*commands: Command, **more: Any) -> dict[str, Any]:
    """The message of the one choice."""
    message: dict[str, Any] = fold(OpenChoice(0), *commands, **more)["choices"][0]["message"]
    return message


def test_a_whole_answer() -> None:
    body = fold(
        *(OpenChoice(0), SendText(REASONING, "Let"), SendText(REASONING, " me"), SendText(CONTENT, "4")),
        *(SendText(CONTENT, "2"), CancelUpstream(), FinishChoice(0, "length", native="repetition")),
        *(SendUsage(Usage(1, 2, 1), False), EndStream()),
    )
    assert body == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 17,
        "model": "QwQ",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "42", "refusal": None, "reasoning_content": "Let me"},
                "logprobs": None,
                "finish_reason": "length",
                "native_finish_reason": "repetition",
            }
        ],
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "total_tokens": 3,
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
        "guard": {"v": 1, "native_finish_reason": "repetition"},
    }


def test_content_is_null_only_where_something_else_was_said() -> None:
    empty = {"role": "assistant", "content": "", "refusal": None}
    call = {"id": "i", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert said() == empty
    assert said(SendToolCall(0, 0, "i", "f", "{}")) == {**empty, "content": None, "tool_calls": [call]}
    assert said(SendText(REFUSED, "no")) == {**empty, "content": None, "refusal": "no"}
    assert said(SendText(CONTENT, "a"), SendNotice(0, "b")) == {**empty, "content": "ab"}
    assert said(SendText(REASONING, "a"), reasoning_field="reasoning") == {**empty, "reasoning": "a"}


def test_choices_are_in_order_and_apart() -> None:
    body = fold(OpenChoice(1), OpenChoice(0), SendText(Lane(1, Channel.CONTENT), "a"), FinishChoice(1, "stop"))
    assert [each["index"] for each in body["choices"]] == [0, 1]
    assert [each["message"]["content"] for each in body["choices"]] == ["", "a"]
    assert [each["finish_reason"] for each in body["choices"]] == [None, "stop"]


def test_log_probabilities_are_joined() -> None:
    a, b, c = (Logprob(token, -1.0) for token in "abc")
    tokens: dict[str, Any] = {
        token: {"token": token, "logprob": -1.0, "bytes": None, "top_logprobs": []} for token in "abc"
    }
    body = fold(SendText(REASONING, "a", [a]), SendText(CONTENT, "b", [b]), SendText(REFUSED, "c", [c]))
    assert body["choices"][0]["logprobs"] == {"content": [tokens["a"], tokens["b"]], "refusal": [tokens["c"]]}


def test_an_intervention_and_an_estimate_are_told() -> None:
    cut = Intervention("cut", "r", "d", "l", "content")
    told = {"v": 1, "action": "cut", "rule": "r", "detector": "d", "label": "l", "channel": "content", "policy": "p"}
    commands = [FinishChoice(1, "content_filter", cut), FinishChoice(0, "stop")]
    assert fold(*commands, guard={"policy": "p"})["guard"] == told
    estimated = SendUsage(Usage(), True)
    assert fold(*commands, estimated, guard={"policy": "p"})["guard"] == {**told, "usage_estimated": True}
    assert fold(estimated)["guard"] == {"v": 1, "usage_estimated": True}
    repaired = SendUsage(Usage(), True, RepairUsage(2, 9))
    assert fold(repaired)["guard"] == {
        "v": 1, "usage_estimated": True, "repair": {"attempts": 2, "tokens_spent": 9}
    }  # fmt: skip
    assert "guard" not in fold(FinishChoice(0, "stop"), guard={"policy": "p"})


def test_a_failure_is_shown() -> None:
    folded = Fold("chatcmpl-1", "QwQ", 17)
    folded.take([OpenChoice(0), SendText(CONTENT, "a")])
    done = [folded.done]
    folded.take([FailStream("code", "message"), SendText(CONTENT, "b"), EndStream()])
    assert [*done, folded.done] == [False, True]
    assert folded.failure == FailStream("code", "message")
    assert folded.response()["choices"][0]["message"]["content"] == "a"


def test_nothing_counts_after_the_end() -> None:
    folded = Fold("chatcmpl-1", "QwQ", 17)
    folded.take([OpenChoice(0), EndStream(), SendText(CONTENT, "b"), FailStream("code", "message")])
    assert folded.done
    assert folded.failure is None
    assert folded.response()["usage"] == USAGE
    assert folded.response()["choices"][0]["message"]["content"] == ""


def test_text_completions() -> None:
    folded = CompletionsFold("cmpl-1", "QwQ", 17)
    folded.take([OpenChoice(0), SendText(CONTENT, "a"), SendText(CONTENT, "b"), FinishChoice(0, "stop"), EndStream()])
    assert json.loads(folded.body()) == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 17,
        "model": "QwQ",
        "choices": [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "stop"}],
        "usage": USAGE,
    }


@given(st.lists(st.tuples(st.sampled_from([REASONING, CONTENT, REFUSED]), st.text(min_size=1)), max_size=8))
def test_what_is_folded_is_read_back(texts: list[tuple[Lane, str]]) -> None:
    folded = Fold("chatcmpl-1", "QwQ", 17)
    folded.take([OpenChoice(0), *(SendText(lane, text) for lane, text in texts), EndStream()])
    events: list[Event] = ChatDecoder(ThinkStart.NATIVE).feed_whole(folded.body())
    assert {event.lane: event.text for event in events if isinstance(event, TextReceived)} == {
        lane: "".join(text for other, text in texts if other == lane) for lane, _ in texts
    }


def test_allowed_fields_stand_beside_the_answer_and_replace_nothing() -> None:
    fold = Fold("i", "m", 1)
    fold.extra = {"timings": 1, "choices": "not ours"}
    fold.take([FinishChoice(0, "stop"), EndStream()])
    response = json.loads(fold.body())
    assert response["timings"] == 1
    assert len(response["choices"]) == 1
