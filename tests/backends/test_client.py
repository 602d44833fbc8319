"""Requests to an upstream: where they go, what is an answer, and connections that the server had closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from guard.backends.client import MOST_TRIES, UpstreamClient
from guard.wire.errors import UpstreamError
from tests.support.upstream import CLOSE, HANG, PATIENCE, FakeUpstream, json_reply, raw, reply

pytestmark = pytest.mark.anyio

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient(url, "gpu1", **options)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("url", "base", "root"),
    [
        ("http://host:8000", "http://host:8000/v1", "http://host:8000"),
        ("http://host:8000/v1/", "http://host:8000/v1", "http://host:8000"),
        ("https://host/gpu1/v1", "https://host/gpu1/v1", "https://host/gpu1"),
        ("https://host/compatible-mode/v3", "https://host/compatible-mode/v3", "https://host/compatible-mode"),
    ],
)
async def test_a_servers_own_paths_begin_where_the_version_does(url: str, base: str, root: str) -> None:
    async with client_of(url) as client:
        assert (client.base, client.root) == (base, root)


async def test_a_small_answer_is_an_object_of_a_limited_size_and_time() -> None:
    async with (
        FakeUpstream(json_reply({"a": 1}), json_reply({"a": "x" * 99}), raw(HANG)) as upstream,
        client_of(upstream.url, api_key="ours") as client,
    ):
        assert await client.json("POST", f"{client.root}/props", {"b": 2}, seconds=PATIENCE) == {"a": 1}
        assert upstream.request.header("authorization") == "Bearer ours"
        with pytest.raises(UpstreamError, match="more than 50 bytes"):
            await client.json("GET", f"{client.root}/props", seconds=PATIENCE, limit=50)
        with pytest.raises(UpstreamError, match=r"did not answer /props in 0.05 seconds"):
            await client.json("GET", f"{client.root}/props", seconds=0.05)


async def test_a_connection_that_was_closed_without_a_word_is_no_failure() -> None:
    """As llama.cpp does after a stream: the request goes out on a connection that is being closed."""
    async with FakeUpstream(raw(WHOLE, CLOSE)) as upstream, client_of(upstream.url) as client:
        for _ in range(30):
            assert await client.json("POST", f"{client.base}/x", {}, seconds=PATIENCE) == {}


async def test_a_new_connection_that_is_closed_without_a_word_is_one() -> None:
    async with FakeUpstream(raw(CLOSE)) as upstream, client_of(upstream.url) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.json("POST", f"{client.base}/x", {}, seconds=PATIENCE)
        assert caught.value.code == "upstream_reset"
        assert len(upstream.received) == 1


async def test_a_server_that_takes_the_request_and_leaves_sees_it_a_few_times_at_most() -> None:
    async with FakeUpstream(raw(WHOLE), raw(CLOSE)) as upstream, client_of(upstream.url) as client:
        await client.json("POST", f"{client.base}/x", {}, seconds=PATIENCE)
        with pytest.raises(UpstreamError, match="hung up"):
            await client.json("POST", f"{client.base}/x", {}, seconds=PATIENCE)
        assert 2 <= len(upstream.received) <= 1 + MOST_TRIES


async def test_closing_ends_what_is_being_read_and_refuses_what_comes() -> None:
    async with FakeUpstream(reply(HANG)) as upstream:
        client = UpstreamClient(upstream.url, "gpu1")
        reading = asyncio.create_task(client.json("GET", f"{client.base}/x", seconds=PATIENCE))
        await upstream.arrived()
        await client.aclose()
        for call in (reading, client.json("GET", f"{client.base}/x", seconds=PATIENCE)):
            with pytest.raises(UpstreamError) as caught:
                await call
            assert caught.value.code == "shut_down"
