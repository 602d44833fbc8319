"""What the status says, through the admin app, of one process and of processes put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from guard.backends.failover import FailoverBackend
from guard.backends.scripted import ScriptedBackend
from guard.contract import Channel
from guard.observe.interventions import SIZE
from guard.proxy.admin import create_admin
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from guard.proxy.reload import Reloader
from guard.proxy.status import KINDS, iso, merged, of_process, together
from tests.support.proxy import CHAT, answer_of, ask, content, gateway_of, scripted, words_policy

pytestmark = pytest.mark.anyio

POLICY = """\
policy_version: 1
name: oaths
description: Mind your words.
detectors: {pattern: {words: {oath: {words: [zounds]}}}}
rules:
  - id: no_oaths
    why: Somebody reads this.
    when: {detector: pattern, label: oath, channel: content, model: "qwq*"}
    do: cut
  - {id: noted, when: {detector: pattern}, do: flag}
"""
SECRET = "SECRET, which nobody may read"


class _Embedding(ScriptedBackend):
    async def embeddings(self, body: Mapping[str, Any], authorization: str | None, request_id: str) -> bytes:
        raise AssertionError("nothing was to go upstream")


async def get(gateway: Gateway, path: str = "/status.json", reloader: Reloader | None = None) -> httpx.Response:
    transport = httpx.ASGITransport(create_admin(gateway, reloader))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.get(path)


async def post(gateway: Gateway, **headers: str) -> None:
    transport = httpx.ASGITransport(create_app(gateway=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://guard") as client:
        assert (await client.post(CHAT, json=ask(), headers=headers)).status_code == 200


async def test_a_guard_that_has_done_nothing() -> None:
    status = (await get(gateway_of(max_streams=9))).json()
    assert status["ready"]
    assert status["streams"] == {"open": 0, "limit": 9}
    assert [window["minutes"] for window in status["rates"]] == [1, 5, 15]
    assert status["policy"]["name"] == "house"
    assert status["reload"] is None
    assert status["backends"] == [
        {"name": "scripted", "role": "upstream", "up": None, "breakers_open": None, "breakers": 0}
    ]
    assert len(status["workers"]) == 1
    assert status["interventions"] == status["flags"] == []


async def test_what_a_rule_did_is_told_without_a_word_of_the_text() -> None:
    gateway = gateway_of(scripted(*answer_of(content(f"The {SECRET}. STOP! And more."))))
    await post(gateway, **{"x-request-id": "their-id"})
    answer = await get(gateway)
    status = answer.json()
    assert [(each["action"], each["rule"], each["request_id"]) for each in status["interventions"]] == [
        ("cut", "stopper", "their-id"),
        ("mask", "masker", "their-id"),
    ]
    assert status["interventions"][0] | {"time": "", "stream_id": "", "pid": 0} == {
        "time": "",
        "request_id": "their-id",
        "stream_id": "",
        "pid": 0,
        "model": "scripted",
        "rule": "stopper",
        "detector": "stopper",
        "label": "hit",
        "score": 0.9,
        "channel": "content",
        "action": "cut",
        "times": 1,
    }
    assert status["rates"][0]["streams"] == status["rates"][0]["cuts"] == 1
    for path in ("/status.json", "/"):
        body = (await get(gateway, path)).text
        assert "which nobody may read" not in body
        assert "STOP!" not in body


async def test_what_is_embedded_is_spoken_of_too() -> None:
    gateway = gateway_of(_Embedding(lambda _request: ()), words_policy(channels=[Channel.PROMPT]))
    transport = httpx.ASGITransport(create_app(gateway=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://guard") as client:
        answer = await client.post("/v1/embeddings", json={"model": "m", "input": "STOP!"})
    assert answer.status_code == 400
    (entry,) = (await get(gateway)).json()["interventions"]
    assert (entry["channel"], entry["action"], entry["model"]) == ("prompt", "cut", "m")


async def test_the_rules_in_force_and_the_last_reload(tmp_path: Any) -> None:
    file = tmp_path / "oaths.yaml"
    file.write_text(POLICY)
    gateway = gateway_of()
    reloader = Reloader(gateway, str(file))
    assert (await reloader.reload()).ok
    status = (await get(gateway, reloader=reloader)).json()
    assert status["reload"]["ok"]
    assert status["policy"]["description"] == "Mind your words."
    assert status["policy"]["rules"] == [
        {
            "rule": "no_oaths",
            "why": "Somebody reads this.",
            "detectors": ["pattern"],
            "labels": ["oath"],
            "channels": ["content"],
            "models": ["qwq*"],
            "score": 0.0,
            "action": "cut",
        },
        {
            "rule": "noted",
            "why": "",
            "detectors": ["pattern"],
            "labels": None,
            "channels": ["reasoning", "content", "tool"],
            "models": None,
            "score": 0.0,
            "action": "flag",
        },
    ]
    file.write_text(POLICY.replace("detector: pattern}", "detector: patern}"))
    assert not (await reloader.reload()).ok
    status = (await get(gateway, reloader=reloader)).json()
    assert not status["reload"]["ok"]
    assert "unknown detector" in status["reload"]["says"]
    assert status["policy"]["name"] == "oaths"
    assert "unknown detector" in (await get(gateway, "/", reloader)).text


async def test_backends_and_the_breaker_between_them() -> None:
    backend = FailoverBackend(scripted(name="upstream"), scripted(name="scripted"), threshold=1)
    gateway = gateway_of(backend)
    gateway.metrics.upstream_failed("upstream_reset", "upstream")
    backend.breaker.failed()
    gateway.metrics.backend_state("scripted", True)
    assert (await get(gateway)).json()["backends"] == [
        {"name": "upstream", "role": "upstream", "up": False, "breakers_open": 1, "breakers": 1},
        {"name": "scripted", "role": "fallback", "up": True, "breakers_open": None, "breakers": 0},
    ]


async def test_a_guard_that_drains_says_so() -> None:
    gateway = gateway_of()
    gateway.draining = True
    status = (await get(gateway)).json()
    assert (status["ready"], status["reason"]) == (False, "draining")


# --- several processes


def told(pid: int, *entries: tuple[int, float], up: bool | None = None, breaker: str | None = None) -> dict[str, Any]:
    process = {**of_process(gateway_of()), "pid": pid}
    process["interventions"] = [{"pid": pid, "number": number, "time": time, "rule": "r"} for number, time in entries]
    process["backends"] = [{"name": "b", "role": "upstream", "up": up, "breaker": breaker}]
    return process


READY: Mapping[str, Any] = {"ready": True, "reason": None, "policy": "p", "policy_version": "v", "streams": 3}


@pytest.mark.parametrize(
    ("states", "up"), [([None, None], None), ([True, None], True), ([True, False], False), ([False, None], False)]
)
def test_a_backend_that_one_process_finds_down_is_down(states: list[bool | None], up: bool | None) -> None:
    processes = [
        told(pid, up=each, breaker="open" if each is False else "closed") for pid, each in enumerate(states, 1)
    ]
    (backend,) = together(READY, [], None, processes, [], processes[0])["backends"]
    assert backend["up"] is up
    assert (backend["breakers_open"], backend["breakers"]) == (states.count(False), 2)


def test_entries_of_all_are_shown_once_the_newest_first_and_not_too_many() -> None:
    one, two = told(1, (1, 10.0), (2, 30.0)), told(2, (1, 20.0))
    before = merged(one["interventions"], two["interventions"])
    assert [(each["pid"], each["number"]) for each in before] == [(1, 2), (2, 1), (1, 1)]
    later = merged(before, told(1, (1, 40.0), (2, 30.0))["interventions"])
    assert [(each["pid"], each["number"], each["time"]) for each in later] == [(1, 1, 40), (1, 2, 30), (2, 1, 20)]
    many = told(3, *((number, float(number)) for number in range(3 * SIZE)))["interventions"]
    assert len(merged(before, many)) == SIZE


def test_when_no_worker_answers_the_rest_is_shown() -> None:
    worker = {"worker": 0, "pid": 7, "since": 0.0, "streams": 1, "answered": False}
    status = together(READY, [], None, [], [worker], dict.fromkeys(KINDS, ()))
    assert status["policy"] == {"name": "p", "version": "v", "mode": None, "description": "", "rules": []}
    assert status["workers"] == [{**worker, "since": "1970-01-01T00:00:00Z"}]
    assert status["backends"] == []


async def test_a_worker_can_tell_it() -> None:
    gateway = gateway_of(scripted(*answer_of(content("STOP!"))))
    await post(gateway)
    process = of_process(gateway)
    assert json.loads(json.dumps(process, allow_nan=False)) == process


def test_times_are_in_utc() -> None:
    assert iso(1_767_225_599.9) == "2025-12-31T23:59:59Z"
