"""A backend whose calls for one stream are spans of its trace. Only made where tracing is on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from guard.backends.base import Backend, ModelRequest, ModelStream
from guard.events import Event
from guard.observe.traces import Call, StreamTrace
from guard.wire.errors import UpstreamError


class TracedBackend:
    """`backend`, as one stream calls it."""

    def __init__(self, backend: Backend, trace: StreamTrace) -> None:
        self.name = backend.name
        self.capabilities = backend.capabilities
        self._backend = backend
        self._trace = trace

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        with self._trace.calling() as call:
            try:
                async with self._backend.stream(replace(request, trace_context=call.headers)) as model:
                    call.answered(model.backend)
                    model.events = _watched(model.events, call)
                    yield model
            except UpstreamError as error:
                call.failed(error.code)
                raise

    async def models(self) -> Sequence[str]:
        return await self._backend.models()

    async def aclose(self) -> None:
        await self._backend.aclose()


async def _watched(events: AsyncIterator[Sequence[Event]], call: Call) -> AsyncIterator[Sequence[Event]]:
    try:
        async for each in events:
            yield each
    except UpstreamError as error:
        call.failed(error.code)
        raise
