from __future__ import annotations

import asyncio
import dataclasses

import pytest

from guard.proxy.clocks import Clocks, in_time
from guard.settings import Timeouts
from guard.wire.errors import UpstreamError


def test_the_defaults_are_those_of_the_settings() -> None:
    clocks, settings = Clocks(), Timeouts()
    for name in ("first_byte", "between_events", "total"):
        assert getattr(clocks, name) == getattr(settings, name)


def test_a_waiting_client_hears_something_before_any_deadline() -> None:
    clocks = Clocks()
    assert clocks.keep_alive < min(clocks.first_byte, clocks.between_events, clocks.write, clocks.total)
    assert clocks.after_answer < clocks.between_events


def test_they_do_not_change_while_a_stream_runs() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Clocks().total = 1.0  # type: ignore[misc]


@pytest.mark.anyio
async def test_a_backend_that_does_not_answer_in_time_is_an_upstream_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        async with in_time(0.01):
            await asyncio.Event().wait()
    assert (caught.value.status, caught.value.code) == (504, "deadline_first_byte")
    async with in_time(20):
        pass
