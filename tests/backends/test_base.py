"""What every backend promises, of those that need no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import FrozenInstanceError

import pytest

from guard.backends.base import Backend, Capabilities, ModelRequest, ModelStream
from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from guard.backends.scripted import ScriptedBackend
from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, UpstreamEnded
from guard.wire.record import RecordedEvent
from tests.support.dialects import VLLM
from tests.support.upstream import PATIENCE, FakeUpstream, json_reply, reply

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest(route="chat", body={"messages": [], "stream": False}, model="m")
CONTENT = Lane(0, Channel.CONTENT)
RECORDING = [
    RecordedEvent(event)
    for event in (ChoiceOpened(0), TextReceived(CONTENT, "Hello"), ChoiceFinished(0, "stop"), UpstreamEnded())
]


@asynccontextmanager
async def http() -> AsyncIterator[Backend]:
    async with FakeUpstream(reply(*VLLM.answer("Hel", "lo"))) as upstream:
        backend = HttpBackend(url=upstream.url, name="answering")
        yield backend
        await backend.aclose()


@asynccontextmanager
async def scripted() -> AsyncIterator[Backend]:
    yield ScriptedBackend(lambda _request: RECORDING, name="answering")


@asynccontextmanager
async def first() -> AsyncIterator[Backend]:
    async with http() as backend:
        yield FailoverBackend(backend, ScriptedBackend(lambda _request: [], name="spare"))


@asynccontextmanager
async def second() -> AsyncIterator[Backend]:
    async with FakeUpstream(json_reply({}, status=500)) as upstream, scripted() as spare:
        backend = FailoverBackend(HttpBackend(url=upstream.url, name="failing"), spare)
        yield backend
        await backend.aclose()


Opened = Callable[[], AbstractAsyncContextManager[Backend]]
BACKENDS: Mapping[str, Opened] = {"http": http, "scripted": scripted, "first": first, "second": second}


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def opened(request: pytest.FixtureRequest) -> Opened:
    made: Opened = request.param
    return made


async def read(backend: Backend) -> tuple[ModelStream, list[Event]]:
    async with asyncio.timeout(PATIENCE), backend.stream(REQUEST) as model:
        return model, [event async for batch in model.events for event in batch]


async def test_an_answer_begins_is_finished_and_ends(opened: Opened) -> None:
    async with opened() as backend:
        model, events = await read(backend)
    assert events[0] == ChoiceOpened(0)
    assert "".join(event.text for event in events if isinstance(event, TextReceived)) == "Hello"
    assert events.count(ChoiceFinished(0, "stop")) == 1
    assert events[-1] == UpstreamEnded()
    assert model.backend == "answering"
    assert not model.dropped


async def test_a_request_is_left_as_it_was(opened: Opened) -> None:
    async with opened() as backend:
        await read(backend)
    assert REQUEST.body == {"messages": [], "stream": False}


async def test_any_number_of_streams_at_a_time(opened: Opened) -> None:
    async with opened() as backend:
        answers = await asyncio.gather(*(read(backend) for _ in range(10)))
    assert [events[-1] for _, events in answers] == [UpstreamEnded()] * 10


async def test_closing_twice_does_no_harm(opened: Opened) -> None:
    async with opened() as backend:
        await backend.aclose()
        await backend.aclose()


def test_a_backend_repairs_and_embeds_only_what_it_says() -> None:
    assert Capabilities() == Capabilities(repairs=frozenset(), embeddings=False)


def test_a_request_does_not_change_on_its_way() -> None:
    with pytest.raises(FrozenInstanceError):
        REQUEST.model = "other"  # type: ignore[misc]


def test_streams_do_not_share_what_they_count() -> None:
    async def nothing() -> AsyncIterator[list[Event]]:
        return
        yield

    one, other = ModelStream("a", nothing()), ModelStream("a", nothing())
    one.dropped["audio"] += 1
    assert not other.dropped


# --- what only the chat API understands


@pytest.mark.parametrize(
    ("body", "chat_only"),
    [
        ({"messages": [{"role": "user", "content": "Hi"}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, False),
        ({"messages": [], "tools": [], "functions": [], "response_format": {"type": "text"}}, False),
        ({"messages": [], "tools": [{"type": "function"}]}, True),
        ({"messages": [], "functions": [{"name": "f"}]}, True),
        ({"messages": [], "response_format": {"type": "json_object"}}, True),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, True),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]}, True),
    ],
)
def test_requests_that_no_rendered_prompt_can_carry(body: Mapping[str, object], chat_only: bool) -> None:
    assert ModelRequest("chat", body).chat_only is chat_only
    assert not ModelRequest("completions", {"prompt": "Hi", "response_format": {"type": "json_object"}}).chat_only
