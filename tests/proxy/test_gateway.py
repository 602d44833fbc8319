from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from guard.backends.base import Decoding
from guard.events import ChoiceOpened
from guard.policy.schema import InProcessSettings
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from guard.wire.errors import RequestError
from guard.wire.record import RecordedEvent
from tests.support.proxy import (
    CHAT,
    answer_of,
    ask,
    content,
    gateway_of,
    read_stream,
    script,
    scripted,
)

pytestmark = pytest.mark.anyio


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.001)


def client_of(gateway: Gateway) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(gateway=gateway)), base_url="http://guard")


def waiting(seconds: float = 3_600.0) -> list[RecordedEvent]:
    """An answer whose second half comes after `seconds`."""
    end = answer_of(content("."))[1:]
    return [
        *script(ChoiceOpened(0), content("The first half of it all. ")),
        RecordedEvent(content("And the second half of it all"), seconds),
        *end,
    ]


async def test_one_stream_too_many_is_told_to_come_back() -> None:
    gateway = gateway_of(scripted(*waiting()), max_streams=2)
    async with client_of(gateway) as client:
        tasks = [asyncio.create_task(client.post(CHAT, json=ask(stream=True))) for _ in range(2)]
        await until(lambda: len(gateway.live) == 2)
        answer = await client.post(CHAT, json=ask(stream=True))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "overloaded"
        assert "2 streams" in answer.json()["error"]["message"]
        await gateway.drain(0)
        for task in tasks:
            assert (await task).status_code == 200


async def test_requests_that_come_together_cannot_pass_the_cap_together() -> None:
    gateway = gateway_of(scripted(*waiting(0.05)), max_streams=3)
    async with client_of(gateway) as client:
        answers = await asyncio.gather(*(client.post(CHAT, json=ask(stream=True)) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 7
    assert not gateway.live


async def test_streams_that_end_by_themselves_are_waited_for() -> None:
    gateway = gateway_of(scripted(*waiting(0.1)))
    async with client_of(gateway) as client:
        task = asyncio.create_task(client.post(CHAT, json=ask(stream=True)))
        await until(lambda: len(gateway.live) == 1)
        await gateway.drain(30)
        events = read_stream((await task).content)
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_drain_ends_every_stream_with_its_terminal_event() -> None:
    backend = scripted(*waiting())
    gateway = gateway_of(backend)
    async with client_of(gateway) as client:
        streamed = [asyncio.create_task(client.post(CHAT, json=ask(stream=True))) for _ in range(20)]
        whole = asyncio.create_task(client.post(CHAT, json=ask()))
        await until(lambda: len(gateway.live) == 21)
        await until(lambda: backend.streams == 21)
        draining = asyncio.create_task(gateway.drain(0.05))
        await until(lambda: gateway.draining)
        refused = await client.post(CHAT, json=ask(stream=True))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert refused.headers["retry-after"] == "1"
        for task in streamed:
            events = read_stream((await task).content)
            assert events[-1]["error"]["code"] == "deadline_shutdown"
        assert ((await whole).status_code, (await whole).json()["error"]["code"]) == (503, "shutting_down")
        await draining
    assert not gateway.live
    assert backend.closed == 21


async def test_a_drain_can_be_hurried() -> None:
    gateway = gateway_of(scripted(*waiting()))
    async with client_of(gateway) as client:
        task = asyncio.create_task(client.post(CHAT, json=ask(stream=True)))
        await until(lambda: len(gateway.live) == 1)
        draining = asyncio.create_task(gateway.drain(3_600))
        await until(lambda: gateway.draining)
        gateway.hurry()
        assert read_stream((await asyncio.wait_for(task, 10)).content)[-1]["error"]["code"] == "deadline_shutdown"
        await draining


async def test_a_drain_of_nothing_is_at_once() -> None:
    gateway = gateway_of()
    await asyncio.wait_for(gateway.drain(3_600), 10)
    assert gateway.draining


@pytest.mark.parametrize(
    ("models", "model", "passes"),
    [
        ((), "anything", True),
        ((), "", True),
        (("a", "b"), "a", True),
        (("a", "b"), "", True),
        (("a", "b"), "A", False),
        (("a", "b"), "c", False),
    ],
)
async def test_models(models: tuple[str, ...], model: str, passes: bool) -> None:
    gateway = gateway_of(models=models)
    if passes:
        gateway.admit(model)
        return
    with pytest.raises(RequestError) as caught:
        gateway.admit(model)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


async def test_one_line_is_logged_for_a_stream_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr("guard.proxy.gateway.log", _Log(lines))
    gateway = gateway_of(scripted(*answer_of(content("Well. SECRET. STOP! x"))))
    async with client_of(gateway) as client:
        answer = await client.post(CHAT, json=ask(stream=True), headers={"authorization": "Bearer sk-key"})
    (line,) = lines
    assert line["request_id"] == answer.headers["x-request-id"]
    assert {name: line[name] for name in ("event", "route", "outcome", "backend", "error")} == {
        "event": "stream",
        "route": "chat",
        "outcome": "cut",
        "backend": "scripted",
        "error": None,
    }
    assert all(word not in str(line) for word in ("Hello", "SECRET", "Well", "sk-key"))


class _Log:
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.lines = lines

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})


async def test_what_every_answer_carries() -> None:
    gateway = gateway_of()
    identity = gateway.identify(Headers({"x-request-id": "r1"}))
    assert gateway.headers(identity) == {
        "x-request-id": "r1",
        "x-guard-request-id": identity.stream_id,
        "x-guard-policy": "house@v1",
    }
    assert gateway.told(identity) == {"policy": "house", "policy_version": "v1", "request_id": "r1"}
    gateway.accept_request_ids = False
    identity = gateway.identify(Headers({"x-request-id": "r1"}))
    assert identity.request_id == identity.stream_id != "r1"


def test_what_a_policy_forbids_an_in_process_model_to_write() -> None:
    gateway = gateway_of()
    assert gateway.decoding() is None
    gateway.policy.in_process = InProcessSettings(ban_scripts=["Han"], break_cycles=True)
    assert gateway.decoding() == Decoding(frozenset({"Han"}), break_cycles=True)
