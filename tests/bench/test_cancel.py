"""The figures are of what they say."""

from __future__ import annotations

import asyncio

import pytest

from bench.cancel import LEAD, POLICY, WORD, Upstream, ask, chunk, percentile
from guard.contract import Channel, Lane
from guard.policy import compile_policy, parse_policy
from guard.testing import scan


def test_the_policy_cuts_the_word() -> None:
    compiled = compile_policy(parse_policy(POLICY, "bench"))
    assert compiled.rule_ids == ("stop",)
    (detector,) = compiled.detectors
    assert scan(detector, f"a {WORD}. b", lane=Lane(0, Channel.CONTENT))
    assert not scan(detector, "quiet " * 40, lane=Lane(0, Channel.CONTENT))


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.99, 4.0), (0.0, 1.0), (1.0, 4.0)])
def test_percentiles_are_values_that_were_measured(share: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == value


@pytest.mark.anyio
async def test_a_wait_is_counted_from_its_cause() -> None:
    """The client stands in for the guard: it leaves, or closes its connection once the word has come."""
    for cause in ("leave", "cut"):
        upstream = Upstream(cause, 0.001)
        async with asyncio.timeout(20), await asyncio.start_server(upstream.converse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            if cause == "leave":
                await ask(port, upstream, 1, leaves=True)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b'POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n{"seed":1}')
                await reader.readuntil(WORD.encode())
                writer.close()
            while not upstream.waited:  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0.001)
        assert 0 < upstream.waited[0] < 20


def test_a_token_is_a_whole_chunk() -> None:
    data = chunk(" quiet")
    size, _, rest = data.partition(b"\r\n")
    assert len(rest) == int(size, 16) + 2
    assert LEAD > 0
