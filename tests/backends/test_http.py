"""An HTTP upstream: what is sent to it, what is read from it, and how it is let go. Against real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from guard.backends.base import ModelRequest
from guard.backends.dialects import DASHSCOPE
from guard.backends.http import HttpBackend
from guard.contract import Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Event,
    TextReceived,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from guard.wire.errors import UpstreamError
from tests.support.dialects import DIALECTS, DONE, OLLAMA, OPENAI, VLLM, Dialect, event
from tests.support.upstream import (
    CLOSE,
    HANG,
    PATIENCE,
    RESET,
    Body,
    FakeUpstream,
    Forever,
    Pause,
    Reply,
    Until,
    bytewise,
    json_reply,
    raw,
    reply,
    unused_port,
)
from tests.support.upstream_streams import ANSWERS, Answer

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest(route="chat", body={"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, model="m")
CONTENT = Lane(0, Channel.CONTENT)
REASONING = Lane(0, Channel.REASONING)
CONTEXT = "context_length_exceeded"


@asynccontextmanager
async def opened(upstream: FakeUpstream, **options: Any) -> AsyncIterator[HttpBackend]:
    backend = HttpBackend(url=options.pop("url", upstream.url), **options)
    try:
        yield backend
    finally:
        await backend.aclose()


async def read(
    backend: HttpBackend, request: ModelRequest = REQUEST, *, into: list[Event] | None = None
) -> list[Event]:
    """Every event of one answer; fails a test that would wait for ever. `into` keeps what came before an error."""
    events: list[Event] = [] if into is None else into
    async with asyncio.timeout(PATIENCE), backend.stream(request) as model:
        async for batch in model.events:
            events += batch
    return events


async def answer(*replies: Reply, request: ModelRequest = REQUEST, **options: Any) -> list[Event]:
    """Every event that comes of `replies`' first."""
    async with FakeUpstream(*replies) as upstream, opened(upstream, **options) as backend:
        return await read(backend, request)


async def refusal(*replies: Reply, request: ModelRequest = REQUEST, **options: Any) -> UpstreamError:
    """The error with which the request is refused, before anything of the answer is handed out."""
    async with FakeUpstream(*replies) as upstream, opened(upstream, **options) as backend:
        with pytest.raises(UpstreamError) as caught:
            async with asyncio.timeout(PATIENCE), backend.stream(request):
                pytest.fail("the request was accepted")
    return caught.value


def text(events: Iterable[Event], lane: Lane = CONTENT) -> str:
    return "".join(event.text for event in events if isinstance(event, TextReceived) and event.lane == lane)


# --- what is sent


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_in_the_version_or_not(suffix: str) -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream:
        async with opened(upstream, url=upstream.url + suffix) as backend:
            await read(backend)
        assert (upstream.request.method, upstream.request.path) == ("POST", "/v1/chat/completions")


async def test_a_path_before_the_version_is_kept() -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream:
        async with opened(upstream, url=f"{upstream.url}/compatible-mode/v3") as backend:
            await read(backend)
        assert upstream.request.path == "/compatible-mode/v3/chat/completions"


