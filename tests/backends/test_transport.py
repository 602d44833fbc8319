"""The client of an upstream: what it keeps to itself, and how its errors read."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import pytest
from aiohttp.http_exceptions import BadStatusLine

from guard.backends.transport import BROKEN, IDLE_SECONDS, attempt, broken_off, not_answered, open_client
from tests.support.upstream import FakeUpstream, json_reply, unused_port

pytestmark = pytest.mark.anyio


async def failure(url: str) -> Exception:
    """What the client raises for a request to `url`."""
    async with open_client(5.0) as client:
        with pytest.raises(BROKEN) as caught:
            await client.get(url)
    return caught.value


async def test_a_refused_connection_reads_as_a_server_that_may_not_run() -> None:
    error = not_answered(await failure(f"http://127.0.0.1:{unused_port()}"), "gpu1", "http://gpu1:8000/v1")
    assert (error.code, error.status) == ("upstream_unreachable", 502)
    assert error.message == "`gpu1` cannot be reached at http://gpu1:8000/v1. Is it running?"


async def test_a_server_without_tls_reads_as_a_tls_problem() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = not_answered(await failure(f"https://127.0.0.1:{port}"), "gpu1", "https://gpu1/v1")
    assert error.code == "upstream_unreachable"
    assert "TLS" in error.message


@pytest.mark.parametrize(
    ("cause", "code", "status"),
    [
        (httpx.ConnectError("no"), "upstream_unreachable", 502),
        (aiohttp.ServerDisconnectedError(), "upstream_reset", 502),
        (aiohttp.ClientOSError(104, "reset"), "upstream_reset", 502),
        (aiohttp.ConnectionTimeoutError(), "upstream_timeout", 504),
        (httpx.ReadError("no"), "upstream_reset", 502),
        (BadStatusLine("220 smtp"), "upstream_protocol", 502),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_cause_has_a_code_and_lets_another_backend_try(cause: Exception, code: str, status: int) -> None:
    for raised in (cause, _wrapped(cause)):
        error = not_answered(raised, "gpu1", "http://gpu1:8000/v1")
        assert (error.code, error.status, error.retry) == (code, status, True)
        assert error.message.endswith((".", "?"))


def _wrapped(cause: Exception) -> Exception:
    """As the transport raises it, which calls many things a timeout."""
    error = httpx.ConnectTimeout("")
    error.__cause__ = cause
    return error


def test_a_connection_that_broke_off_is_named() -> None:
    error = broken_off("gpu1")
    assert (error.code, error.status) == ("upstream_reset", 502)
    assert "gpu1" in error.message


async def test_cookies_are_forgotten() -> None:
    async with FakeUpstream(json_reply({}, headers={"set-cookie": "session=1; Path=/"})) as upstream:
        async with open_client(5.0) as client:
            for _ in range(2):
                await client.get(f"http://localhost:{upstream.port}/")
            assert not list(client.cookies.jar)
        assert [received.header("cookie") for received in upstream.received] == [None, None]


def test_idle_connections_are_let_go_before_common_servers_close_them() -> None:
    assert IDLE_SECONDS < 5.0


async def test_an_attempt_knows_whether_its_connection_was_new() -> None:
    lost = aiohttp.ServerDisconnectedError()
    async with FakeUpstream(json_reply({})) as upstream, open_client(5.0) as client:
        for reused in (False, True):
            with attempt() as tried:
                await client.get(upstream.url)
            assert tried.reused is reused
            assert tried.went_stale(lost) is reused
            assert tried.went_stale(_wrapped(lost)) is reused
            assert not tried.went_stale(httpx.ConnectError("no"))
    with attempt() as tried:
        pass
    assert not tried.reused
