"""What nobody sends by accident: floods, giant bodies, endless answers, and text that must not get through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final

import pytest

from tests.support.answers import finished, refused, well_formed
from tests.support.dialects import DONE, VLLM, event
from tests.support.guarded import guarded, request
from tests.support.upstream import FakeUpstream, Forever, Pause, Until, reply

pytestmark = pytest.mark.anyio

MEBIBYTE: Final = 1 << 20
WHOLE: Final = (VLLM.opening(), VLLM.content("Hello world"), VLLM.finish())
SMALL: Final = {"sse_line_bytes": "64KiB", "sse_event_bytes": "64KiB", "sse_total_bytes": "512KiB"}


# --- upstreams


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("mark", [(), (DONE,)], ids=["after-finish", "after-mark"])
@pytest.mark.parametrize(
    "more",
    [
        VLLM.content("unreviewed "),
        VLLM.finish(),
        VLLM.content("unreviewed ", 1),
        VLLM.usage(),
        b": ping\n\n",
        b"x" * 99,
    ],
    ids=["text", "finish", "choice", "usage", "comments", "junk"],
)
async def test_an_upstream_that_goes_on_after_its_end_is_cut_off(
    more: bytes, mark: Sequence[bytes], stream: bool
) -> None:
    async with (
        FakeUpstream(reply(*WHOLE, *mark, Forever(more * 20))) as upstream,
        guarded(upstream, limits=SMALL) as proxy,
    ):
        answer = await proxy.ask(stream=stream)
        assert b"unreviewed" not in answer.body
        if stream:
            outcome = well_formed(answer)
            assert (outcome.content, outcome.finishes, outcome.error) == ("Hello world", {0: "stop"}, None)
        else:
            (choice,) = finished(answer)
            assert choice["message"]["content"] == "Hello world"
        await upstream.gone()


async def test_an_endless_answer_is_ended_at_the_size_of_a_stream() -> None:
    endless = reply(Forever(VLLM.content("and so on, ")))
    async with FakeUpstream(endless) as upstream, guarded(upstream, limits={"sse_total_bytes": "64KiB"}) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert outcome.content.startswith("and so on, and so on")
        assert outcome.error is not None
        assert outcome.error["code"] == "upstream_protocol"
        assert refused(await proxy.ask(stream=False))["code"] == "upstream_protocol"
        await upstream.gone()


async def test_a_cut_lets_upstream_go_at_once() -> None:
    stream = reply(VLLM.content("Hello. STOP! "), Forever(VLLM.content("and more ")))
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy:
        answer = await proxy.ask(stream=True)
        assert b"STOP" not in answer.body
        outcome = well_formed(answer)
        assert outcome.finishes == {0: "content_filter"}
        assert "Stopped here." in outcome.content
        (choice,) = finished(await proxy.ask(stream=False))
        assert choice["finish_reason"] == "content_filter"
        await upstream.gone()


async def test_upstream_is_gone_before_a_cut_is_told() -> None:
    """A client that has read the end knows that nobody computes for it any more."""
    stream = reply(VLLM.content("Hello. STOP! and more of it"), Forever(VLLM.content("and more ")))
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy, proxy.begin(stream=True) as talk:
        await talk.until(b"[DONE]")
        await upstream.gone()


async def test_one_of_two_choices_that_is_cut_leaves_upstream_to_the_other() -> None:
    goes_on = asyncio.Event()
    stream = reply(
        VLLM.content("Hello. STOP! no more of this", 0),
        Until(goes_on),
        VLLM.content("never seen", 0),
        VLLM.content("The other one.", 1),
        VLLM.finish("stop", 1),
        DONE,
    )
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy:
        async with proxy.begin(stream=True, n=2) as talk:
            await talk.until(b"content_filter")
            goes_on.set()
            answer = await talk.answer()
        assert b"never seen" not in answer.body
        assert well_formed(answer).finishes == {0: "content_filter", 1: "stop"}


async def test_unknown_fields_of_an_answer_reach_nobody() -> None:
    secret = "unreviewed"
    delta = {
        "content": "Hello world",
        "audio": {"transcript": secret},
        "reasoning_details": [{"text": secret}],
        secret: secret,
    }
    choice = {"index": 0, "delta": delta, "message": {"content": secret}, "text": secret, "finish_reason": None}
    chunk = event({"id": secret, "choices": [choice], "system_fingerprint": secret, "citations": [secret]})
    last = event({"choices": [{"index": 0, "delta": {}, "finish_reason": secret, "stop_reason": secret}]})
    async with FakeUpstream(reply(chunk, last, DONE)) as upstream, guarded(upstream) as proxy:
        for stream in (True, False):
            answer = await proxy.ask(stream=stream)
            assert secret.encode() not in answer.body
            assert b"Hello world" in answer.body
            assert secret not in str(answer.headers)


async def test_an_answer_in_single_bytes_says_the_same() -> None:
    whole = b"".join(VLLM.answer("Hello SECRET world, ", "naïve 日本語 🙂 STOP! or not"))
    said = []
    for pieces in ([whole], [whole[index : index + 1] for index in range(len(whole))]):
        async with FakeUpstream(reply(*pieces)) as upstream, guarded(upstream) as proxy:
            outcome = well_formed(await proxy.ask(stream=True))
            said.append((outcome.content, outcome.finishes))
    assert said[0] == said[1]
    assert "<hidden>" in said[0][0]
    assert "SECRET" not in said[0][0]


# --- clients


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_giant_request_is_refused_before_it_is_read(chunked: bool) -> None:
    """50 MiB are announced, or sent without end; upstream hears of none of it."""
    async with FakeUpstream(reply(*WHOLE, DONE)) as upstream, guarded(upstream) as proxy, proxy.connect() as talk:
        size = 50 * MEBIBYTE
        if chunked:
            talk.writer.write(request(b"", headers={"transfer-encoding": "chunked"}))
        else:
            talk.writer.write(request(b"", headers={"content-length": str(size)}))
        sending = asyncio.create_task(_send(talk.writer, size, chunked=chunked))
        seen = await talk.until(b'"body_too_large"')
        assert seen.startswith(b"HTTP/1.1 413 ")
        assert str(16 * MEBIBYTE).encode() in seen
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert upstream.received == []
        assert not proxy.gateway.live


async def _send(writer: asyncio.StreamWriter, size: int, *, chunked: bool) -> None:
    piece = b'"' + b"a" * (MEBIBYTE - 1)
    for _ in range(size // len(piece)):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()


async def test_a_giant_request_that_is_sent_whole_gets_its_answer() -> None:
    """A client that does not look before it has sent everything still finds out why."""
    async with FakeUpstream(reply(*WHOLE, DONE)) as upstream, guarded(upstream) as proxy, proxy.connect() as talk:
        size = 50 * MEBIBYTE
        talk.writer.write(request(b"", headers={"content-length": str(size), "connection": "keep-alive"}))
        await _send(talk.writer, size, chunked=False)
        assert (await talk.until(b'"body_too_large"')).startswith(b"HTTP/1.1 413 ")
        assert upstream.received == []


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"[]", 400, None),
        (b"null", 400, None),
        (b'{"messages": "Hi"}', 400, "messages"),
        (b'{"messages": []}', 400, "messages"),
        (b'{"messages": [{"role": "user", "content": 5}]}', 400, "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "n": 1000000000}', 400, "n"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "n": "2"}', 400, "n"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": -1}', 400, "max_tokens"),
        (b'{"messages": [{"role": "user", "content": "Hi"}], "base_url": "http://evil.invalid"}', 400, "base_url"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', 400, None),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, 400, None),
    ],
    ids=[
        *("empty", "half", "list", "null", "text", "no-messages", "number", "n", "n-text", "max-tokens", "base-url"),
        *("utf8", "deep"),
    ],
)
async def test_a_request_that_makes_no_sense_is_explained(body: bytes, status: int, param: str | None) -> None:
    async with FakeUpstream(reply(*WHOLE, DONE)) as upstream, guarded(upstream) as proxy:
        async with proxy.connect() as talk:
            talk.writer.write(request(body))
            answer = await talk.answer()
        assert answer.status == status
        assert refused(answer)["param"] == param
        assert upstream.received == []
        assert well_formed(await proxy.ask(stream=True)).content == "Hello world"


async def test_what_a_client_may_not_ask_of_upstream_does_not_arrive() -> None:
    async with FakeUpstream(reply(*WHOLE, DONE)) as upstream, guarded(upstream) as proxy:
        await proxy.ask(stream=False, top_k=40, store=True, chat_template="evil", n=1, user="someone")
        sent = upstream.request.json
        assert sent["top_k"] == 40
        assert sent["stream"] is True
        assert not {"store", "chat_template"} & sent.keys()


async def test_a_clients_headers_stay_with_the_guard() -> None:
    headers = {
        "authorization": "Bearer client",
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "accept-encoding": "gzip",
    }
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()
    for api_key, sent in (("sk-ours", "Bearer sk-ours"), (None, "Bearer client")):
        async with FakeUpstream(reply(*WHOLE, DONE)) as upstream, guarded(upstream, api_key=api_key) as proxy:
            async with proxy.connect() as talk:
                talk.writer.write(request(body, headers=headers))
                finished(await talk.answer())
            received = upstream.request
            assert received.header("authorization") == sent
            assert received.header("accept-encoding") == "identity"
            assert not {"cookie", "x-forwarded-for"} & {name for name, _ in received.headers}


async def test_upstreams_headers_stay_with_the_guard() -> None:
    headers = {"set-cookie": "session=1", "x-should-retry": "true", "server": "upstream", "x-request-id": "theirs"}
    async with FakeUpstream(reply(*WHOLE, DONE, headers=headers)) as upstream, guarded(upstream) as proxy:
        for stream in (True, False):
            answer = await proxy.ask(stream=stream)
            assert not {"set-cookie", "x-should-retry"} & answer.headers.keys()
            assert answer.headers["x-request-id"] == answer.headers["x-guard-request-id"] != "theirs"
            assert answer.headers.get("server") != "upstream"


async def test_many_streams_at_a_time_do_not_mix() -> None:
    stream = reply(VLLM.opening(), VLLM.content("Hello "), Pause(0.05), VLLM.content("world"), VLLM.finish(), DONE)
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy:
        answers = await asyncio.gather(*(proxy.ask(stream=number % 2 == 0) for number in range(50)))
        assert len(upstream.received) == 50
        assert len({answer.headers["x-request-id"] for answer in answers}) == 50
        for number, answer in enumerate(answers):
            said = well_formed(answer).content if number % 2 == 0 else finished(answer)[0]["message"]["content"]
            assert said == "Hello world"