async def test_text_completions_have_a_path_of_their_own() -> None:
    chunk = event({"object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]})
    request = ModelRequest(route="completions", body={"prompt": "Say"})
    async with FakeUpstream(reply(chunk, DONE)) as upstream:
        async with opened(upstream) as backend:
            events = await read(backend, request)
        assert upstream.request.path == "/v1/completions"
        assert text(events) == "Hi"


async def test_the_body_is_forwarded_and_always_asks_for_a_stream_with_usage() -> None:
    body = {"model": "m", "messages": [], "stream": False, "stream_options": {"include_usage": False}, "top_k": 40}
    async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream:
        async with opened(upstream) as backend:
            await read(backend, ModelRequest(route="chat", body=body))
        assert upstream.request.json == {**body, "stream": True, "stream_options": {"include_usage": True}}
        assert body["stream"] is False


async def test_what_is_asked_for_is_plain_and_named() -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream:
        async with opened(upstream) as backend:
            await read(backend, ModelRequest(route="chat", body={}, request_id="abc"))
        request = upstream.request
        assert request.header("accept-encoding") == "identity"
        assert request.header("content-type") == "application/json"
        assert request.header("x-request-id") == "abc"
        assert request.header("user-agent") == "qwq-guard"
        assert "text/event-stream" in (request.header("accept") or "")


@pytest.mark.parametrize(
    ("options", "client", "sent"),
    [
        ({"api_key": "ours", "auth": "replace"}, "Bearer theirs", "Bearer ours"),
        ({"api_key": "ours", "auth": "replace"}, None, "Bearer ours"),
        ({"auth": "replace"}, "Bearer theirs", None),
        ({"auth": "pass_through"}, "Bearer theirs", "Bearer theirs"),
        ({"auth": "pass_through"}, None, None),
        ({"api_key": "ours", "auth": "pass_through"}, None, None),
        ({"api_key": "ours", "auth": "pass_through"}, "Bearer theirs", "Bearer theirs"),
    ],
)
@pytest.mark.parametrize("call", ["stream", "embeddings"])
async def test_credentials_are_ours_or_the_clients_never_both(
    options: dict[str, Any], client: str | None, sent: str | None, call: str
) -> None:
    embeddings = json_reply({"data": []})
    async with FakeUpstream(reply(*VLLM.answer("Hi")) if call == "stream" else embeddings) as upstream:
        async with opened(upstream, **options) as backend:
            if call == "stream":
                await read(backend, ModelRequest(route="chat", body={}, authorization=client))
            else:
                await backend.embeddings({}, client, "")
        assert upstream.request.header("authorization") == sent


async def test_the_environment_chooses_no_proxy_and_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    async with FakeUpstream(json_reply({"error": "proxied"}, status=418)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream:
            async with opened(upstream) as backend:
                assert text(await read(backend)) == "Hi"
            assert upstream.request.header("authorization") is None
        assert proxy.received == []


async def test_an_upstreams_cookie_does_not_come_back_with_another_clients_request() -> None:
    greeting = reply(*VLLM.answer("Hi"), headers={"set-cookie": "session=of-the-first-client; Path=/"})
    async with FakeUpstream(greeting) as upstream:
        async with opened(upstream, url=f"http://localhost:{upstream.port}") as backend:
            await read(backend)
            await read(backend)
        assert [received.header("cookie") for received in upstream.received] == [None, None]


async def test_connections_are_used_again() -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hi"))) as upstream, opened(upstream) as backend:
        for _ in range(5):
            await read(backend)
        assert len(upstream.received) == 5
        assert upstream.connections < 5


# --- what is read


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_every_dialect_reads_the_same(dialect: Dialect) -> None:
    events = await answer(reply(*dialect.answer("Hel", "lo", thoughts=("Hm", "mm"), finish="length")))
    assert events[0] == ChoiceOpened(0)
    assert text(events, REASONING) == "Hmmm"
    assert text(events) == "Hello"
    assert [event for event in events if isinstance(event, ChoiceFinished)] == [ChoiceFinished(0, "length")]
    assert UsageReported(Usage(7, 5)) in events
    assert events[-1] == UpstreamEnded()


@pytest.mark.parametrize("dialect", [VLLM, OPENAI], ids=lambda dialect: dialect.name)
async def test_how_upstream_spells_reasoning_is_known_once_it_has(dialect: Dialect) -> None:
    stream = reply(*dialect.answer("Hi", thoughts=("Hm",)))
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend, backend.stream(REQUEST) as model:
        assert model.reasoning_field == ""
        async for batch in model.events:
            if any(isinstance(event, TextReceived) for event in batch):
                assert model.reasoning_field == dialect.reasoning_field


async def test_the_backend_says_its_name_and_what_was_dropped() -> None:
    odd = event({"choices": [{"index": 0, "delta": {"content": "Hi", "audio": {"data": "x"}}}], "anything": "new"})
    async with FakeUpstream(reply(odd, VLLM.finish(), DONE)) as upstream, opened(upstream, name="gpu1") as backend:
        async with backend.stream(REQUEST) as model:
            assert model.backend == "gpu1"
            _ = [batch async for batch in model.events]
        assert model.dropped == {"audio": 1, "other": 1}


async def test_where_inline_thinking_starts_goes_by_the_name_of_the_model() -> None:
    stream = reply(*VLLM.answer("Let me see.</think>", "Four."))
    qwq = ModelRequest(route="chat", body={}, model="Qwen/QwQ-32B")
    events = await answer(stream, request=qwq)
    assert (text(events, REASONING), text(events)) == ("Let me see.", "Four.")
    assert text(await answer(stream)) == "Let me see.</think>Four."


async def test_choices_beyond_those_asked_for_are_dropped() -> None:
    chunks = [VLLM.content("a", 0), VLLM.content("b", 1), VLLM.content("c", 2), DONE]
    request = ModelRequest(route="chat", body={"n": 2})
    events = await answer(reply(*chunks), request=request)
    assert [text(events, Lane(choice, Channel.CONTENT)) for choice in range(3)] == ["a", "b", ""]


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
async def test_byte_by_byte_reads_the_same(framing: str) -> None:
    whole = VLLM.answer("naïve ", "日本語 ", "🙂", "\u2028\x85", thoughts=("čas",))
    told = await answer(reply(*whole))
    assert text(told) == "naïve 日本語 🙂\u2028\x85"
    assert await _joined(reply(*bytewise(b"".join(whole)), framing=framing)) == await _joined(reply(*whole))


async def test_characters_split_over_reads_stay_whole() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"' + "日🙂".encode() + b'"}}]}\n\n'
    middle = chunk.index("🙂".encode()) + 2
    pieces: list[Body] = [chunk[:middle], Pause(0.02), chunk[middle:], VLLM.finish(), DONE]
    assert text(await answer(reply(*pieces))) == "日🙂"


