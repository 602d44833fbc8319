from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import REFUSAL, Channel, Finding, Lane, Span
from guard.events import (
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Command,
    Cut,
    Decision,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Intervention,
    Logprob,
    OpenChoice,
    RecordDecision,
    Repair,
    RepairUsage,
    Resume,
    SendNotice,
    SendPrompt,
    SendText,
    SendToolCall,
    SendUsage,
    TextReceived,
    ToolCallOpened,
    Usage,
    UsageReported,
)
from guard.wire.chat_encode import ChatEncoder
from guard.wire.think import ThinkStart
from tests.support.upstream_streams import decode

CONTENT, REASONING = Lane(0, Channel.CONTENT), Lane(0, Channel.REASONING)
REFUSED = Lane(0, Channel.CONTENT, REFUSAL)
HEAD = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":17,"model":"QwQ",'
CUT = Intervention("cut", "loop_in_thinking", "loop", "exact", "reasoning")


def encode(*commands: Command, **more: Any) -> str:
    return ChatEncoder("chatcmpl-1", "QwQ", 17, **more).encode(commands).decode()


def choice(rest: str, index: int = 0) -> str:
    return f'data: {HEAD}"choices":[{{"index":{index},{rest}}}]}}\n\n'


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (OpenChoice(0), choice('"delta":{"role":"assistant","content":""},"finish_reason":null')),
        (SendText(CONTENT, 'a"\n'), choice('"delta":{"content":"a\\"\\n"},"finish_reason":null')),
        (SendText(Lane(2, Channel.CONTENT), "a"), choice('"delta":{"content":"a"},"finish_reason":null', 2)),
        (SendText(REASONING, "a"), choice('"delta":{"reasoning_content":"a"},"finish_reason":null')),
        (SendText(REFUSED, "a"), choice('"delta":{"refusal":"a"},"finish_reason":null')),
        (SendText(CONTENT, "a\u2028\ud800"), choice('"delta":{"content":"a\\u2028\ufffd"},"finish_reason":null')),
        (SendNotice(0, "Stopped."), choice('"delta":{"content":"Stopped."},"finish_reason":null')),
        (
            SendToolCall(0, 1, "call_1", "f", '{"a":1}'),
            choice(
                '"delta":{"tool_calls":[{"index":1,"id":"call_1","type":"function",'
                '"function":{"name":"f","arguments":"{\\"a\\":1}"}}]},"finish_reason":null'
            ),
        ),
        (FinishChoice(0, "stop"), choice('"delta":{},"finish_reason":"stop"')),
        (
            FinishChoice(0, "length", native="repetition"),
            choice('"delta":{},"finish_reason":"length","native_finish_reason":"repetition"')[:-3]
            + ',"guard":{"v":1,"native_finish_reason":"repetition"}}\n\n',
        ),
        (
            FinishChoice(0, "stop", native="eos"),
            choice('"delta":{},"finish_reason":"stop","native_finish_reason":"eos"'),
        ),
        (
            FailStream("upstream_reset", "It broke."),
            'data: {"error":{"message":"It broke.","type":"upstream_error","param":null,"code":"upstream_reset"}}\n\n'
            "data: [DONE]\n\n",
        ),
        (EndStream(), "data: [DONE]\n\n"),
        (
            SendUsage(Usage(3, 4), False),
            f'data: {HEAD}"choices":[],"usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}}\n\n',
        ),
        (
            SendUsage(Usage(3, 4, 2, 1), True),
            f'data: {HEAD}"choices":[],"usage":{{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,'
            '"completion_tokens_details":{"reasoning_tokens":2},"prompt_tokens_details":{"cached_tokens":1}},'
            '"guard":{"v":1,"usage_estimated":true}}\n\n',
        ),
        (SendPrompt(0, "a"), ""),
        (CancelUpstream(), ""),
        (Resume(0, CONTENT, "", "a", Repair("resample"), 1, 9), ""),
        (RecordDecision(CONTENT, Finding("d", "l", 1.0, Span(0, 1)), Decision("r", Cut()), 4), ""),
    ],
)
def test_every_command(command: Command, text: str) -> None:
    assert encode(command, include_usage=True) == text


def test_usage_is_sent_only_where_it_was_asked_for() -> None:
    assert encode(SendUsage(Usage(3, 4), False)) == ""


def test_an_intervention_is_told_at_the_top_level() -> None:
    told: dict[str, str] = {"policy": "strict"}
    encoder = ChatEncoder("chatcmpl-1", "QwQ", 17, guard=told)
    told["backend"] = "spare"
    data = encoder.encode([FinishChoice(0, "content_filter", CUT)])
    assert json.loads(data.removeprefix(b"data: ")) == {
        **json.loads(HEAD[:-1] + "}"),
        "choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}],
        "guard": {
            "v": 1,
            "action": "cut",
            "rule": "loop_in_thinking",
            "detector": "loop",
            "label": "exact",
            "channel": "reasoning",
            "policy": "strict",
            "backend": "spare",
        },
    }


def test_a_repair_is_told_with_what_it_came_to() -> None:
    repaired = Intervention("repair", "loop_in_thinking", "loop", "exact", "reasoning", "conclude")
    encoder = ChatEncoder("chatcmpl-1", "QwQ", 17, include_usage=True)
    usage = SendUsage(Usage(3, 4), False, RepairUsage(1, 4, 6))
    finish, last = encoder.encode([FinishChoice(0, "stop", repaired), usage]).split(b"\n\n")[:2]
    assert json.loads(finish.removeprefix(b"data: "))["guard"] == {
        "v": 1,
        "action": "repair",
        "rule": "loop_in_thinking",
        "detector": "loop",
        "label": "exact",
        "channel": "reasoning",
        "how": "conclude",
    }
    told = {"attempts": 1, "tokens_spent": 4, "tokens_saved": 6}
    assert json.loads(last.removeprefix(b"data: "))["guard"] == {"v": 1, "repair": told}


