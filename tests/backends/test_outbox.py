from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from guard.backends.outbox import Outbox
from guard.contract import Channel, Lane
from guard.events import ChoiceOpened, Event, Logprob, TextReceived
from guard.wire.errors import UpstreamError

CONTENT, REASONING = Lane(0, Channel.CONTENT), Lane(0, Channel.REASONING)

pytestmark = pytest.mark.anyio


async def drain(outbox: Outbox) -> list[list[Event]]:
    return [list(batch) async for batch in outbox.batches()]


async def test_what_came_meanwhile_is_one_batch_with_neighbouring_texts_joined() -> None:
    outbox = Outbox()
    outbox.put(ChoiceOpened(0), TextReceived(REASONING, "a"))
    outbox.put(TextReceived(REASONING, "b"), TextReceived(CONTENT, "c"))
    outbox.put(TextReceived(CONTENT, "d"))
    outbox.close()
    assert await drain(outbox) == [[ChoiceOpened(0), TextReceived(REASONING, "ab"), TextReceived(CONTENT, "cd")]]


async def test_texts_with_logprobs_are_not_joined() -> None:
    outbox = Outbox()
    event = TextReceived(CONTENT, "a", (Logprob("a", -0.1),))
    outbox.put(event, event)
    outbox.close()
    assert await drain(outbox) == [[event, event]]


async def test_everything_a_thread_puts_arrives_in_order() -> None:
    outbox = Outbox()
    with ThreadPoolExecutor(1) as thread:
        for number in range(500):
            thread.submit(outbox.put, TextReceived(CONTENT, f"{number} "))
        thread.submit(outbox.close)
        async with asyncio.timeout(30):
            batches = await drain(outbox)
    text = "".join(event.text for batch in batches for event in batch if isinstance(event, TextReceived))
    assert text == "".join(f"{number} " for number in range(500))


async def test_the_first_close_counts_and_nothing_comes_after_it() -> None:
    outbox = Outbox()
    outbox.put(ChoiceOpened(0))
    outbox.close(UpstreamError("gone"))
    outbox.close()
    outbox.put(ChoiceOpened(1))
    batches = outbox.batches()
    assert await anext(batches) == [ChoiceOpened(0)]
    with pytest.raises(UpstreamError, match="gone"):
        await anext(batches)


def test_a_loop_that_is_gone_is_no_error_in_the_thread() -> None:
    async def make() -> Outbox:
        return Outbox()

    outbox = asyncio.run(make())
    outbox.put(ChoiceOpened(0))
    outbox.put(ChoiceOpened(1))
    outbox.close()
