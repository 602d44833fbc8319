"""A model server for tests that says exactly the bytes it is told to, and sees what its client does.

    async with FakeUpstream(reply(VLLM.opening(), VLLM.content("Hi"), HANG)) as upstream:
        ...                                      # upstream.url, upstream.received
        await upstream.gone()                    # until every client has closed its connection

    connection --request--> Received --steps of the reply--> bytes, pauses, RESET, CLOSE, HANG
         '---- always read, so that a client's leaving is seen in whatever state the reply is

Replies are taken in turn, the last one again and again. The words in which a reply is written and the server that plays
it are one language, so they stay in one file, long as it is.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Any, Final, Self

PATIENCE: Final = 10.0
"""Seconds after which a test that waits for something has failed."""


class Action(Enum):
    """What a reply can do besides sending bytes."""

    HANG = auto()
    """Say nothing until the client leaves."""
    RESET = auto()
    """Break the connection off (RST)."""
    CLOSE = auto()
    """End the connection (FIN)."""


HANG, RESET, CLOSE = Action.HANG, Action.RESET, Action.CLOSE


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    """Wait for an event that the test sets."""

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class Forever:
    """Send the same bytes until the client leaves."""

    data: bytes


Step = bytes | Action | Pause | Until | Forever
Body = bytes | str | Action | Pause | Until | Forever


@dataclass(frozen=True, slots=True)
class Reply:
    """What happens on the wire after a request."""

    steps: Sequence[Step]


@dataclass(slots=True)
class Received:
    """A request as it came. Header names are lower-cased; `headers` keeps every one of them."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """The client has closed the connection that carried this request."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Every step of the reply has been taken."""

    def header(self, name: str) -> str | None:
        """The header's only value. Fails if it was sent twice."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def reply(*body: Body, status: int = 200, headers: Mapping[str, str] | None = None, framing: str = "chunked") -> Reply:
    """An HTTP response. `framing` is `chunked`, `length` or `close` (the body lasts as long as the connection).

    Each text or bytes is a chunk and a write of its own. A body that ends in an `Action` has no proper end.
    """
    fields = {"content-type": "text/event-stream", **(headers or {})}
    pieces = [item.encode() if isinstance(item, str) else item for item in body]
    if framing == "chunked":
        fields["transfer-encoding"] = "chunked"
    elif framing == "length":
        fields["content-length"] = str(sum(len(piece) for piece in pieces if isinstance(piece, bytes)))
    else:
        fields["connection"] = "close"
    head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    steps: list[Step] = [head.encode("latin-1") + b"\r\n"]
    frame: Callable[[bytes], bytes] = _chunk if framing == "chunked" else bytes
    for piece in pieces:
        if isinstance(piece, bytes):
            steps.append(frame(piece))
        else:
            steps.append(Forever(frame(piece.data)) if isinstance(piece, Forever) else piece)
    if not (pieces and isinstance(pieces[-1], Action)):
        steps.append(b"0\r\n\r\n" if framing == "chunked" else CLOSE if framing == "close" else b"")
    return Reply(steps)


def raw(*steps: Step) -> Reply:
    """Bytes that need not be HTTP."""
    return Reply(steps)


def json_reply(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON body."""
    fields = {"content-type": "application/json", **(headers or {})}
    return reply(json.dumps(body), status=status, headers=fields, framing="length")


def bytewise(data: bytes) -> list[bytes]:
    """`data` in pieces of one byte."""
    return [data[index : index + 1] for index in range(len(data))]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


# --- the server


class FakeUpstream:
    """Serves on a free port of the loopback while the block lasts."""

    def __init__(self, *replies: Reply, gets: Reply | None = None) -> None:
        """`gets` answers every GET, which then takes no turn: a guard asks what the upstream is and which models it
        has, as often as it likes."""
        assert replies, "say at least one reply"
        self._replies = replies
        self._gets = gets
        self._turns = 0
        self.received: list[Received] = []
        self.connections = 0
        self.port = 0
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def request(self) -> Received:
        """The only request that came."""
        assert len(self.received) == 1, f"{len(self.received)} requests came"
        return self.received[0]

    async def arrived(self, count: int = 1) -> Received:
        """Wait for the `count`th request; returns it."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return self.received[count - 1]

    async def gone(self) -> None:
        """Wait until the client has closed the connection of every request."""
        async with asyncio.timeout(PATIENCE):
            for received in self.received:
                await received.closed.wait()

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)  # so that a client that does not read is felt
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=sock)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        try:
            await self._serve(connection)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            await connection.end()

    async def _serve(self, connection: _Connection) -> None:
        while (received := await connection.read_request()) is not None:
            answer = self._answer(received)
            async with self._news:
                self.received.append(received)
                self._news.notify_all()
            for step in answer.steps:
                await connection.take(step)
            received.answered.set()

    def _answer(self, received: Received) -> Reply:
        if self._gets is not None and received.method == "GET":
            return self._gets
        self._turns += 1
        return self._replies[min(self._turns, len(self._replies)) - 1]


class _Connection:
    """One connection, read from beginning to end beside whatever is written to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self.closed = asyncio.Event()
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(1 << 16):
                self._buffer += data
                self._more.set()
        except ConnectionError:
            pass
        self.closed.set()
        self._more.set()

    async def read_request(self) -> Received | None:
        """The next request, None if there is none."""
        head = await self._take_until(lambda: self._buffer.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self._buffer else 0)
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:-2])]
        length = int(dict(headers).get("content-length", "0"))
        body = b"" if length == 0 else await self._take_until(lambda: length if len(self._buffer) >= length else 0)
        return None if body is None else Received(method, path, headers, body, self.closed)

    async def _take_until(self, size: Callable[[], int]) -> bytes | None:
        while not (wanted := size()):
            if self.closed.is_set():
                return None
            self._more.clear()
            await self._more.wait()
        data = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        return data

    async def take(self, step: Step) -> None:
        if isinstance(step, bytes):
            await self._write(step)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Until):
            await step.event.wait()
        elif isinstance(step, Forever):
            while not self.closed.is_set():
                await self._write(step.data)
                await asyncio.sleep(0)
        elif step is HANG:
            await self.closed.wait()
        else:
            if step is RESET:
                handle = self._writer.get_extra_info("socket")
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.close()
            raise ConnectionAbortedError

    async def _write(self, data: bytes) -> None:
        if self.closed.is_set():
            raise ConnectionAbortedError
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        if not self._writer.is_closing():
            self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self.closed.set()


def unused_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