async def _joined(stream: Reply) -> list[object]:
    """The events, neighbouring texts of a lane as one."""
    out: list[object] = []
    for each in await answer(stream):
        if isinstance(each, TextReceived) and isinstance(out[-1], list) and out[-1][0] == each.lane:
            out[-1][1] += each.text
        else:
            out.append([each.lane, each.text] if isinstance(each, TextReceived) else each)
    return out


async def test_other_line_ends_comments_and_a_byte_order_mark_are_read() -> None:
    plain = b"".join(VLLM.answer("Hello"))
    crlf = b"\xef\xbb\xbf: ping\r\n\r\n" + plain.replace(b"\n", b"\r\n")
    assert text(await answer(reply(crlf))) == "Hello"


async def test_nothing_is_read_after_the_end_mark() -> None:
    stream = reply(*VLLM.answer("Hi"), VLLM.content("more"), Forever(VLLM.content("more")))
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend:
        events = await read(backend)
        assert text(events) == "Hi"
        assert events[-1] == UpstreamEnded()
        await upstream.gone()


async def test_bytes_after_the_end_mark_are_not_the_next_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    forged = head % len(DONE) + DONE
    first = b"".join(VLLM.answer("one"))
    second = b"".join(VLLM.answer("two"))
    replies = raw(head % len(first) + first + forged), raw(head % len(second) + second)
    async with FakeUpstream(*replies) as upstream, opened(upstream) as backend:
        assert text(await read(backend)) == "one"
        await asyncio.sleep(0.05)
        assert text(await read(backend)) == "two"


async def test_the_end_of_the_connection_is_told_but_is_no_finish() -> None:
    events = await answer(reply(VLLM.opening(), VLLM.content("Hi"), framing="close"))
    assert text(events) == "Hi"
    assert events[-1] == UpstreamEnded()
    assert not [event for event in events if isinstance(event, ChoiceFinished)]


async def test_an_event_that_is_not_complete_at_the_end_is_discarded() -> None:
    events = await answer(reply(VLLM.content("Hi"), VLLM.content("lost")[:-1], framing="close"))
    assert text(events) == "Hi"


