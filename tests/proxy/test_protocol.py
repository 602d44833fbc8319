from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from guard.proxy import protocol
from tests.support.answers import Answer, finished, refused
from tests.support.dialects import DONE, VLLM
from tests.support.guarded import Guarded, guarded
from tests.support.proxy import CHAT
from tests.support.upstream import FakeUpstream, reply

pytestmark = pytest.mark.anyio

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
LENGTH = f"content-length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
ENCODING = "transfer-encoding: "
HOST = "host: guard"


@pytest.fixture(name="proxy")
async def a_proxy() -> AsyncIterator[Guarded]:
    answer = reply(VLLM.opening(), VLLM.content("Hello"), VLLM.finish(), DONE)
    async with FakeUpstream(answer) as upstream, guarded(upstream) as proxy:
        yield proxy


async def say(proxy: Guarded, data: bytes) -> Answer:
    async with proxy.connect() as talk:
        talk.writer.write(data)
        return await talk.answer()


def post(*fields: str, body: bytes = BODY, version: str = "1.1", target: str = CHAT) -> bytes:
    return "\r\n".join([f"POST {target} HTTP/{version}", *fields, "connection: close", "", ""]).encode() + body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(HOST, LENGTH, ENCODING + "chunked", body=CHUNKED), 400),
        (post(HOST, LENGTH, LENGTH), 400),
        (post(HOST, LENGTH, "content-length: 5"), 400),
        (post(HOST, f"content-length: +{len(BODY)}"), 400),
        (post(HOST, "content-length: -1"), 400),
        (post(HOST, f"content-length : {len(BODY)}"), 400),
        (post(HOST, ENCODING + "gzip, chunked", body=CHUNKED), 501),
        (post(HOST, ENCODING + "xchunked", body=CHUNKED), 501),
        (post(HOST, ENCODING + "chunked", ENCODING + "chunked", body=CHUNKED), 400),
        (post(LENGTH), 400),
        (post(HOST, HOST, LENGTH), 400),
        (post("host: a", "host: b", LENGTH), 400),
        (post("host: a/x?y", LENGTH), 400),
        (post("host: a@b", LENGTH), 400),
        (post("host: a b", LENGTH), 400),
        (post(HOST, "x: a", " b", LENGTH), 400),
        (post(HOST, "x: a\0b", LENGTH), 400),
        (post(HOST, LENGTH).replace(b"\r\n", b"\n"), 400),
        (post(HOST, LENGTH, *(f"x{index}: y" for index in range(200))), 431),
        (post(HOST, LENGTH, "x: " + "y" * 40_000), 431),
        (post(HOST, LENGTH, "connection: upgrade, http2-settings", "upgrade: h2c"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"FOO / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ],
)
async def test_what_two_might_read_in_two_ways_is_refused(proxy: Guarded, data: bytes, status: int) -> None:
    answer = await say(proxy, data)
    assert answer.status == status
    assert refused(answer)["code"] == "invalid_http"
    assert answer.headers["connection"] == "close"
    assert not proxy.outcomes()


@pytest.mark.parametrize(
    "data",
    [
        post(HOST, LENGTH),
        post("host: 127.0.0.1:8080", LENGTH),
        post("host: [::1]:8080", LENGTH),
        post("host:", LENGTH),
        post(LENGTH, version="1.0"),
        post(HOST, ENCODING + "Chunked", body=CHUNKED),
        post(HOST, LENGTH, *(f"x{index}: y" for index in range(90))),
        post(HOST, LENGTH, "x: " + "y" * 30_000),
    ],
)
async def test_what_clients_send_is_taken(proxy: Guarded, data: bytes) -> None:
    async with proxy.connect() as talk:
        talk.writer.write(data)
        seen = await talk.until(b"Hello")
    assert seen.startswith(b"HTTP/1.1 200 OK")


async def test_a_connection_stays_open_for_the_next_request(proxy: Guarded) -> None:
    async with proxy.connect() as talk:
        for _ in range(2):
            talk.seen.clear()
            talk.writer.write(post(HOST, LENGTH).replace(b"connection: close\r\n", b""))
            await talk.until(b"Hello")


async def test_a_head_without_end_is_not_read_to_its_end(proxy: Guarded) -> None:
    async with proxy.connect() as talk:
        talk.writer.write(b"POST / HTTP/1.1\r\nx: ")
        for _ in range(5):
            talk.writer.write(b"y" * 8_192)
            await asyncio.sleep(0.01)
        answer = await talk.answer()
    assert answer.status == 431


@pytest.mark.parametrize("sent", [b"POST / HT", b"POST / HTTP/1.1\r\nhost: a\r\nx: y"])
async def test_a_head_that_is_never_finished_is_given_up(
    proxy: Guarded, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    answer = await say(proxy, sent)
    assert answer.status == 408
    assert "0.05 seconds" in refused(answer)["message"]


async def test_a_connection_that_says_nothing_is_closed(proxy: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with proxy.connect() as talk:
        assert await asyncio.wait_for(talk.reader.read(), 10) == b""


async def test_an_answer_may_take_longer_than_a_head(proxy: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the head's, and stops with it."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with proxy.connect() as talk:
        head, body = post(HOST, LENGTH)[: -len(BODY)], BODY
        talk.writer.write(head)
        await asyncio.sleep(0.2)
        talk.writer.write(body)
        assert finished(await talk.answer())[0]["message"]["content"] == "Hello"
