"""A backend on a scripted server, and what comes of its continuations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from guard.backends.base import Continuation, ModelRequest
from guard.backends.dialects import Dialect
from guard.backends.http import HttpBackend
from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, Event, TextReceived, UsageReported
from tests.support.rule_server import MODEL
from tests.support.upstream import PATIENCE, FakeUpstream

MESSAGES: Final[list[dict[str, Any]]] = [
    {"role": "system", "content": "You know birds."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHello."},
    {"role": "user", "content": "Can canaries sing?"},
]
TOOLS: Final = [{"type": "function", "function": {"name": "listen", "parameters": {"type": "object"}}}]


@asynccontextmanager
async def backend_on(upstream: FakeUpstream, dialect: Dialect, **options: Any) -> AsyncIterator[HttpBackend]:
    backend = HttpBackend(url=upstream.url, dialect=dialect, **options)
    try:
        yield backend
    finally:
        await backend.aclose()


def asking(continuation: Continuation | None = None, **fields: Any) -> ModelRequest:
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100, **fields}
    return ModelRequest("chat", body, model=MODEL, continuation=continuation)


async def read(backend: HttpBackend, request: ModelRequest) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE), backend.stream(request) as model:
        async for batch in model.events:
            events += batch
    return events


def said(events: Iterable[Event]) -> tuple[str, str]:
    """The texts of reasoning and content."""
    texts = dict.fromkeys(Channel, "")
    for event in events:
        if isinstance(event, TextReceived):
            assert event.lane in (Lane(0, Channel.REASONING), Lane(0, Channel.CONTENT))
            texts[event.lane.channel] += event.text
    return texts[Channel.REASONING], texts[Channel.CONTENT]


def finish(events: Iterable[Event]) -> ChoiceFinished | None:
    found = [event for event in events if isinstance(event, ChoiceFinished)]
    assert len(found) < 2
    return found[0] if found else None


def usage(events: Iterable[Event]) -> int:
    """Tokens of the completion, as upstream counts them; 0 if it did not say."""
    return max((event.usage.completion_tokens for event in events if isinstance(event, UsageReported)), default=0)