async def test_an_empty_stream_has_an_end_and_nothing_else() -> None:
    assert await answer(reply()) == [UpstreamEnded()]


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"error":{"message":"CUDA out of memory at 0xdeadbeef","code":500}}\n\n',
        b'data: {"object":"error","message":"CUDA out of memory at 0xdeadbeef"}\n\n',
        b'error: {"code":500,"message":"CUDA out of memory at 0xdeadbeef"}\n\n',
        b'event: error\ndata: {"message":"CUDA out of memory at 0xdeadbeef"}\n\n',
        b'data: {"error":"CUDA out of memory at 0xdeadbeef"}\n\n',
    ],
)
async def test_an_error_in_the_stream_is_told_in_our_words(body: bytes) -> None:
    events = await answer(reply(VLLM.content("Hi"), body, DONE))
    failures = [event for event in events if isinstance(event, UpstreamFailed)]
    assert [failure.code for failure in failures] == ["server_error"]
    assert "CUDA" not in failures[0].message


async def test_a_whole_json_answer_is_read_as_one() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "Hm"}
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    for framing in ("length", "chunked", "close"):
        headers = {"content-type": "application/json; charset=utf-8"}
        events = await answer(reply(json.dumps(body), headers=headers, framing=framing))
        assert text(events) == "Hello"
        assert text(events, REASONING) == "Hm"
        assert ChoiceFinished(0, "stop") in events
        assert UsageReported(Usage(3, 2)) in events
        assert events[-1] == UpstreamEnded()


async def test_a_whole_json_answer_tells_how_reasoning_is_spelled_before_it_is_read() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning": "Hm"}
    stream = json_reply({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend, backend.stream(REQUEST) as model:
        async for _ in model.events:
            assert model.reasoning_field == "reasoning"
            break


async def test_a_json_answer_that_is_an_error_is_a_failure() -> None:
    events = await answer(json_reply({"error": {"message": "no", "code": "rate_limit_exceeded"}}))
    assert [event.code for event in events if isinstance(event, UpstreamFailed)] == ["rate_limit"]


# --- what is refused before anything is handed out


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with FakeUpstream(json_reply({"data": []})) as elsewhere:
        stream = reply(status=status, headers={"location": elsewhere.url + "/v1/chat/completions"})
        error = await refusal(stream, api_key="ours")
        assert elsewhere.received == []
    assert (error.code, error.status, error.retry) == ("upstream_redirect", 502, True)
    assert "final URL" in error.message
    assert elsewhere.url not in error.message


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "GZIP, identity"])
async def test_compressed_answers_are_refused(encoding: str) -> None:
    packed = gzip.compress(b"".join(VLLM.answer("Hi")))
    error = await refusal(reply(packed, headers={"content-encoding": encoding}))
    assert (error.code, error.status) == ("upstream_encoding", 502)
    assert "compressed" in error.message


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/octet-stream", ""])
async def test_an_answer_that_is_neither_a_stream_nor_json_is_refused(content_type: str) -> None:
    page = reply("<html>Welcome to nginx</html>", headers={"content-type": content_type})
    error = await refusal(page)
    assert error.status == 502
    assert error.retry
    assert "URL" in error.message
    assert "nginx" not in error.message


@pytest.mark.parametrize(
    ("status", "body", "client_status", "code", "words"),
    [
        (400, {"error": {"message": "temperature must be >= 0"}}, 400, "invalid_request", "temperature must be >= 0"),
        (400, {"object": "error", "message": "bad n"}, 400, "invalid_request", "bad n"),
        (400, {"error": {"message": "x", "type": "exceed_context_size_error"}}, 400, "context_length_exceeded", "x"),
        (404, {"error": {"message": "The model `x` does not exist."}}, 404, "model_not_found", "does not exist"),
        (413, {"detail": "too long"}, 413, "invalid_request", "too long"),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "too big"}]}, 422, "invalid_request", "body.n: too big"),
        (418, {"error": "I'm a teapot"}, 502, "server_error", "teapot"),
        (401, {"error": {"message": "Incorrect API key sk-ours"}}, 502, "authentication", "credentials"),
        (403, {"error": {"message": "key sk-ours may not"}}, 502, "authentication", "credentials"),
    ],
)
async def test_a_request_that_upstream_refuses_is_not_tried_elsewhere(
    status: int, body: dict[str, Any], client_status: int, code: str, words: str
) -> None:
    error = await refusal(json_reply(body, status=status), api_key="sk-ours")
    assert (error.status, error.code, error.retry) == (client_status, code, False)
    assert words in error.message
    assert "sk-ours" not in error.message


