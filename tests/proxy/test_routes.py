"""The wire contract, over a real socket: what a client gets for whatever happens to its answer."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

import pytest

from guard.backends.base import ModelRequest, UpstreamError
from guard.backends.scripted import ScriptedBackend, refuse
from guard.contract import REFUSAL, Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Logprob,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from guard.policy.schema import PromptSettings
from guard.proxy import body as request_body
from guard.proxy.clocks import Clocks
from guard.proxy.gateway import Gateway
from guard.wire.record import RecordedEvent
from tests.support.proxy import (
    CHAT,
    MESSAGES,
    FixedPolicy,
    answer_of,
    ask,
    by_prompt,
    content,
    exchange,
    gateway_of,
    metric,
    nothing_policy,
    script,
    scripted,
    serving,
    thought,
    wait_for,
    words_policy,
)

COMPLETIONS = "/v1/completions"
TOKENS = Usage(prompt_tokens=9, completion_tokens=5, reasoning_tokens=2)
ARGUMENTS = Lane(0, Channel.TOOL, 0)
NEVER = 3_600.0


def tool_call(arguments: str) -> list[RecordedEvent]:
    return script(
        ChoiceOpened(0),
        ToolCallOpened(0, 0, "call_1", "lookup"),
        *(TextReceived(ARGUMENTS, char) for char in arguments),
        ChoiceFinished(0, "tool_calls"),
        UpstreamEnded(),
    )


ANSWERS: dict[str, list[RecordedEvent]] = {
    "plain": answer_of(content("Hello, "), content("world.")),
    "usage": script(
        ChoiceOpened(0), content("Hello."), ChoiceFinished(0, "stop"), UsageReported(TOKENS), UpstreamEnded()
    ),
    "thinking": answer_of(thought("Hm. "), content("Hello.")),
    "cut": script(ChoiceOpened(0), content("Well, "), content("STOP! "), content("never seen")),
    "cut while thinking": script(ChoiceOpened(0), thought("Well, "), thought("STOP! "), content("never seen")),
    "cut at once": script(ChoiceOpened(0), content("STOP! never seen")),
    "too long": script(ChoiceOpened(0), content("Well, LONG! never seen")),
    "masked": answer_of(content("The SEC"), content("RET is out.")),
    "fails": script(ChoiceOpened(0), content("Half of it. "), UpstreamFailed("upstream_reset", "It broke.")),
    "fails at once": script(UpstreamFailed("upstream_reset", "It broke.")),
    "just stops": script(ChoiceOpened(0), content("Half of it.")),
    "says nothing": script(UpstreamEnded()),
    "tool": tool_call('{"q":"a SECRET"}'),
    "bad tool": tool_call('{"q":"STOP!"}'),
    "tool of an open choice": tool_call('{"q":"rm -rf /ho')[:-2],
    "refusal": answer_of(TextReceived(Lane(0, Channel.CONTENT, REFUSAL), "I will not."), reason="stop"),
    "two": script(
        ChoiceOpened(1),
        content("One. ", 1),
        ChoiceOpened(0),
        content("Zero. STOP! never seen", 0),
        content("More.", 1),
        content("never seen", 0),
        ChoiceFinished(1, "stop"),
        UpstreamEnded(),
    ),
    "logprobs": answer_of(content("Hello.", logprobs=[Logprob("Hello.", -0.5, (72,), (Logprob("Hi.", -1.5),))])),
    "line ends": answer_of(content("a\u2028b\r\nc\u0085d\ndata: [DONE]\n\ne")),
}


def answering(name: str) -> Callable[[ModelRequest], Iterable[RecordedEvent]]:
    return lambda _request: ANSWERS[name]


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, Gateway]]:
    gateways: list[Gateway] = []

    def make() -> Gateway:
        gateways.append(gateway_of(by_prompt({name: answering(name) for name in ANSWERS})))
        return gateways[0]

    with serving(make) as url:
        yield url, gateways[0]


def question(name: str, **fields: object) -> dict[str, object]:
    return ask(messages=[{"role": "user", "content": name}], **fields)


def stream(url: str, name: str, **fields: object) -> list[dict[str, object]]:
    answer = exchange(url, CHAT, question(name, stream=True, **fields))
    assert answer.status == 200
    return answer.events


def whole(url: str, name: str, **fields: object) -> dict[str, object]:
    answer = exchange(url, CHAT, question(name, **fields))
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, object] = answer.json
    return body


def deltas(events: Iterable[object], choice: int = 0) -> list[dict[str, object]]:
    """What the chunks of a choice bring, neighbouring texts of one field joined."""
    found: list[dict[str, object]] = []
    for event in events:
        assert isinstance(event, dict)
        for each in event["choices"]:
            if each["index"] != choice:
                continue
            delta = each["delta"]
            last = found[-1] if found else {}
            if list(delta) == list(last) and list(delta) in (["content"], ["reasoning_content"]):
                (name,) = delta
                last[name] = f"{last[name]}{delta[name]}"
            else:
                found.append(dict(delta))
    return found


def chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def told(answer_id: str, rule: str, channel: str, action: str = "cut") -> dict[str, object]:
    return {
        "v": 1,
        "action": action,
        "rule": rule,
        "detector": rule,
        "label": "hit",
        "channel": channel,
        "policy": "house",
        "policy_version": "v1",
        "request_id": answer_id.removeprefix("chatcmpl-"),
        "backend": "scripted",
    }


ROLE: dict[str, object] = {"role": "assistant", "content": ""}


# --- a cut, byte for byte


def test_a_cut_is_an_ordinary_end_with_a_notice(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    answer = exchange(url, CHAT, question("cut", stream=True))
    events = answer.events
    answer_id, created = events[0]["id"], events[0]["created"]
    head = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": "scripted"}
    assert [{**event} for event in events] == [
        {**head, **chunk(ROLE)},
        {**head, **chunk({"content": "Well, "})},
        {**head, **chunk({"content": "\n\nStopped here."})},
        {**head, **chunk({}, "content_filter", guard=told(answer_id, "stopper", "content"))},
    ]
    assert [list(event) for event in events] == [["id", "object", "created", "model", "choices"]] * 3 + [
        ["id", "object", "created", "model", "choices", "guard"]
    ]
    assert answer.body.endswith(b"\n\ndata: [DONE]\n\n")
    assert b"never seen" not in answer.body
    assert b"STOP" not in answer.body


def test_every_answer_says_which_policy_and_which_request(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    for body in (question("cut", stream=True), question("cut"), question("plain", n="x")):
        headers = exchange(url, CHAT, body).headers
        assert headers["x-guard-policy"] == "house@v1"
        assert headers["x-guard-request-id"] == headers["x-request-id"]
        assert len(headers["x-request-id"]) == 32
    answer = exchange(url, CHAT, question("cut", stream=True))
    assert answer.headers["x-guard-backend"] == "scripted"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.events[-1]["guard"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("name", "said", "finish", "rule", "channel"),
    [
        ("cut", [{"content": "Well, \n\nStopped here."}], "content_filter", "stopper", "content"),
        (
            "cut while thinking",
            [{"reasoning_content": "Well, "}, {"content": "Stopped here."}],
            "content_filter",
            "stopper",
            "reasoning",
        ),
        ("cut at once", [{"content": "Stopped here."}], "content_filter", "stopper", "content"),
        ("too long", [{"content": "Well, \n\nToo long."}], "length", "budget", "content"),
        ("bad tool", [{"content": "Stopped here."}], "content_filter", "stopper", "tool"),
    ],
)
@pytest.mark.parametrize("usage", [False, True])
def test_cuts(
    proxy: tuple[str, Gateway],
    name: str,
    said: list[dict[str, str]],
    finish: str,
    rule: str,
    channel: str,
    usage: bool,
) -> None:
    url, _ = proxy
    events = stream(url, name, stream_options={"include_usage": usage})
    guard = told(str(events[0]["id"]), rule, channel)
    if usage:
        last = events.pop()
        assert last["choices"] == []
        assert isinstance(last["usage"], dict)
        assert last["usage"]["prompt_tokens"] > 0
        assert last["guard"] == {"v": 1, "usage_estimated": True}
    assert all("usage" not in event for event in events)
    assert deltas(events) == [ROLE, *said, {}]
    assert events[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": finish}]
    assert events[-1]["guard"] == guard

    body = whole(url, name)
    message = {"role": "assistant", "content": "", "refusal": None}
    for each in said:
        message |= each
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
    assert body["choices"] == choices
    assert isinstance(body["guard"], dict)
    assert body["guard"] == {
        **told(str(body["id"]), rule, channel),
        "usage_estimated": True,
    }
    assert "never seen" not in json.dumps([events, body])
    assert "STOP" not in json.dumps([events, body])


def test_a_mask_keeps_the_finish_and_says_so(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    events = stream(url, "masked")
    assert deltas(events) == [ROLE, {"content": "The <hidden> is out."}, {}]
    assert events[-1]["guard"] == told(str(events[0]["id"]), "masker", "content", "mask")
    assert all("SEC" not in json.dumps(event) for event in events)
    body = whole(url, "masked")
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The <hidden> is out.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert isinstance(body["guard"], dict)
    assert body["guard"]["action"] == "mask"


# --- ordinary answers


def test_an_ordinary_answer_carries_nothing_of_the_guard(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    events = stream(url, "thinking")
    assert deltas(events) == [ROLE, {"reasoning_content": "Hm. "}, {"content": "Hello."}, {}]
    assert all("guard" not in event for event in events)
    body = whole(url, "usage")
    assert "guard" not in body
    assert body["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_usage_is_sent_only_if_it_was_asked_for(proxy: tuple[str, Gateway], asked: object) -> None:
    url, _ = proxy
    events = stream(url, "usage", stream_options=asked)
    usages = [event for event in events if "usage" in event]
    assert len(usages) == (asked == {"include_usage": True})
    for event in usages:
        assert event is events[-1]
        assert event["choices"] == []
        assert isinstance(event["usage"], dict)
        assert event["usage"]["total_tokens"] == 14
        assert "guard" not in event


def test_a_tool_call_leaves_whole_and_masked(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    events = stream(url, "tool")
    call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"q":"a <hidden>"}'}}
    assert deltas(events) == [ROLE, {"tool_calls": [{"index": 0, **call}]}, {}]
    assert events[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]
    body = whole(url, "tool")
    assert isinstance(body["choices"], list)
    assert body["choices"][0]["message"]["tool_calls"] == [call]
    assert body["choices"][0]["message"]["content"] is None


def test_half_a_tool_call_never_leaves(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    body = exchange(url, CHAT, question("tool of an open choice", stream=True)).body
    assert b"tool_calls" not in body
    assert b"rm -rf" not in body
    assert b'"code":"upstream_incomplete"' in body


def test_a_refusal_is_a_field_of_its_own(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    assert deltas(stream(url, "refusal")) == [ROLE, {"refusal": "I will not."}, {}]
    body = whole(url, "refusal")
    assert isinstance(body["choices"], list)
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": "I will not."}


def test_choices_are_cut_one_by_one(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    events = stream(url, "two", n=2)
    assert deltas(events, 0) == [ROLE, {"content": "Zero. \n\nStopped here."}, {}]
    assert deltas(events, 1) == [ROLE, {"content": "One. More."}, {}]
    finishes = {
        choice["index"]: (choice["finish_reason"], "guard" in event)
        for event in events
        for choice in event["choices"]  # type: ignore[attr-defined]
        if choice["finish_reason"]
    }
    assert finishes == {0: ("content_filter", True), 1: ("stop", False)}
    body = whole(url, "two", n=2)
    assert isinstance(body["choices"], list)
    assert [choice["finish_reason"] for choice in body["choices"]] == ["content_filter", "stop"]


def test_an_event_is_one_line_by_any_definition(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    answer = exchange(url, CHAT, question("line ends", stream=True))
    assert len(answer.body.decode().splitlines()) == 2 * answer.body.count(b"\n\n")
    assert deltas(answer.events)[1] == {"content": "a\u2028b\r\nc\u0085d\ndata: [DONE]\n\ne"}


@pytest.mark.parametrize(
    ("spelling", "field"), [("", "reasoning_content"), ("reasoning", "reasoning")], ids=["default", "configured"]
)
def test_reasoning_is_spelled_as_configured(spelling: str, field: str) -> None:
    with serving(
        lambda: gateway_of(scripted(*answer_of(thought("Hm."), content("Hello."))), reasoning_field=spelling)
    ) as url:
        names = [list(delta) for delta in deltas(exchange(url, CHAT, ask(stream=True)).events)]
        assert names == [["role", "content"], [field], ["content"], []]
        assert exchange(url, CHAT, ask()).json["choices"][0]["message"][field] == "Hm."


@pytest.mark.parametrize("policy", [words_policy, nothing_policy])
def test_log_probabilities_leave_only_with_text_that_no_rule_can_touch(policy: Callable[[], FixedPolicy]) -> None:
    gateways: list[Gateway] = []

    def make() -> Gateway:
        gateways.append(gateway_of(scripted(*ANSWERS["logprobs"]), policy()))
        return gateways[0]

    with serving(make) as url:
        events = exchange(url, CHAT, ask(stream=True, logprobs=True, top_logprobs=1)).events
        body = exchange(url, CHAT, ask(logprobs=True)).json
    passes = policy is nothing_policy
    expected = {
        "content": [
            {
                "token": "Hello.",
                "logprob": -0.5,
                "bytes": [72],
                "top_logprobs": [{"token": "Hi.", "logprob": -1.5, "bytes": None}],
            }
        ]
    }
    streamed = [choice["logprobs"] for event in events for choice in event["choices"] if "logprobs" in choice]
    assert streamed == ([expected] if passes else [])
    assert body["choices"][0]["logprobs"] == (expected if passes else None)
    assert metric(gateways[0], "guard_dropped_fields_total", side="response", field="logprobs") == (0 if passes else 2)


# --- failures


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("fails", "Half of it. ", "upstream_reset"),
        ("fails at once", "", "upstream_reset"),
        ("just stops", "Half of it.", "upstream_incomplete"),
        ("says nothing", "", "upstream_empty"),
    ],
)
def test_failures_after_upstream_accepted_are_told_in_band(
    proxy: tuple[str, Gateway], name: str, said: str, code: str
) -> None:
    url, _ = proxy
    events = stream(url, name)
    error = events.pop()
    assert list(error) == ["error"]
    assert isinstance(error["error"], dict)
    assert error["error"] == {
        "message": error["error"]["message"],
        "type": "upstream_error",
        "param": None,
        "code": code,
    }
    assert "".join(str(delta.get("content", "")) for delta in deltas(events)) == said
    assert all(choice["finish_reason"] is None for event in events for choice in event["choices"])  # type: ignore[attr-defined]
    answer = exchange(url, CHAT, question(name))
    assert (answer.status, answer.error["code"]) == (502, code)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("status", [400, 404, 429, 502, 503, 504])
def test_a_refusal_of_upstream_is_a_status(streamed: bool, status: int) -> None:
    error = UpstreamError("Upstream says no.", code="upstream_unreachable", status=status, retry_after="7")
    gateways: list[Gateway] = []

    def make() -> Gateway:
        gateways.append(gateway_of(ScriptedBackend(refuse(error))))
        return gateways[0]

    with serving(make) as url:
        answer = exchange(url, CHAT, ask(stream=streamed))
        assert answer.status == status
        assert answer.error["message"] == "Upstream says no."
        assert answer.headers["retry-after"] == "7"
        assert "x-should-retry" not in answer.headers
        gateway = gateways[0]
        wait_for(lambda: not gateway.live, "the end of the stream")
    assert metric(gateway, "guard_requests_total", route="chat", model="other", outcome="error") == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_a_bug_of_ours_is_told_in_the_clients_language(streamed: bool, capfd: pytest.CaptureFixture[str]) -> None:
    def buggy(_request: ModelRequest) -> Iterable[RecordedEvent]:
        raise ZeroDivisionError("secret text")

    with serving(lambda: gateway_of(ScriptedBackend(buggy))) as url:
        answer = exchange(url, CHAT, ask(stream=streamed))
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert b"secret" not in answer.body
    capfd.readouterr()


def test_a_bug_of_ours_in_mid_answer_ends_the_stream_well(capfd: pytest.CaptureFixture[str]) -> None:
    def buggy(_request: ModelRequest) -> Iterable[RecordedEvent]:
        yield from script(ChoiceOpened(0), content("Half of it, and a little more."))
        raise ZeroDivisionError("secret text")

    with serving(lambda: gateway_of(ScriptedBackend(buggy))) as url:
        events = exchange(url, CHAT, ask(stream=True)).events
        assert events[-1]["error"]["code"] == "internal_error"
        assert deltas(events[:-1])[1]["content"] == "Half of it, and "
    capfd.readouterr()


# --- bad requests


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "says"),
    [
        (b"", {}, 400, "invalid_request", "no body"),
        (b"{", {}, 400, "invalid_json", "not valid JSON"),
        (b"[]", {}, 400, "invalid_request", "must be an object"),
        (b'{"messages": 3, "prompt": 3, "input": 3}', {}, 400, "invalid_request", "has the wrong type: expected "),
        (json.dumps(ask(api_base="http://x")).encode(), {}, 400, "invalid_request", "`api_base`"),
        (b"\x1f\x8b", {"content-encoding": "gzip"}, 415, "encoded_body", "send it plain"),
        (b"x" * (50 << 20), {}, 413, "body_too_large", "larger than"),
    ],
    ids=["empty", "no json", "array", "wrong type", "api_base", "gzip", "50 MB"],
)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, "/v1/embeddings"])
def test_bad_requests_get_one_sentence(
    proxy: tuple[str, Gateway], path: str, body: bytes, headers: dict[str, str], status: int, code: str, says: str
) -> None:
    url, gateway = proxy
    streams = gateway.backend.streams  # type: ignore[attr-defined]
    answer = exchange(url, path, body, headers=headers)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert says in answer.error["message"]
    assert gateway.backend.streams == streams  # type: ignore[attr-defined]
    assert exchange(url, CHAT, question("plain")).status == 200


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_a_huge_n_is_refused(proxy: tuple[str, Gateway], path: str) -> None:
    url, _ = proxy
    answer = exchange(url, path, {**ask(n=10**9), "prompt": "plain"})
    assert (answer.status, answer.error["param"]) == (400, "n")
    assert "1 to 4 choices" in answer.error["message"]


def test_a_body_without_a_length_is_refused_as_soon_as_it_is_too_large() -> None:
    with serving(lambda: gateway_of(max_body=1_000)) as url:
        there = urlsplit(url)
        with socket.create_connection((there.hostname, there.port), timeout=20) as sock:
            sock.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
            sock.sendall(b"400\r\n" + b"x" * 1_024 + b"\r\n")
            assert sock.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/audio/speech"),
        ("GET", CHAT),
        ("PUT", CHAT),
        ("OPTIONS", CHAT),
        ("POST", f"{CHAT}/"),
        ("POST", "/v1/%63hat/completions/x"),
        ("POST", "//v1/chat/completions"),
        ("POST", "/v1/models"),
        ("GET", "/v1"),
        ("POST", "/completion"),
        ("POST", "/api/chat"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/"),
        ("GET", "/healthz"),
        ("DELETE", "/v1/models/x"),
        ("TRACE", "/v1/models"),
        ("TRACE", "/"),
    ],
)
def test_what_is_not_guarded_is_not_served(proxy: tuple[str, Gateway], method: str, path: str) -> None:
    url, _ = proxy
    answer = exchange(url, path, b"{}", method=method)
    assert answer.status == 404
    assert answer.error["code"] == "not_guarded"
    assert answer.error["type"] == "not_found_error"
    assert ("/v1/chat/completions" in answer.error["message"]) == path.startswith("/v1")


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, "/v1/embeddings"])
def test_an_unknown_model_is_404_where_models_are_configured(path: str) -> None:
    body = {"model": "gpt-9", "messages": MESSAGES, "prompt": "plain", "input": "x"}
    with serving(lambda: gateway_of(models=("qwq", "other"))) as url:
        answer = exchange(url, path, body)
        assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
        assert "`gpt-9`" in answer.error["message"]
        assert "qwq, other" in answer.error["message"]
        assert exchange(url, CHAT, ask(model="qwq")).status == 200


def test_stripped_knobs_do_not_go_upstream_and_are_counted() -> None:
    gateways: list[Gateway] = []
    backend = scripted()

    def make() -> Gateway:
        gateways.append(gateway_of(backend))
        return gateways[0]

    with serving(make) as url:
        assert exchange(url, CHAT, ask(store=True, top_k=20)).status == 200
    assert backend.requests[0].body == {"model": "scripted", "messages": MESSAGES, "top_k": 20}
    assert metric(gateways[0], "guard_dropped_fields_total", side="request", field="store") == 1


@pytest.mark.parametrize("passes", [True, False])
def test_the_clients_credentials_go_on_only_if_configured(passes: bool) -> None:
    backend = scripted()
    with serving(lambda: gateway_of(backend, pass_through=passes)) as url:
        exchange(url, CHAT, ask(), headers={"authorization": "Bearer sk-client"})
    assert backend.requests[0].authorization == ("Bearer sk-client" if passes else None)


def test_a_blocked_prompt_is_an_ordinary_answer() -> None:
    backend = scripted()
    with serving(lambda: gateway_of(backend, words_policy(channels=(Channel.PROMPT,)))) as url:
        body = ask(messages=[{"role": "user", "content": "STOP! now"}])
        events = exchange(url, CHAT, {**body, "stream": True}).events
        assert deltas(events) == [ROLE, {"content": "Stopped here."}, {}]
        assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
        assert events[-1]["guard"]["channel"] == "prompt"
        folded = exchange(url, CHAT, body)
        assert folded.json["choices"][0]["message"]["content"] == "Stopped here."
        assert "x-guard-backend" not in folded.headers
        assert backend.streams == 0
        exchange(url, CHAT, ask(messages=[{"role": "user", "content": "my SECRET"}]))
        assert backend.requests[0].body["messages"] == [{"role": "user", "content": "my <hidden>"}]


def test_a_policy_may_refuse_a_blocked_prompt_by_an_error() -> None:
    backend = scripted()
    policy = words_policy(channels=(Channel.PROMPT,))
    policy.prompt = PromptSettings(block="error")
    gateways: list[Gateway] = []

    def make() -> Gateway:
        gateways.append(gateway_of(backend, policy))
        return gateways[0]

    with serving(make) as url:
        for fields in ({}, {"stream": True}):
            answer = exchange(url, CHAT, ask(messages=[{"role": "user", "content": "STOP! now"}], **fields))
            assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "content_filter", "messages")
            assert answer.error["message"] == "Stopped here."
            told = {"action": "cut", "rule": "stopper", "detector": "stopper", "channel": "prompt"}
            assert answer.error["guard"].items() >= told.items()
        assert exchange(url, COMPLETIONS, {"prompt": "STOP!"}).error["param"] == "prompt"
        assert backend.streams == 0
        assert exchange(url, CHAT, ask(stream=True)).status == 200
    assert metric(gateways[0], "guard_requests_total", outcome="cut", route="chat", model="other") == 2
    assert metric(gateways[0], "guard_requests_total", outcome="error", route="chat", model="other") == 0


def test_what_cannot_be_reviewed_is_refused_if_the_policy_says_so() -> None:
    policy = words_policy()
    policy.prompt = PromptSettings(image="refuse")
    image = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    with serving(lambda: gateway_of(scripted(), policy)) as url:
        answer = exchange(url, CHAT, ask(messages=[{"role": "user", "content": image}]))
    assert (answer.status, answer.error["code"]) == (400, "not_reviewable")


@pytest.mark.parametrize(("watched", "status"), [(True, 400), (False, 200)])
def test_more_texts_than_are_reviewed_are_refused_before_any_is(watched: bool, status: int) -> None:
    """Each has scanners of its own: half a million one-letter parts would take a minute and a gigabyte."""
    policy = words_policy(channels=(Channel.PROMPT,) if watched else ())
    gateways: list[Gateway] = []

    def make() -> Gateway:
        gateways.append(gateway_of(policy=policy))
        return gateways[0]

    with serving(make) as url:
        parts = [{"type": "text", "text": "x"}] * 20_000
        answer = exchange(url, CHAT, ask(messages=[{"role": "user", "content": parts}]))
    assert answer.status == status
    if watched:
        assert (answer.error["code"], answer.error["message"].split(";")[0]) == (
            "not_reviewable",
            "The request holds 20000 texts, and at most 16384 are reviewed",
        )
        assert metric(gateways[0], "guard_requests_total", outcome="error", route="chat", model="other") == 0


def test_every_text_of_a_request_is_reviewed() -> None:
    backend = scripted()
    with serving(lambda: gateway_of(backend, words_policy(channels=(Channel.PROMPT,)))) as url:
        function = {"name": "f", "description": "SECRET", "parameters": {}}
        exchange(url, CHAT, ask(tools=[{"type": "function", "function": function}], documents=["SECRET"]))
        sent = backend.requests[0].body
        assert sent["tools"][0]["function"]["description"] == "<hidden>"
        assert sent["documents"] == ["<hidden>"]
        assert exchange(url, COMPLETIONS, {"prompt": "a", "suffix": "STOP!"}).json["choices"][0]["text"] == (
            "Stopped here."
        )


# --- other routes


def test_text_completions(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    events = exchange(url, COMPLETIONS, {"model": "m", "prompt": "cut", "stream": True}).events
    assert "".join(event["choices"][0]["text"] for event in events) == "Well, \n\nStopped here."
    assert {event["object"] for event in events} == {"text_completion"}
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert events[-1]["guard"]["rule"] == "stopper"
    body = exchange(url, COMPLETIONS, {"prompt": "plain"}).json
    assert body["object"] == "text_completion"
    assert body["choices"] == [{"index": 0, "text": "Hello, world.", "logprobs": None, "finish_reason": "stop"}]


def test_models_are_the_backends_or_the_configured_ones(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    assert [model["id"] for model in exchange(url, "/v1/models").json["data"]] == ["scripted"]
    assert exchange(url, "/v1/models/scripted").json["id"] == "scripted"
    answer = exchange(url, "/v1/models/qwen/none")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    with serving(lambda: gateway_of(models=("Qwen/QwQ-32B",))) as other:
        assert [model["id"] for model in exchange(other, "/v1/models").json["data"]] == ["Qwen/QwQ-32B"]
        assert exchange(other, "/v1/models/Qwen/QwQ-32B").json["object"] == "model"


def test_a_backend_without_embeddings_says_so(proxy: tuple[str, Gateway]) -> None:
    url, _ = proxy
    answer = exchange(url, "/v1/embeddings", {"input": "x"})
    assert (answer.status, answer.error["code"]) == (404, "not_supported")


class Hangs(ScriptedBackend):
    """Answers nothing, ever."""

    async def models(self) -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    async def embeddings(self, _body: object, _authorization: str | None, _request_id: str) -> bytes:
        await asyncio.Event().wait()
        return b""


@pytest.mark.parametrize(("path", "body"), [("/v1/models", None), ("/v1/embeddings", {"input": "x"})])
def test_a_backend_that_hangs_is_not_waited_for_for_ever(path: str, body: object) -> None:
    with serving(lambda: gateway_of(Hangs(lambda _request: []), clocks=Clocks(first_byte=0.05))) as url:
        answer = exchange(url, path, body)
        assert (answer.status, answer.error["code"]) == (504, "deadline_first_byte")


# --- clients that leave


def raw_request(body: object) -> bytes:
    data = json.dumps(body).encode()
    return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


def forever() -> list[RecordedEvent]:
    return [*script(ChoiceOpened(0), content("Half of it, and so on. ")), RecordedEvent(UpstreamEnded(), NEVER)]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_leaves_takes_upstream_with_it(streamed: bool, reset: bool) -> None:
    gateways: list[Gateway] = []
    backend = scripted(*forever())

    def make() -> Gateway:
        gateways.append(gateway_of(backend))
        return gateways[0]

    with serving(make) as url:
        there = urlsplit(url)
        with socket.create_connection((there.hostname, there.port), timeout=20) as sock:
            sock.sendall(raw_request(ask(stream=streamed)))
            wait_for(lambda: backend.streams == 1, "the request")
            if streamed:
                assert sock.recv(1_024)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: backend.closed == 1, "letting go of upstream")
        gateway = gateways[0]
        labels = {"route": "chat", "model": "other", "outcome": "client_left"}
        wait_for(lambda: metric(gateway, "guard_requests_total", **labels) == 1, "the count")
        assert not gateway.live


def test_a_client_that_reads_nothing_is_given_up() -> None:
    gateways: list[Gateway] = []
    backend = ScriptedBackend(lambda _request: (event for _ in iter(int, 1) for event in script(content("x" * 60_000))))

    def make() -> Gateway:
        gateways.append(gateway_of(backend, nothing_policy(), clocks=Clocks(write=0.2)))
        return gateways[0]

    with serving(make) as url:
        there = urlsplit(url)
        with socket.create_connection((there.hostname, there.port), timeout=20) as sock:
            sock.sendall(raw_request(ask(stream=True)))
            wait_for(lambda: backend.closed == 1, "letting go of upstream")
            wait_for(lambda: not gateways[0].live, "giving up the client")
        assert metric(gateways[0], "guard_streams_active") == 0


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.05)
    with serving(gateway_of) as url:
        there = urlsplit(url)
        with socket.create_connection((there.hostname, there.port), timeout=20) as sock:
            sock.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{".encode())
            assert sock.recv(64).startswith(b"HTTP/1.1 408 ")
