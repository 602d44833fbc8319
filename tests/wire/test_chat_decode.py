from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import REFUSAL, Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, UpstreamFailed, Usage, UsageReported
from guard.wire.chat_decode import ChatDecoder, decode_completion
from guard.wire.errors import UpstreamError
from guard.wire.failures import SENTENCES, failed
from guard.wire.sse import SseDecoder, SseEvent
from guard.wire.think import ThinkStart
from tests.support.upstream_streams import ANSWERS, CONTENT, DONE, REASONING, Answer, chunk, decode, sse


@pytest.mark.parametrize("answer", ANSWERS, ids=[answer.server for answer in ANSWERS])
@pytest.mark.parametrize("step", [0, 1, 7])
def test_every_server_whole_and_in_pieces(answer: Answer, step: int) -> None:
    decoded = decode(answer.stream, answer.start, step=step)
    assert decoded == (answer.events, Counter(answer.dropped), answer.reasoning_field, answer.done)


def message(body: Any) -> SseEvent:
    return SseEvent("message", body if isinstance(body, bytes) else json.dumps(body).encode())


def feed(*bodies: Any, start: ThinkStart = ThinkStart.NATIVE, choices: int = 1) -> list[Event]:
    decoder = ChatDecoder(start, choices)
    return [event for body in bodies for event in decoder.feed(message(body))] + decoder.end()


def test_choices_are_kept_apart() -> None:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}}]}
        for index, text in [(1, "<thi"), (0, "a"), (1, "nk>b"), (0, "<think>c")]
    ]
    assert feed(*chunks, start=ThinkStart.AUTO, choices=2) == [
        ChoiceOpened(1),
        ChoiceOpened(0),
        TextReceived(CONTENT, "a"),
        TextReceived(Lane(1, Channel.REASONING), "b"),
        TextReceived(CONTENT, "<think>c"),
    ]


@pytest.mark.parametrize("index", [1, -1, 10**9, 10**30])
def test_choices_nobody_asked_for_are_dropped(index: int) -> None:
    decoder = ChatDecoder(ThinkStart.NATIVE)
    assert decoder.feed(message({"choices": [{"index": index, "delta": {"content": "a"}}]})) == []
    assert decoder.dropped == {"choice_out_of_range": 1}


def test_nothing_counts_after_the_end_mark() -> None:
    decoder = ChatDecoder(ThinkStart.REASONING)
    decoder.feed(message(chunk({"content": "a</thi"})))
    assert decoder.feed(message(b" [DONE] ")) == [TextReceived(REASONING, "</thi")]
    assert decoder.done
    assert decoder.feed(message(chunk({"content": "b"}))) == []
    assert decoder.feed(message(b"not JSON")) == []
    assert decoder.end() == []


def test_held_text_comes_at_the_end_of_the_connection() -> None:
    decoder = ChatDecoder(ThinkStart.AUTO)
    assert decoder.feed(message(chunk({"content": " <th"}))) == [ChoiceOpened(0)]
    assert decoder.end() == [TextReceived(CONTENT, " <th")]
    assert not decoder.done