async def test_a_client_whose_own_credentials_are_refused_is_told() -> None:
    error = await refusal(json_reply({"error": {"message": "Incorrect API key"}}, status=401), auth="pass_through")
    assert (error.status, error.code, error.message) == (401, "authentication", "Incorrect API key")


@pytest.mark.parametrize(
    ("status", "client_status", "code", "kept"),
    [
        (429, 429, "rate_limit", "17"),
        (503, 503, "server_overloaded", "17"),
        (500, 502, "server_error", None),
        (502, 502, "server_error", None),
        (504, 502, "server_overloaded", None),
        (529, 502, "server_overloaded", None),
    ],
)
async def test_a_server_in_trouble_may_be_replaced(
    status: int, client_status: int, code: str, kept: str | None
) -> None:
    body = {"error": {"message": "no", "code": status}}
    error = await refusal(json_reply(body, status=status, headers={"retry-after": "17"}))
    assert (error.status, error.code, error.retry_after) == (client_status, code, kept)
    assert error.retry


async def test_a_compressed_error_is_still_the_error_it_is() -> None:
    headers = {"content-encoding": "gzip", "retry-after": "3"}
    error = await refusal(reply(gzip.compress(b"{}"), status=429, headers=headers))
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit", "3")


async def test_a_plain_text_error_is_not_quoted() -> None:
    page = reply("Traceback: secret/model.py", status=500, headers={"content-type": "text/plain"})
    error = await refusal(page)
    assert "500" in error.message
    assert "secret" not in error.message


async def test_an_endless_error_page_is_cut_short() -> None:
    page = reply(Forever(b"<p>sorry</p>" * 1000), status=500, headers={"content-type": "text/html"})
    async with FakeUpstream(page) as upstream, opened(upstream) as backend:
        with pytest.raises(UpstreamError, match="500"):
            await read(backend)
        await upstream.gone()


async def test_an_upstream_that_is_down_is_named_with_its_address() -> None:
    port = unused_port()
    backend = HttpBackend(url=f"http://127.0.0.1:{port}", name="gpu1")
    with pytest.raises(UpstreamError) as caught:
        await read(backend)
    await backend.aclose()
    error = caught.value
    assert (error.code, error.status, error.retry) == ("upstream_unreachable", 502, True)
    assert "gpu1" in error.message
    assert f"http://127.0.0.1:{port}/v1" in error.message


async def test_a_name_that_cannot_be_resolved_is_unreachable() -> None:
    backend = HttpBackend(url="http://no-such-host.invalid:8000")
    with pytest.raises(UpstreamError) as caught:
        await read(backend)
    await backend.aclose()
    assert (caught.value.code, caught.value.retry) == ("upstream_unreachable", True)


@pytest.mark.parametrize("end", [RESET, CLOSE])
async def test_hanging_up_before_the_head_may_be_tried_elsewhere(end: Any) -> None:
    error = await refusal(raw(end))
    assert (error.code, error.status, error.retry) == ("upstream_reset", 502, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
    ],
    ids=["ssh", "tls", "status", "header", "long-header", "both-lengths"],
)
async def test_an_upstream_that_speaks_no_http_is_an_upstream_error(data: bytes) -> None:
    error = await refusal(raw(data, CLOSE))
    assert error.status == 502
    assert error.retry


# --- what breaks on the way


