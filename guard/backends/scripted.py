"""Plays recordings: for tests, demonstrations and replay under another policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager

from guard.backends.base import Capabilities, ModelRequest, ModelStream, UpstreamError
from guard.events import Event, UpstreamResumed
from guard.wire.record import RecordedEvent

Script = Callable[[ModelRequest], Iterable[RecordedEvent]]


class ScriptedBackend:
    """A backend whose every answer is written down.

    `script` gives the events for a request; it may raise `UpstreamError` to refuse one. An event recorded with
    `after` is played that many seconds after the one before it. `streams` counts requests, `closed` those that ended
    for whatever reason, so that a test can see an upstream being let go.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        models: Sequence[str] = ("scripted",),
        capabilities: Capabilities | None = None,
    ) -> None:
        """`capabilities` says which repairs `script` has a continuation for; by default none."""
        self.name = name
        self.capabilities = capabilities or Capabilities()
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


def in_turn(*answers: Iterable[RecordedEvent] | UpstreamError) -> Script:
    """A script that begins with the first of `answers` and goes on, for each continued request of the same answer,
    with the next. An error refuses its request, as does the lack of an answer.

    One answer at a time: it is a request without a continuation that begins anew.
    """
    at = 0

    def script(request: ModelRequest) -> Iterable[RecordedEvent]:
        nonlocal at
        at = 0 if request.continuation is None else at + 1
        if at >= len(answers):
            raise UpstreamError("No continuation is recorded.", code="not_recorded", retry=False)
        answer = answers[at]
        if isinstance(answer, UpstreamError):
            raise answer
        return answer

    return script


def as_recorded(events: Iterable[RecordedEvent]) -> Script:
    """A script that plays one recording: what follows each `UpstreamResumed` answers a continued request."""
    answers: list[list[RecordedEvent]] = [[]]
    for recorded in events:
        if isinstance(recorded.event, UpstreamResumed):
            answers.append([])
        else:
            answers[-1].append(recorded)
    return in_turn(*answers)


def refuse(error: UpstreamError) -> Script:
    """A script that refuses every request with `error`."""

    def script(_request: ModelRequest) -> Iterable[RecordedEvent]:
        raise error

    return script
