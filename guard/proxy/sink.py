"""Where a response goes: an event stream as it is released, or one JSON body at the end.

pump --begin--> head is sent --carry_out*--> text leaves --> finished
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from starlette.types import Send

from guard.events import Command
from guard.proxy.errors import failure
from guard.wire.chat_encode import ChatEncoder
from guard.wire.completions import CompletionsEncoder
from guard.wire.fold import Fold
from guard.wire.sse import KEEP_ALIVE

Headers = Mapping[str, str]
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Sink(Protocol):
    """A client's end of a response. `begun` is true once its status has been sent and errors must go in-band."""

    begun: bool

    async def begin(self, backend: str, allowed: Mapping[str, Any] = NOTHING) -> None:
        """Upstream has accepted: `backend` answers. `allowed` are the fields an operator lets through; it may grow."""
        ...

    async def carry_out(self, commands: Sequence[Command], reasoning_field: str) -> None:
        """Send what the commands say. `reasoning_field` is how upstream spells reasoning, "" if it has not yet."""
        ...

    async def keep_alive(self) -> bool:
        """Tell a waiting client that the connection lives; False if this kind of response cannot."""
        ...


class EventStream:
    """Server-sent events, each batch of commands in one write."""

    def __init__(
        self,
        send: Send,
        encoder: ChatEncoder | CompletionsEncoder,
        headers: Headers,
        told: dict[str, str],
        reasoning_field: str = "",
    ) -> None:
        """`told` is the part of the `guard` object that is the same for every choice; the backend is added to it.
        `reasoning_field` overrides upstream's spelling."""
        self.begun = False
        self.finished = False
        self._send = send
        self._encoder = encoder
        self._headers = headers
        self._told = told
        self._reasoning_field = reasoning_field

    async def begin(self, backend: str, allowed: Mapping[str, Any] = NOTHING) -> None:
        self._encoder.extra = allowed
        headers = dict(self._headers)
        if backend:
            self._told["backend"] = backend
            headers["x-guard-backend"] = backend
        if self.begun:
            return
        self.begun = True
        raw = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
            *((name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    async def carry_out(self, commands: Sequence[Command], reasoning_field: str) -> None:
        self._encoder.reasoning_field = self._reasoning_field or reasoning_field or "reasoning_content"
        data = self._encoder.encode(commands)
        if data:
            await self._write(data)

    async def keep_alive(self) -> bool:
        await self.begin("")
        await self._write(KEEP_ALIVE)
        return True

    async def finish(self) -> None:
        """End the body. Nothing can be sent after it."""
        if not self.finished:
            self.finished = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        if not self.finished:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})


class Folded:
    """One JSON body, known when the stream has ended."""

    def __init__(self, fold: Fold, told: dict[str, str], reasoning_field: str = "") -> None:
        self.begun = False
        self.backend = ""
        self._fold = fold
        self._told = told
        self._reasoning_field = reasoning_field

    async def begin(self, backend: str, allowed: Mapping[str, Any] = NOTHING) -> None:
        self._fold.extra = allowed
        self.backend = backend
        if backend:
            self._told["backend"] = backend

    async def carry_out(self, commands: Sequence[Command], reasoning_field: str) -> None:
        self._fold.reasoning_field = self._reasoning_field or reasoning_field or "reasoning_content"
        self._fold.take(commands)

    async def keep_alive(self) -> bool:
        return False

    def body(self) -> bytes:
        """The response. Raises `UpstreamError` or `RequestError` if the stream failed."""
        if self._fold.failure is not None:
            raise failure(self._fold.failure)
        return self._fold.body()