@pytest.mark.parametrize("end", [RESET, CLOSE])
@pytest.mark.parametrize("partial", [b"", VLLM.content("lost")[:20]], ids=["between", "inside"])
async def test_a_connection_that_breaks_in_mid_stream_is_an_error_after_what_came(end: Any, partial: bytes) -> None:
    body = [VLLM.opening(), VLLM.content("Hi"), Pause(0.05), *([partial] if partial else []), Pause(0.05), end]
    got: list[Event] = []
    async with FakeUpstream(reply(*body)) as upstream, opened(upstream) as backend:
        with pytest.raises(UpstreamError) as caught:
            await read(backend, into=got)
    assert text(got) == "Hi"
    assert caught.value.code == "upstream_reset"
    assert "mid-answer" in caught.value.message


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nnot a size",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\ndata: ",
    ],
    ids=["chunk-size", "too-short"],
)
async def test_a_broken_framing_is_an_upstream_error(stream: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        await answer(raw(stream, Pause(0.05), CLOSE))
    assert caught.value.status == 502


@pytest.mark.parametrize("garbage", [b"data: not json\n\n", b"data: [1,2]\n\n", b'data: {"choices": 5}\n\n'])
@pytest.mark.parametrize("together", [True, False], ids=["one-read", "two-reads"])
async def test_an_event_that_cannot_be_read_is_an_upstream_error_after_what_came(
    garbage: bytes, together: bool
) -> None:
    body: list[Body] = [VLLM.content("Hi") + garbage] if together else [VLLM.content("Hi"), Pause(0.05), garbage]
    got: list[Event] = []
    async with FakeUpstream(reply(*body)) as upstream, opened(upstream) as backend:
        with pytest.raises(UpstreamError) as caught:
            await read(backend, into=got)
    assert text(got) == "Hi"
    assert caught.value.code == "upstream_protocol"


@pytest.mark.parametrize(
    ("caps", "endless"),
    [
        ({"max_line": 10_000}, b"a" * 1_000),
        ({"max_event": 10_000}, b"data: aaaaaaaa\n"),
        ({"max_total": 50_000}, VLLM.content("more")),
    ],
    ids=["line", "event", "stream"],
)
async def test_what_does_not_end_is_ended(caps: dict[str, int], endless: bytes) -> None:
    async with (
        FakeUpstream(reply(VLLM.content("Hi"), Forever(endless))) as upstream,
        opened(upstream, **caps) as backend,
    ):
        with pytest.raises(UpstreamError) as caught:
            await read(backend)
        await upstream.gone()
    assert caught.value.code == "upstream_protocol"
    assert "longer than" in caught.value.message


async def test_a_json_answer_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.backends.client.MAX_JSON_BODY", 100_000)
    endless = reply(Forever(b" " * 1_000), headers={"content-type": "application/json"})
    async with FakeUpstream(endless) as upstream, opened(upstream) as backend:
        with pytest.raises(UpstreamError) as caught:
            await read(backend)
        await upstream.gone()
    assert caught.value.code == "upstream_too_large"


# --- how it is let go


@pytest.mark.parametrize(
    "stream",
    [
        reply(HANG),
        reply(VLLM.opening(), HANG),
        reply(VLLM.content("Hi"), HANG),
        reply(VLLM.content("Hi")[:9], HANG),
        reply(VLLM.content("Hi"), VLLM.finish(), HANG),
        reply(Forever(VLLM.content("Hi"))),
        reply("{", HANG, headers={"content-type": "application/json"}),
    ],
    ids=["head", "role", "text", "inside", "finished", "talking", "json"],
)
async def test_leaving_the_block_closes_the_connection(stream: Reply) -> None:
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend:
        async with backend.stream(REQUEST):
            pass
        await upstream.gone()


async def test_leaving_while_reading_closes_the_connection() -> None:
    async with FakeUpstream(reply(VLLM.content("Hi"), HANG)) as upstream, opened(upstream) as backend:
        async with backend.stream(REQUEST) as model:
            async for _ in model.events:
                break
        await upstream.gone()


@pytest.mark.parametrize(
    "stream", [raw(HANG), reply(HANG), reply(VLLM.content("Hi"), HANG)], ids=["head", "body", "text"]
)
async def test_a_cancelled_reader_closes_the_connection(stream: Reply) -> None:
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend:
        reading = asyncio.create_task(read(backend))
        await upstream.arrived()
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await upstream.gone()


async def test_an_error_inside_the_block_closes_the_connection() -> None:
    async with FakeUpstream(reply(VLLM.content("Hi"), HANG)) as upstream, opened(upstream) as backend:
        with pytest.raises(ZeroDivisionError):
            async with backend.stream(REQUEST):
                raise ZeroDivisionError
        await upstream.gone()


async def test_closing_the_backend_ends_running_streams_with_an_error() -> None:
    async with FakeUpstream(reply(VLLM.content("Hi"), HANG)) as upstream, opened(upstream) as backend:
        begun = asyncio.Event()

        async def reading() -> None:
            async with asyncio.timeout(PATIENCE), backend.stream(REQUEST) as model:
                async for _ in model.events:
                    begun.set()

        task = asyncio.create_task(reading())
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await backend.aclose()
        with pytest.raises(UpstreamError):
            await task
        await upstream.gone()


async def test_a_closed_backend_takes_no_more_requests() -> None:
    backend = HttpBackend(url="http://127.0.0.1:1")
    await backend.aclose()
    with pytest.raises(UpstreamError, match="shut down"):
        await read(backend)
    with pytest.raises(UpstreamError, match="shut down"):
        await backend.models()


@pytest.mark.parametrize("count", [50, 150])
async def test_streams_run_side_by_side(count: int) -> None:
    """More than any pool's default size, and none waits for another: each goes on only when all have begun."""
    release = asyncio.Event()
    stream = reply(OLLAMA.content("Hi"), Until(release), OLLAMA.content(" there"), OLLAMA.finish(), DONE)
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend:
        tasks = [asyncio.create_task(read(backend)) for _ in range(count)]
        await upstream.arrived(count)
        release.set()
        assert [text(await task) for task in tasks] == ["Hi there"] * count


# --- the other calls


async def test_models_are_those_that_upstream_names() -> None:
    body = {"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b", "meta": {"n": 1}}]}
    async with FakeUpstream(json_reply(body)) as upstream:
        async with opened(upstream, api_key="ours") as backend:
            assert await backend.models() == ["a", "b"]
        assert (upstream.request.method, upstream.request.path) == ("GET", "/v1/models")
        assert upstream.request.header("authorization") == "Bearer ours"
        assert upstream.request.body == b""


