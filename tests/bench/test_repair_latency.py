"""The figures are of what they say."""

from __future__ import annotations

import asyncio
import json

import pytest

from bench.cancel import WORD
from bench.repair_latency import CASES, MARK, TRIGGER, Upstream, policy, written
from guard.contract import Channel, Lane
from guard.events import Repair
from guard.policy import compile_policy, parse_policy
from guard.testing import scan


@pytest.mark.parametrize("how", ["conclude", "resample"])
def test_the_policy_repairs_the_word_and_nothing_else(how: str) -> None:
    plan = compile_policy(parse_policy(policy(how), "bench")).plan("m")
    channel = Channel.REASONING if how == "conclude" else Channel.CONTENT
    lane = Lane(0, channel)
    prose = written(max(kept for _, kept in CASES), 1)
    found = [finding for each in plan.watch[channel] for _, finding in scan(each, prose + TRIGGER, lane=lane)]
    actions = [plan.decide(lane, finding).action for finding in found]
    assert [action.how for action in actions if isinstance(action, Repair)] == [how]
    assert WORD not in prose


@pytest.mark.anyio
async def test_what_goes_on_is_timed_from_its_cause() -> None:
    """The test stands in for the guard: it lets go once the word has come, and asks again."""
    upstream = Upstream("conclude", 1_000, 0.0)
    async with asyncio.timeout(20), await asyncio.start_server(upstream.converse, "127.0.0.1", 0) as server:
        for more, mark in (({}, WORD), ({"continue_final_message": True}, MARK)):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            body = json.dumps({"seed": 3, **more}).encode()
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await reader.readuntil(mark.encode())
            writer.close()
    assert upstream.wrote[3] < upstream.asked[3] <= upstream.answered[3]