def test_runs_of_a_lane_become_one_chunk() -> None:
    text = encode(
        *(SendText(REASONING, "a"), SendText(REASONING, "b"), SendText(CONTENT, "c"), CancelUpstream()),
        *(SendText(CONTENT, "d"), SendText(REFUSED, "e"), SendText(Lane(1, Channel.CONTENT), "f")),
        SendText(Lane(1, Channel.CONTENT), "g"),
    )
    assert text == "".join(
        [
            choice('"delta":{"reasoning_content":"ab"},"finish_reason":null'),
            choice('"delta":{"content":"c"},"finish_reason":null'),
            choice('"delta":{"content":"d"},"finish_reason":null'),
            choice('"delta":{"refusal":"e"},"finish_reason":null'),
            choice('"delta":{"content":"fg"},"finish_reason":null', 1),
        ]
    )


def test_log_probabilities_are_rebuilt_and_joined() -> None:
    one, two = Logprob("a", -1.0, (97,), (Logprob("b", -2.0, (98,)),)), Logprob("b", -3.5)
    tokens = (
        '[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[{"token":"b","logprob":-2.0,"bytes":[98]}]},'
        '{"token":"b","logprob":-3.5,"bytes":null,"top_logprobs":[]}]'
    )
    assert encode(SendText(CONTENT, "a", [one]), SendText(CONTENT, "b", [two]), SendText(CONTENT, "c")) == choice(
        f'"delta":{{"content":"abc"}},"logprobs":{{"content":{tokens}}},"finish_reason":null'
    )
    assert encode(SendText(REFUSED, "ab", (one, two))) == choice(
        f'"delta":{{"refusal":"ab"}},"logprobs":{{"refusal":{tokens}}},"finish_reason":null'
    )


def test_the_spelling_of_reasoning_may_be_learnt_on_the_way() -> None:
    encoder = ChatEncoder("chatcmpl-1", "QwQ", 17)
    first = encoder.encode([SendText(REASONING, "a")])
    encoder.reasoning_field = "reasoning"
    assert (first + encoder.encode([SendText(REASONING, "b")])).decode() == choice(
        '"delta":{"reasoning_content":"a"},"finish_reason":null'
    ) + choice('"delta":{"reasoning":"b"},"finish_reason":null')


@pytest.mark.parametrize("last", [EndStream(), FailStream("c", "m")])
def test_there_is_one_end_mark_and_nothing_after_it(last: Command) -> None:
    encoder = ChatEncoder("chatcmpl-1", "QwQ", 17)
    rest: list[Command] = [SendText(CONTENT, "b"), FailStream("c", "m"), EndStream()]
    data = encoder.encode([SendText(CONTENT, "a"), last, *rest])
    assert encoder.done
    assert data.count(b"data: [DONE]\n\n") == 1
    assert data.endswith(b"data: [DONE]\n\n")
    assert encoder.encode(rest) == b""


TEXT = st.text(min_size=1)
BYTES = st.none() | st.lists(st.integers(0, 255)).map(tuple)
TOPS = st.lists(st.builds(Logprob, st.text(), st.floats(-100, 0), BYTES, st.just(())), max_size=2).map(tuple)
LOGPROBS = st.lists(st.builds(Logprob, st.text(), st.floats(-100, 0), BYTES, TOPS), max_size=2).map(tuple)
TEXTS = st.builds(SendText, st.sampled_from([REASONING, CONTENT, REFUSED]), TEXT, LOGPROBS)


@given(st.lists(TEXTS, max_size=6), TEXT, st.booleans(), st.sampled_from(["reasoning", "reasoning_content"]))
def test_what_is_encoded_is_read_back(texts: list[SendText], arguments: str, calls: bool, field: str) -> None:
    commands: list[Command] = [OpenChoice(0), *texts]
    expected: list[Event] = [ChoiceOpened(0)]
    for text in texts:
        last = expected[-1]
        if isinstance(last, TextReceived) and last.lane == text.lane:
            expected[-1] = TextReceived(text.lane, last.text + text.text, (*last.logprobs, *text.logprobs))
        else:
            expected.append(TextReceived(text.lane, text.text, text.logprobs))
    if calls:
        commands.append(SendToolCall(0, 0, "call_1", "f", arguments))
        expected += [ToolCallOpened(0, 0, "call_1", "f"), TextReceived(Lane(0, Channel.TOOL, 0), arguments)]
    commands += [FinishChoice(0, "stop", CUT), SendUsage(Usage(1, 2, 3, 4), False), EndStream()]
    expected += [ChoiceFinished(0, "stop"), UsageReported(Usage(1, 2, 3, 4))]
    encoder = ChatEncoder("x", "y\u2028", 1, field, True)
    stream = encoder.encode(commands)
    decoded = decode(stream, ThinkStart.NATIVE)
    assert decoded.events == expected
    assert decoded.done
    assert set(decoded.dropped) <= {"other"}  # the `guard` object
    assert all(line.startswith("data: ") or not line for line in stream.decode().splitlines())


def test_allowed_fields_leave_with_the_finish_and_replace_nothing() -> None:
    encoder = ChatEncoder("i", "m", 1)
    encoder.extra = {"timings": {"n": 1}, "id": "not ours", "guard": {"v": 9}}
    chunks = [
        json.loads(line[6:]) for line in encoder.encode([OpenChoice(0), FinishChoice(0, "stop")]).split(b"\n\n") if line
    ]
    assert "timings" not in chunks[0]
    assert chunks[1]["timings"] == {"n": 1}
    assert chunks[1]["id"] == "i"
    assert "guard" not in chunks[1]