@pytest.mark.parametrize(
    "stream",
    [
        json_reply({"data": [{"name": "no id"}]}),
        json_reply(["a"]),
        reply("<html>", headers={"content-type": "text/html"}),
        reply(b'{"data": "\xff"}', headers={"content-type": "application/json"}),
        json_reply({"error": "x"}, status=500),
        raw(CLOSE),
    ],
    ids=["no-id", "list", "html", "utf8", "500", "hung-up"],
)
@pytest.mark.parametrize("call", ["models", "embeddings"])
async def test_other_answers_that_cannot_be_read_are_upstream_errors(stream: Reply, call: str) -> None:
    async with FakeUpstream(stream) as upstream, opened(upstream) as backend:
        with pytest.raises(UpstreamError) as caught:
            await (backend.models() if call == "models" else backend.embeddings({}, None, ""))
        assert caught.value.status == 502


@pytest.mark.parametrize(
    "stream", [raw(HANG), reply(b"{", HANG, headers={"content-type": "application/json"})], ids=["head", "body"]
)
@pytest.mark.parametrize("call", ["models", "embeddings"])
async def test_other_calls_do_not_wait_for_ever(stream: Reply, call: str) -> None:
    async with FakeUpstream(stream) as upstream, opened(upstream, answer_timeout=0.2) as backend:
        with pytest.raises(UpstreamError) as caught:
            await (backend.models() if call == "models" else backend.embeddings({}, None, ""))
        assert (caught.value.code, caught.value.status) == ("upstream_timeout", 504)
        await upstream.gone()


