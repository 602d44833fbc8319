"""The whole proxy in front of a fake upstream, in the test's own event loop, and a client that sees every byte.

async with FakeUpstream(...) as upstream, guarded(upstream) as proxy:
    answer = await proxy.ask(stream=True)             # the answer as it came, in whole
    async with proxy.begin(stream=True) as talk:      # or piece by piece
        await talk.until(b"Hello")
        talk.leave()
    await proxy.idle()                                # no stream is open any more
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from guard.backends.base import Backend
from guard.policy import CompiledPolicy
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from guard.proxy.protocol import HttpProtocol
from guard.settings import Settings
from tests.support.answers import Answer
from tests.support.proxy import CHAT, MESSAGES, words_policy
from tests.support.upstream import PATIENCE, FakeUpstream

SHORT: Final = 0.3
"""Seconds of a deadline that is meant to pass."""


class Talk:
    """One request over a connection of its own, read as slowly as the test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen = bytearray()

    async def until(self, mark: bytes) -> bytes:
        """Read until `mark` has come; returns everything so far, framing included."""
        async with asyncio.timeout(PATIENCE):
            while mark not in self.seen:
                data = await self.reader.read(4096)
                assert data, f"the answer ended without {mark!r}: {self.seen!r}"
                self.seen += data
        return bytes(self.seen)

    async def answer(self) -> Answer:
        """Read to the end."""
        async with asyncio.timeout(PATIENCE):
            while data := await self.reader.read(65_536):
                self.seen += data
        head, _, rest = bytes(self.seen).partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in fields)]
        headers = dict(pairs)
        assert len(headers) == len(pairs), f"a header came twice: {pairs}"
        if headers.get("transfer-encoding") == "chunked":
            rest, complete = _unchunked(rest)
        else:
            complete = len(rest) == int(headers["content-length"])
        return Answer(int(status.split()[1]), headers, rest, complete)

    def leave(self, *, abruptly: bool = False) -> None:
        """Close the connection, with a FIN or a RST."""
        if abruptly:
            handle = self.writer.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running proxy."""

    port: int
    gateway: Gateway

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Talk]:
        """A connection without a request."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 14)
        try:
            yield Talk(reader, writer)
        finally:
            writer.close()

    @asynccontextmanager
    async def begin(self, *, path: str = CHAT, **fields: Any) -> AsyncIterator[Talk]:
        """Send a request; `fields` are those of its body."""
        asked: dict[str, Any] = {"model": "m", "messages": MESSAGES} if path == CHAT else {"model": "m", "prompt": "Hi"}
        async with self.connect() as talk:
            talk.writer.write(request(json.dumps({**asked, **fields}).encode(), path))
            yield talk

    async def ask(self, *, path: str = CHAT, **fields: Any) -> Answer:
        """The whole answer to a request."""
        async with self.begin(path=path, **fields) as talk:
            return await talk.answer()

    async def idle(self) -> None:
        """Wait until no stream is open."""
        async with asyncio.timeout(PATIENCE):
            while self.gateway.live:  # noqa: ASYNC110 - nothing in the product tells of it
                await asyncio.sleep(0.005)

    def outcomes(self) -> Mapping[str, float]:
        """How many requests ended in which way, by outcome."""
        found: dict[str, float] = {}
        for metric in self.gateway.metrics.registry.collect():
            for sample in metric.samples:
                if sample.name == "guard_requests_total" and sample.value:
                    outcome = sample.labels["outcome"]
                    found[outcome] = found.get(outcome, 0.0) + sample.value
        return found


def request(body: bytes, path: str = CHAT, *, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a POST."""
    fields = {"host": "guard", "content-type": "application/json", "connection": "close", **(headers or {})}
    if "transfer-encoding" not in fields:
        fields.setdefault("content-length", str(len(body)))
    return f"POST {path} HTTP/1.1\r\n".encode() + _lines(fields) + b"\r\n" + body


def _lines(fields: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1")


@asynccontextmanager
async def guarded(
    upstream: FakeUpstream | str,
    *,
    policy: CompiledPolicy | None = None,
    backend: Backend | None = None,
    timeouts: Mapping[str, float] | None = None,
    api_key: str | None = None,
    clocks: Mapping[str, float] | None = None,
    **settings: Any,
) -> AsyncIterator[Guarded]:
    """A proxy before `upstream`. `timeouts` are settings of the upstream, `clocks` those that no setting reaches."""
    url = upstream if isinstance(upstream, str) else upstream.url
    told = {
        "upstream": {
            "url": url,
            "name": "upstream",
            "timeouts": dict(timeouts or {}),
            "api_key": api_key,
            "dialect": "openai",  # so that nothing but the requests under test reaches the upstream
        },
        "fallback": {"enabled": False},
        **settings,
    }
    app = create_app(Settings.load(env={}, overrides=told), policy=policy or words_policy(), backend=backend)
    gateway: Gateway = app.state.gateway
    if clocks:
        gateway.clocks = replace(gateway.clocks, **clocks)
    config = uvicorn.Config(app, http=HttpProtocol, ws="none", lifespan="on", log_config=None, access_log=False)
    async with _serving(config) as port:
        yield Guarded(port, gateway)
        await Guarded(port, gateway).idle()


@asynccontextmanager
async def _serving(config: uvicorn.Config) -> AsyncIterator[int]:
    """uvicorn's protocol on a free port, without its main loop, which sleeps before it starts and before it ends."""
    config.load()
    lifespan = config.lifespan_class(config)
    await lifespan.startup()
    assert not lifespan.should_exit, "the app did not start"
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=state, app_state=lifespan.state
        )
        return made

    server = await asyncio.get_running_loop().create_server(protocol, sock=_listening())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.shutdown()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await lifespan.shutdown()


def _listening() -> socket.socket:
    """A socket whose connections buffer little, so that a client that does not read is noticed early."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    sock.bind(("127.0.0.1", 0))
    return sock


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    """The chunks' contents, and whether the last one came."""
    out = bytearray()
    at = 0
    while at < len(data):
        end = data.index(b"\r\n", at)
        length = int(data[at:end], 16)
        at = end + 2
        if length == 0:
            assert data[at:] == b"\r\n", f"bytes after the last chunk: {data[at:]!r}"
            return bytes(out), True
        out += data[at : at + length]
        at += length + 2
    return bytes(out), False
