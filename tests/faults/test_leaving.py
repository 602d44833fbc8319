"""A client that goes away: whatever is going on, upstream is let go and nothing stays open."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Final

import pytest

from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from guard.contract import Channel, Report
from guard.events import Cut
from tests.support.answers import refused, well_formed
from tests.support.dialects import DONE, VLLM
from tests.support.engine import Custom, plan_of
from tests.support.guarded import guarded, request
from tests.support.proxy import FixedPolicy, scripted
from tests.support.upstream import HANG, FakeUpstream, Forever, Pause, Reply, raw, reply

pytestmark = pytest.mark.anyio

PARAGRAPH: Final = VLLM.content("Hello there, this is a whole paragraph of text that may go at once. ")
PHASES: Final[Mapping[str, tuple[Reply, bytes]]] = {
    "before-head": (raw(HANG), b""),
    "before-event": (reply(HANG), b"HTTP/1.1 200"),
    "before-text": (reply(VLLM.opening(), HANG), b"assistant"),
    "streaming": (reply(VLLM.opening(), Forever(PARAGRAPH)), b"Hello there"),
    "between-events": (reply(VLLM.opening(), PARAGRAPH, HANG), b"Hello there"),
    "inside-event": (reply(VLLM.opening(), PARAGRAPH, PARAGRAPH[:50], HANG), b"Hello there"),
    "holding": (reply(VLLM.opening(), PARAGRAPH, VLLM.content("SECRE" * 4), HANG), b"Hello there"),
    "reasoning": (reply(VLLM.opening(), VLLM.thought("Let me think about this for a while, shall I? "), HANG), b"Let"),
    "finished": (reply(VLLM.opening(), PARAGRAPH, VLLM.finish(), HANG), b'"stop"'),
}
"""What upstream does, and what the client has seen when it goes."""


@pytest.mark.parametrize("abruptly", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("phase", PHASES)
async def test_upstream_is_let_go_when_the_client_of_a_stream_leaves(phase: str, abruptly: bool) -> None:
    stream, mark = PHASES[phase]
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy, proxy.begin(stream=True) as talk:
        await upstream.arrived()
        await talk.until(mark)
        talk.leave(abruptly=abruptly)
        await upstream.gone()
        await proxy.idle()
        assert proxy.outcomes() == {"client_left": 1.0}


@pytest.mark.parametrize("abruptly", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("phase", PHASES)
async def test_upstream_is_let_go_when_the_client_of_a_whole_answer_leaves(phase: str, abruptly: bool) -> None:
    stream, _ = PHASES[phase]
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy, proxy.begin(stream=False) as talk:
        await upstream.arrived()
        await asyncio.sleep(0.03)
        talk.leave(abruptly=abruptly)
        await upstream.gone()
        await proxy.idle()
        assert proxy.outcomes() == {"client_left": 1.0}


async def test_a_client_that_leaves_while_a_detector_works_lets_upstream_go() -> None:
    """The detector is in a thread and cannot be stopped; its stream is over all the same."""
    loop = asyncio.get_running_loop()
    working, release = asyncio.Event(), threading.Event()

    def think(text: str) -> Report:
        if not release.is_set():  # after that the loop may be gone
            loop.call_soon_threadsafe(working.set)
            release.wait(10.0)
        return Report(len(text))

    class Slow(Custom):
        slow = True

    policy = FixedPolicy(plan_of(Slow(feed=think), actions={"custom": Cut()}, channels=[Channel.CONTENT]))
    stream = reply(VLLM.opening(), PARAGRAPH, HANG)
    async with FakeUpstream(stream) as upstream, guarded(upstream, policy=policy) as proxy:
        async with proxy.begin(stream=True) as talk:
            await asyncio.wait_for(working.wait(), 10.0)
            talk.leave()
            await upstream.gone()
            await proxy.idle()
        release.set()
        assert proxy.outcomes() == {"client_left": 1.0}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_client_that_leaves_before_the_first_event_of_a_pair_lets_the_first_go(stream: bool) -> None:
    """And the second is not asked."""
    async with FakeUpstream(reply(VLLM.opening(), HANG)) as upstream:
        spare = scripted(name="spare")
        pair = FailoverBackend(HttpBackend(url=upstream.url), spare)
        async with guarded(upstream, backend=pair) as proxy, proxy.begin(stream=stream) as talk:
            await upstream.arrived()
            await asyncio.sleep(0.03)
            talk.leave()
            await upstream.gone()
            await proxy.idle()
        assert spare.requests == []


async def test_a_client_that_leaves_in_the_middle_of_its_request_opens_nothing() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "a" * 100_000}]}).encode()
    async with FakeUpstream(reply(HANG)) as upstream, guarded(upstream) as proxy:
        async with proxy.connect() as talk:
            talk.writer.write(request(body)[:50_000])
            await talk.writer.drain()
            await asyncio.sleep(0.03)
            talk.leave()
        await asyncio.sleep(0.03)
        assert upstream.received == []
        assert not proxy.gateway.live


async def test_one_client_that_leaves_is_no_matter_to_the_others() -> None:
    stream = reply(VLLM.opening(), PARAGRAPH, Pause(0.2), VLLM.finish(), DONE)
    async with FakeUpstream(stream) as upstream, guarded(upstream) as proxy:
        staying = [asyncio.create_task(proxy.ask(stream=True)) for _ in range(5)]
        for _ in range(5):
            async with proxy.begin(stream=True) as talk:
                await talk.until(b"Hello there")
                talk.leave(abruptly=True)
        for answer in await asyncio.gather(*staying):
            assert well_formed(answer).finishes == {0: "stop"}


async def test_a_place_is_free_again_after_its_client_has_left() -> None:
    replies = reply(HANG), reply(*VLLM.answer("Hi"))
    async with FakeUpstream(*replies) as upstream, guarded(upstream, limits={"max_streams": 1}) as proxy:
        async with proxy.begin(stream=True) as talk:
            await upstream.arrived()
            answer = await proxy.ask(stream=True)
            assert answer.status == 503
            assert answer.headers["retry-after"]
            assert refused(answer)["code"] == "overloaded"
            talk.leave()
        await proxy.idle()
        assert well_formed(await proxy.ask(stream=True)).content == "Hi"
