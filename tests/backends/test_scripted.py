"""The backend that plays recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from guard.backends.base import Capabilities, Continuation, ModelRequest
from guard.backends.scripted import ScriptedBackend, as_recorded, in_turn, refuse
from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, UpstreamEnded, UpstreamResumed
from guard.wire.errors import UpstreamError
from guard.wire.record import RecordedEvent

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest(route="chat", body={"n": 1})
HELLO = TextReceived(Lane(0, Channel.CONTENT), "Hello")
ANSWER: tuple[Event, ...] = (ChoiceOpened(0), HELLO, ChoiceFinished(0, "stop"), UpstreamEnded())


def hello(_request: ModelRequest) -> Iterable[RecordedEvent]:
    return map(RecordedEvent, ANSWER)


async def play(
    backend: ScriptedBackend, request: ModelRequest = REQUEST, *, into: list[Event] | None = None
) -> list[Event]:
    """Every event of one answer. `into` keeps what came before an error."""
    events: list[Event] = [] if into is None else into
    async with backend.stream(request) as model:
        async for batch in model.events:
            events += batch
    return events


async def test_it_plays_what_is_written_down_one_event_at_a_time() -> None:
    backend = ScriptedBackend(hello, name="tape", models=("a", "b"))
    async with backend.stream(REQUEST) as model:
        assert model.backend == "tape"
        assert [list(batch) async for batch in model.events] == [[event] for event in ANSWER]
    assert await backend.models() == ("a", "b")


async def test_the_script_is_chosen_by_the_request() -> None:
    def script(request: ModelRequest) -> Iterable[RecordedEvent]:
        yield RecordedEvent(TextReceived(HELLO.lane, request.model))

    backend = ScriptedBackend(script)
    for model in ("a", "b"):
        assert await play(backend, ModelRequest("chat", {}, model)) == [TextReceived(HELLO.lane, model)]
    assert [request.model for request in backend.requests] == ["a", "b"]


async def test_a_refused_request_is_kept_and_no_stream() -> None:
    backend = ScriptedBackend(refuse(UpstreamError("No.", status=429)))
    with pytest.raises(UpstreamError, match=r"No\.") as caught:
        await play(backend)
    assert caught.value.status == 429
    assert backend.requests == [REQUEST]
    assert (backend.streams, backend.closed) == (0, 0)


async def test_a_script_may_break_off() -> None:
    def script(_request: ModelRequest) -> Iterator[RecordedEvent]:
        yield RecordedEvent(HELLO)
        raise UpstreamError("Gone.")

    backend = ScriptedBackend(script)
    got: list[Event] = []
    with pytest.raises(UpstreamError, match=r"Gone\."):
        await play(backend, into=got)
    assert got == [HELLO]
    assert backend.closed == 1


async def test_pauses_are_played() -> None:
    """Whatever has no pause before it comes at once; the rest only after it."""
    backend = ScriptedBackend(lambda _request: [RecordedEvent(HELLO), RecordedEvent(HELLO, after=60.0)])
    got: list[Event] = []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(play(backend, into=got), 0.05)
    assert got == [HELLO]


async def test_a_stream_is_counted_and_its_end_is_seen_however_it_ends() -> None:
    backend = ScriptedBackend(hello)
    await play(backend)
    assert (backend.streams, backend.closed) == (1, 1)
    async with backend.stream(REQUEST):
        assert (backend.streams, backend.closed) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        async with backend.stream(REQUEST):
            raise ZeroDivisionError
    assert (backend.streams, backend.closed) == (3, 3)


async def test_leaving_the_block_ends_the_play() -> None:
    """Nothing of a script runs once its stream has been let go."""
    backend = ScriptedBackend(hello)
    async with backend.stream(REQUEST) as model:
        events = model.events
        assert await anext(events) == (ChoiceOpened(0),)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_streams_play_side_by_side() -> None:
    backend = ScriptedBackend(hello)
    assert await asyncio.gather(*(play(backend) for _ in range(20))) == [list(ANSWER)] * 20
    await backend.aclose()


# --- continuations

CONTINUED = replace(REQUEST, continuation=Continuation("resample", Channel.CONTENT, content="Hel"))


def says(text: str) -> list[RecordedEvent]:
    return [RecordedEvent(TextReceived(HELLO.lane, text))]


async def test_continued_requests_are_answered_in_turn_until_there_is_nothing_left() -> None:
    able = Capabilities(frozenset({"resample"}))
    backend = ScriptedBackend(in_turn(says("a"), UpstreamError("No.", code="no"), says("c")), capabilities=able)
    assert backend.capabilities is able
    for _ in range(2):
        assert await play(backend) == [TextReceived(HELLO.lane, "a")]
        with pytest.raises(UpstreamError, match=r"No\."):
            await play(backend, CONTINUED)
        assert await play(backend, CONTINUED) == [TextReceived(HELLO.lane, "c")]
        with pytest.raises(UpstreamError, match="No continuation is recorded"):
            await play(backend, CONTINUED)


async def test_a_recording_is_split_where_it_was_resumed() -> None:
    recording = [*says("a"), RecordedEvent(UpstreamResumed(0)), *says("b"), *says("c")]
    backend = ScriptedBackend(as_recorded(recording))
    assert await play(backend) == [TextReceived(HELLO.lane, "a")]
    assert await play(backend, CONTINUED) == [TextReceived(HELLO.lane, "b"), TextReceived(HELLO.lane, "c")]
    with pytest.raises(UpstreamError):
        await play(backend, CONTINUED)
    assert ScriptedBackend(as_recorded([])).capabilities == Capabilities()
