"""Plays recordings: for tests, demonstrations and replay under another policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

from guard.backends.base import Capabilities, ModelRequest, ModelStream, UpstreamError
from guard.events import Event
from guard.wire.record import RecordedEvent

Script = Callable[[ModelRequest], Iterable[RecordedEvent]]


class ScriptedBackend:
    """A backend whose every answer is written down.

    `script` gives the events for a request; it may raise `UpstreamError` to refuse one. An event recorded with
    `after` is played that many seconds after the one before it. `streams` counts requests, `closed` those that ended
    for whatever reason, so that a test can see an upstream being let go.
    """

    def __init__(self, script: Script, *, name: str = "scripted", models: Sequence[str] = ("scripted",)) -> None:
        self.name = name
        self.capabilities = Capabilities()
        self.streams = 0
        self.closed = 0
        self.requests: list[ModelRequest] = []
        self._script = script
        self._models = models

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        self.requests.append(request)
        script = self._script(request)
        self.streams += 1
        try:
            async with aclosing(self._play(script)) as events:
                yield ModelStream(self.name, events)
        finally:
            self.closed += 1

    async def models(self) -> Sequence[str]:
        return self._models

    async def aclose(self) -> None:
        return None

    async def _play(self, script: Iterable[RecordedEvent]) -> AsyncGenerator[Sequence[Event]]:
        for event, after in script:
            if after:
                await asyncio.sleep(after)
            yield (event,)


def refuse(error: UpstreamError) -> Script:
    """A script that refuses every request with `error`."""

    def script(_request: ModelRequest) -> Iterable[RecordedEvent]:
        raise error

    return script
