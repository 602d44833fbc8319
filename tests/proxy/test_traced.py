"""A traced backend is the backend, with a span around each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from guard.backends.base import ModelRequest, ModelStream
from guard.backends.scripted import ScriptedBackend, refuse
from guard.events import ChoiceOpened, Event
from guard.observe.traces import StreamTrace, Tracing
from guard.proxy.traced import TracedBackend
from guard.wire.errors import UpstreamError
from tests.support.proxy import answer_of, content, scripted

pytestmark = pytest.mark.anyio
ASKED = ModelRequest("chat", {"messages": []}, "m")


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.errors: list[object] = []
        self.names: list[str] = []

    def export(self, spans: Sequence[object]) -> SpanExportResult:
        for span in spans:
            self.names.append(span.name)  # type: ignore[attr-defined]
            self.errors.append(span.attributes.get("error.type"))  # type: ignore[attr-defined]
        return SpanExportResult.SUCCESS


def trace_of(tracing: Tracing) -> StreamTrace:
    return tracing.stream("chat", "m", {}, {}, {})


async def test_a_call_is_the_same_with_a_context_of_its_own() -> None:
    kept = Kept()
    tracing = Tracing(kept)
    backend = scripted(*answer_of(content("Hello.")))
    traced = TracedBackend(backend, trace_of(tracing))
    assert (traced.name, traced.capabilities) == (backend.name, backend.capabilities)
    assert await traced.models() == await backend.models()
    for _ in range(2):
        async with traced.stream(ASKED) as model:
            events = [event for batch in [each async for each in model.events] for event in batch]
        assert events[0] == ChoiceOpened(0)
        assert len(events) == 4
    contexts = {request.trace_context["traceparent"] for request in backend.requests}
    assert len(contexts) == 2
    await traced.aclose()
    await tracing.aclose()
    assert (kept.names, kept.errors) == (["chat m"] * 2, [None, None])


async def test_a_refusal_and_a_break_are_its_errors() -> None:
    class Breaks(ScriptedBackend):
        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
            async def events() -> AsyncIterator[Sequence[Event]]:
                yield [ChoiceOpened(0)]
                raise UpstreamError("broke", code="upstream_reset")

            yield ModelStream(self.name, events())

    kept = Kept()
    tracing = Tracing(kept)
    trace = trace_of(tracing)
    with pytest.raises(UpstreamError, match="no"):
        async with TracedBackend(ScriptedBackend(refuse(UpstreamError("no", code="queue_full"))), trace).stream(ASKED):
            pass
    async with TracedBackend(Breaks(lambda _request: []), trace).stream(ASKED) as model:
        with pytest.raises(UpstreamError, match="broke"):
            [each async for each in model.events]
    await tracing.aclose()
    assert kept.errors == ["queue_full", "upstream_reset"]