async def test_embeddings_are_rebuilt_from_their_numbers() -> None:
    entry = {"object": "embedding", "index": 1, "embedding": [0.5, -1.0], "text": "the input again"}
    packed = {"object": "embedding", "index": 0, "embedding": "AAAAPw=="}
    body = {
        "object": "list",
        "model": "e",
        "data": [packed, entry],
        "usage": {"prompt_tokens": 4, "total_tokens": 4, "secret": "x"},
        "leak": "y",
    }
    async with FakeUpstream(json_reply(body)) as upstream, opened(upstream) as backend:
        got = msgspec.json.decode(await backend.embeddings({"input": "a", "model": "e"}, None, "id1"))
        assert upstream.request.path == "/v1/embeddings"
        assert upstream.request.json == {"input": "a", "model": "e"}
        assert upstream.request.header("x-request-id") == "id1"
    assert got == {
        "object": "list",
        "model": "e",
        "data": [packed, {"object": "embedding", "index": 1, "embedding": [0.5, -1.0]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def test_an_http_backend_repairs_nothing_and_embeds() -> None:
    backend = HttpBackend(url="http://127.0.0.1:1")
    assert backend.capabilities.embeddings
    assert backend.capabilities.repairs == frozenset()


# --- as each server writes it


@pytest.mark.parametrize("answer", [each for each in ANSWERS if each.stream], ids=lambda each: each.server)
async def test_every_servers_answer_comes_over_the_wire(answer: Answer) -> None:
    """Whole, and in pieces that cut lines, characters and tags."""
    pieces = [answer.stream[at : at + 37] for at in range(0, len(answer.stream), 37)]
    async with (
        FakeUpstream(reply(answer.stream), reply(*pieces)) as upstream,
        opened(upstream, start=lambda _model: answer.start) as backend,
    ):
        for _ in range(2):
            events: list[Event] = []
            async with asyncio.timeout(PATIENCE), backend.stream(REQUEST) as model:
                async for batch in model.events:
                    events += batch
            assert events == [*answer.events, UpstreamEnded()]
            assert set(model.dropped) == set(answer.dropped)
            assert model.reasoning_field == answer.reasoning_field


FAILURES: dict[str, tuple[bytes, str]] = {
    "vLLM": (
        b'data: {"error":{"message":"x","type":"InternalServerError","param":null,"code":500}}\n\n',
        "server_error",
    ),
    "SGLang": (b'data: {"error":{"object":"error","message":"x","type":"abort","code":503}}\n\n', "server_overloaded"),
    "llama.cpp": (b'data: {"error":{"code":400,"message":"x","type":"exceed_context_size_error"}}\n\n', CONTEXT),
    "older llama.cpp": (b'error: {"code":500,"message":"x","type":"server_error"}\n\n', "server_error"),
    "TGI": (b'data: {"error":{"message":"x","http_status_code":422}}\n\n', "invalid_request"),
    "TGI, raw": (b'data:{"error":"x","error_type":"overloaded"}\n\n', "server_overloaded"),
    "DashScope": (b'data: {"code":"DataInspectionFailed","message":"x","request_id":"1"}\n\n', "content_filter"),
    "OpenRouter": (
        b'data: {"error":{"code":429,"message":"x"},"choices":[{"delta":{},"finish_reason":"error"}]}\n\n',
        "rate_limit",
    ),
    "Ollama": (b'data: {"error":"x"}\n\n', "server_error"),
    "older vLLM": (b'data: {"object":"error","message":"x","code":500}\n\n', "server_error"),
    "FastAPI": (b'data: {"detail":"x"}\n\n', "server_error"),
    "an event of that name": (b"event: error\ndata: x\n\n", "server_error"),
    "an abort": (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n', "upstream_aborted"),
}


@pytest.mark.parametrize(("said", "code"), FAILURES.values(), ids=FAILURES)
async def test_every_servers_failure_in_mid_answer_has_a_code(said: bytes, code: str) -> None:
    events = await answer(reply(VLLM.content("Hi"), said, VLLM.content("more"), DONE))
    assert text(events) == "Hi"
    (failure,) = [event for event in events if isinstance(event, UpstreamFailed)]
    assert failure.code == code
    assert not [event for event in events if isinstance(event, ChoiceFinished)]


async def test_a_stream_that_just_ends_is_no_finish() -> None:
    events = await answer(reply(VLLM.content("Hi")))
    assert events == [ChoiceOpened(0), TextReceived(CONTENT, "Hi"), UpstreamEnded()]


async def test_the_stream_only_service_is_never_asked_for_anything_else() -> None:
    whole = ModelRequest(route="chat", body={"model": "qwq-plus", "messages": [], "stream": False}, model="qwq-plus")
    async with FakeUpstream(reply(*OPENAI.answer("Hi"))) as upstream, opened(upstream, dialect=DASHSCOPE) as backend:
        assert text(await read(backend, whole)) == "Hi"
        assert upstream.request.json["stream"] is True