def test_usage_is_reported_each_time() -> None:
    usage = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    more = {"completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2, "x": 1}, "cost": 0.1}
    assert feed({"choices": [], "usage": usage}, {"choices": [], "usage": more}, {"choices": [], "usage": None}) == [
        UsageReported(Usage(5, 0, None, 4)),
        UsageReported(Usage(0, 3, 2)),
    ]


FAILURES = [
    ({"error": {"message": "m", "type": "BadRequestError", "param": None, "code": 400}}, "invalid_request"),
    ({"error": {"object": "error", "message": "m", "type": "abort", "code": 500}}, "server_error"),
    ({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "server_overloaded"),
    ({"error": {"message": "m", "http_status_code": 422}}, "invalid_request"),
    ({"error": {"code": 502, "message": "m"}, "choices": [{"index": 0, "delta": {"content": "x"}}]}, "server_error"),
    ({"error": {"code": "context_length_exceeded", "message": "m"}}, "context_length_exceeded"),
    ({"error": "an error was encountered while running the model"}, "server_error"),
    ({"object": "error", "message": "m", "type": "RateLimitError", "param": None, "code": 429}, "rate_limit"),
    ({"type": "error", "code": "ERR", "message": "m", "param": None, "sequence_number": 3}, "server_error"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "server_overloaded"),
    ({"code": "data_inspection_failed", "message": "m", "request_id": "r"}, "content_filter"),
    ({"detail": "m"}, "server_error"),
]


@pytest.mark.parametrize(("body", "code"), FAILURES)
def test_failures_inside_an_answer(body: dict[str, Any], code: str) -> None:
    decoder = ChatDecoder(ThinkStart.REASONING)
    decoder.feed(message(chunk({"content": "a</th"})))
    assert decoder.feed(message(body)) == [TextReceived(REASONING, "</th"), UpstreamFailed(code, SENTENCES[code])]
    assert decoder.feed(message(chunk({"content": "b"}))) == []
    assert decoder.end() == []
    assert decode_completion(json.dumps(body).encode()) == [failed(code)]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b'event: error\ndata: {"message": "m", "code": 429}\n\n', "rate_limit"),
        (b'event: error\ndata: {"error": {"message": "m"}}\n\n', "server_error"),
        (b"event: error\ndata: went wrong\n\n", "server_error"),
        (
            b'error: {"code":400,"message":"exceeds the available context size","type":"t"}\n\n',
            "context_length_exceeded",
        ),
    ],
)
def test_named_failures(stream: bytes, code: str) -> None:
    assert decode(stream).events == [failed(code)]


@pytest.mark.parametrize("reason", ["abort", "error", "ERROR"])
def test_an_aborted_answer_is_a_failure(reason: str) -> None:
    stream = sse(chunk({"content": "a"}), chunk({"content": "b"}, reason), chunk({"content": "c"})) + DONE
    assert decode(stream).events == [
        ChoiceOpened(0),
        TextReceived(CONTENT, "a"),
        TextReceived(CONTENT, "b"),
        failed("upstream_aborted"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"[]",
        b'"text"',
        b"null",
        b"12",
        b"{",
        b'{"choices": 1}',
        b'{"choices": [1]}',
        b'{"choices": [{"delta": 1}]}',
        b'{"choices": [{"index": "0"}]}',
        b'{"choices": [{"index": true}]}',
        b'{"choices": [{"finish_reason": {}}]}',
        b'{"choices": [{"delta": {"content": 1}}]}',
        b'{"choices": [{"delta": {"tool_calls": {}}}]}',
        b'{"choices": [{"delta": {"tool_calls": [1]}}]}',
        b'{"choices": [{"delta": {"content": NaN}}]}',
        b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b"9" * 5_000 + b"}",
        b'{"x": 1e999}',
    ],
)
def test_what_cannot_be_read(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        ChatDecoder(ThinkStart.AUTO).feed(message(data))
    assert caught.value.code == "upstream_protocol"
    with pytest.raises(UpstreamError):
        decode_completion(data.replace(b'"delta"', b'"message"'))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"a\ud800b", "a\ufffdb"),
        (rb"a\udc00\ud800", "a\ufffd\ufffd"),
        (rb"\ud83d\ude00 \ud83d", "😀 \ufffd"),
        (rb"\\ud800 \ud800", "\\ud800 \ufffd"),
        (rb"\\\ud800\n", "\\\ufffd\n"),
        (b"a\xffb\xed\xa0\x80", "a\ufffdb\ufffd\ufffd\ufffd"),
        (rb"\u0000", "\x00"),
    ],
)
def test_broken_text_is_mended(text: bytes, read: str) -> None:
    data = b'{"choices": [{"delta": {"content": "' + text + b'"}}]}'
    assert feed(data) == [ChoiceOpened(0), TextReceived(CONTENT, read)]


def test_of_a_key_given_twice_one_is_read() -> None:
    data = b'{"choices": [{"delta": {"content": "safe", "content": "evil"}}]}'
    assert feed(data) == [ChoiceOpened(0), TextReceived(CONTENT, "evil")]


WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "<think>so</think>42", "refusal": "no", "audio": {"data": "x"}},
            "logprobs": None,
            "finish_reason": "length",
        },
        {"index": 1, "message": {"content": None, "reasoning": "hm"}, "finish_reason": None},
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}


def test_a_whole_answer() -> None:
    decoder = ChatDecoder(ThinkStart.AUTO, choices=2)
    assert decode_completion(json.dumps(WHOLE).encode(), decoder) == [
        ChoiceOpened(0),
        TextReceived(REASONING, "so"),
        TextReceived(CONTENT, "42"),
        TextReceived(Lane(0, Channel.CONTENT, REFUSAL), "no"),
        ChoiceFinished(0, "length"),
        ChoiceOpened(1),
        TextReceived(Lane(1, Channel.REASONING), "hm"),
        UsageReported(Usage(1, 2)),
    ]
    assert decoder.dropped == {"audio": 1}
    assert decoder.reasoning_field == "reasoning"


def test_a_message_in_a_stream_is_dropped() -> None:
    decoder = ChatDecoder(ThinkStart.NATIVE)
    assert decoder.feed(message(WHOLE)) == [ChoiceOpened(0), ChoiceFinished(0, "length"), UsageReported(Usage(1, 2))]
    assert decoder.dropped == {"message": 2, "choice_out_of_range": 1}


def read_anything(stream: bytes) -> None:
    for start in ThinkStart:
        decoder = ChatDecoder(start, choices=2)
        try:
            for event in SseDecoder().feed(stream):
                decoder.feed(event)
        except UpstreamError as error:
            assert error.code == "upstream_protocol"  # noqa: PT017
        decoder.end()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(data: bytes) -> None:
    read_anything(data)
    read_anything(b"data: " + data + b"\n\n")


@given(st.sampled_from(ANSWERS), st.data())
def test_no_mutated_bytes_crash_it(answer: Answer, data: st.DataObject) -> None:
    stream = bytearray(answer.stream)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(stream)))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read_anything(bytes(stream))


KEYS = st.sampled_from(
    [
        *("choices", "index", "delta", "message", "content", "reasoning", "reasoning_content", "refusal", "tool_calls"),
        *("function", "name", "arguments", "id", "function_call", "finish_reason", "logprobs", "token", "logprob"),
        *("bytes", "top_logprobs", "usage", "prompt_tokens", "completion_tokens_details", "reasoning_tokens", "error"),
        *("code", "type", "object", "detail", "stop_reason", "matched_stop", "native_finish_reason", "text", "x"),
    ]
)
VALUES = st.recursive(
    JSON | st.sampled_from(["stop", "error", 0, 1, "a\nb"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_no_json_crashes_it(top: dict[str, Any], choice: dict[str, Any], delta: dict[str, Any]) -> None:
    body = {**top, "choices": [{"index": 0, **choice, "delta": delta, "message": delta}]}
    for variant in (body, top):
        data = json.dumps(variant).encode()
        read_anything(b"data: " + data + b"\n\n")
        try:
            decode_completion(data)
        except UpstreamError as error:
            assert error.code == "upstream_protocol"  # noqa: PT017


def test_allowed_fields_are_kept_and_not_counted() -> None:
    decoder = ChatDecoder(ThinkStart.NATIVE, allow=frozenset({"timings"}))
    chunk = b'{"choices":[{"index":0,"delta":{"content":"a"}}],"timings":{"n":%d},"audio":{"x":1}}'
    for number in (1, 2):
        decoder.feed(SseEvent("", chunk % number))
    assert decoder.allowed == {"timings": {"n": 2}}
    assert decoder.dropped == {"audio": 2}


def test_allowed_fields_of_a_whole_answer() -> None:
    decoder = ChatDecoder(ThinkStart.NATIVE, allow=frozenset({"timings"}))
    decoder.feed_whole(b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"timings":3}')
    assert decoder.allowed == {"timings": 3}
