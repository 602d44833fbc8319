"""How long anything of a stream may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from guard.engine.stream import DEADLINE_MESSAGES
from guard.events import Deadline, FailStream
from guard.proxy.errors import failure


@dataclass(frozen=True, slots=True)
class Clocks:
    """Limits of a stream, in seconds."""

    first_byte: float = 120.0
    between_events: float = 60.0
    after_answer: float = 5.0
    """From the last choice's end to upstream's: what is still to come is usage, which can be estimated."""
    total: float = 1800.0
    keep_alive: float = 10.0
    """A client that has received nothing for this long is sent a comment."""
    write: float = 60.0
    """A client that takes nothing for this long is given up."""
    detector: float = 30.0
    """A slow detector that has not come back after this long is abandoned."""


@asynccontextmanager
async def in_time(first_byte: float) -> AsyncIterator[None]:
    """Raise `UpstreamError` for a backend that does not answer within the seconds it has for a first byte."""
    try:
        async with asyncio.timeout(first_byte):
            yield
    except TimeoutError as error:
        late = FailStream(f"deadline_{Deadline.FIRST_BYTE}", DEADLINE_MESSAGES[Deadline.FIRST_BYTE])
        raise failure(late) from error
