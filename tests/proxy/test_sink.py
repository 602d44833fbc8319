from __future__ import annotations

import json
from typing import Any

import pytest

from guard.contract import Channel, Lane
from guard.events import Command, EndStream, FailStream, FinishChoice, OpenChoice, SendText
from guard.proxy.sink import EventStream, Folded
from guard.wire.chat_encode import ChatEncoder
from guard.wire.errors import RequestError, UpstreamError
from guard.wire.fold import Fold
from guard.wire.sse import KEEP_ALIVE

pytestmark = pytest.mark.anyio

THOUGHT = SendText(Lane(0, Channel.REASONING), "Hm.")


class Wire:
    """The ASGI messages of one answer; fails on an order that no server accepts."""

    def __init__(self) -> None:
        self.head: dict[str, Any] | None = None
        self.body: list[bytes] = []
        self.over = False

    async def send(self, message: Any) -> None:
        assert not self.over, "a message after the last"
        if message["type"] == "http.response.start":
            assert self.head is None
            self.head = dict(message)
        else:
            assert self.head is not None
            self.body.append(message["body"])
            self.over = not message["more_body"]

    @property
    def headers(self) -> dict[bytes, bytes]:
        assert self.head is not None
        return dict(self.head["headers"])


def stream_of(wire: Wire, reasoning_field: str = "", **headers: str) -> tuple[EventStream, dict[str, str]]:
    told = {"policy": "house"}
    return EventStream(wire.send, ChatEncoder("id", "m", 1, guard=told), headers, told, reasoning_field), told


async def test_the_head_is_sent_once_and_says_who_answers() -> None:
    wire = Wire()
    sink, told = stream_of(wire, **{"x-guard-policy": "h\u00e4user@1"})
    before = sink.begun
    await sink.begin("upstream")
    await sink.begin("upstream")
    assert (before, sink.begun) == (False, True)
    assert wire.headers == {
        b"content-type": b"text/event-stream; charset=utf-8",
        b"cache-control": b"no-cache, no-transform",
        b"x-accel-buffering": b"no",
        b"x-guard-policy": b"h\xe4user@1",
        b"x-guard-backend": b"upstream",
    }
    assert told == {"policy": "house", "backend": "upstream"}


async def test_who_answers_is_told_in_the_guard_object_if_the_head_has_gone() -> None:
    wire = Wire()
    sink, told = stream_of(wire)
    assert await sink.keep_alive()
    await sink.begin("upstream")
    assert b"x-guard-backend" not in wire.headers
    assert told["backend"] == "upstream"
    assert wire.body == [KEEP_ALIVE]


async def test_a_batch_of_commands_is_one_write() -> None:
    wire = Wire()
    sink, _ = stream_of(wire)
    await sink.begin("")
    await sink.carry_out([OpenChoice(0), THOUGHT, FinishChoice(0, "stop"), EndStream()], "")
    await sink.carry_out([THOUGHT], "")
    assert len(wire.body) == 1
    assert wire.body[0].count(b"\n\n") == 4
    await sink.finish()
    await sink.finish()
    assert await sink.keep_alive()
    assert wire.body[1:] == [b""]


@pytest.mark.parametrize(
    ("configured", "upstream", "field"),
    [
        ("", "", "reasoning_content"),
        ("", "reasoning", "reasoning"),
        ("", "reasoning_content", "reasoning_content"),
        ("reasoning", "reasoning_content", "reasoning"),
        ("reasoning_content", "reasoning", "reasoning_content"),
    ],
)
async def test_reasoning_is_spelled_as_configured_or_as_upstream_does(
    configured: str, upstream: str, field: str
) -> None:
    wire = Wire()
    sink, _ = stream_of(wire, configured)
    await sink.begin("")
    await sink.carry_out([THOUGHT], upstream)
    assert json.loads(wire.body[0].removeprefix(b"data: "))["choices"][0]["delta"] == {field: "Hm."}
    folded = Folded(Fold("id", "m", 1), {}, configured)
    await folded.carry_out([OpenChoice(0), THOUGHT, FinishChoice(0, "stop"), EndStream()], upstream)
    assert json.loads(folded.body())["choices"][0]["message"][field] == "Hm."


async def test_a_folded_answer_never_begins_and_keeps_nothing_alive() -> None:
    told: dict[str, str] = {}
    folded = Folded(Fold("id", "m", 1, guard=told), told)
    await folded.begin("upstream")
    assert not folded.begun
    assert not await folded.keep_alive()
    assert (folded.backend, told) == ("upstream", {"backend": "upstream"})


@pytest.mark.parametrize(
    ("command", "kind", "status"),
    [
        (FailStream("upstream_reset", "It broke."), UpstreamError, 502),
        (FailStream("deadline_total", "Too long."), UpstreamError, 504),
        (FailStream("deadline_shutdown", "Bye."), RequestError, 503),
    ],
)
async def test_a_folded_answer_that_failed_is_none(command: Command, kind: type[Any], status: int) -> None:
    folded = Folded(Fold("id", "m", 1), {})
    await folded.carry_out([OpenChoice(0), THOUGHT, command], "")
    with pytest.raises(kind) as caught:
        folded.body()
    assert caught.value.status == status
