"""From a model's text to a message on somebody's screen: a guard of two workers, Prometheus and Alertmanager, all of
them real.

    recordings ─► guard serve ─► /metrics ─► Prometheus (rules.yml, shortened) ─► Alertmanager ─► webhook
                                                  '─► every query of the Grafana dashboard

Windows are 30 times shorter than in the file, so 15 minutes are 30 seconds. Not more: Prometheus looks for its targets
five seconds after its start, and GuardAbsent waits 10 then.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.guard_process import GuardProcess, guard_serving
from tests.support.monitoring import (
    FOLDER,
    RULES,
    Webhook,
    firing,
    needed,
    query,
    shortened,
    start_alertmanager,
    start_prometheus,
    until,
)
from tests.support.proxy import CHAT
from tests.support.recorded_upstream import played
from tests.support.upstream import FakeUpstream, json_reply

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.xdist_group("real")]

HEALTHY = 40
LOOPING = 12
MIXING = 12
PROMPT = "Please tell me what you know about this, and explain it to me in plain words."
FACTOR = 30
EXPECTED = {("GuardLoopRateHigh", "reasoning"), ("GuardLanguageSwitchRateHigh", "content")}
UNEVENTFUL = {
    "Breakers open",
    "How long it waits",
    "Refused before a model was asked",
    "Text that waits",
    "Time of a repair",
    "Upstream errors",
}
"""Panels that have nothing to show here: nothing of the kind has happened, or can without a fallback; and text that
waits is looked at every 16th read only, of which recordings on loopback have fewer."""
RESTED = 11.0
"""Seconds that rules are given to fire on healthy traffic: longer than a shortened `for: 5m`."""


@dataclass(frozen=True, slots=True)
class Monitored:
    """A guard with everything that watches it."""

    guard: GuardProcess
    prometheus: str
    hook: Webhook


@asynccontextmanager
async def monitored(folder: Path) -> AsyncIterator[Monitored]:
    """The guard answers first with healthy recordings, then with looping and mixing ones by turns."""
    replies = [
        *[played("clean_answer")] * HEALTHY,
        *[played("loop_in_reasoning"), played("language_switch_in_content")] * max(LOOPING, MIXING),
    ]
    models = json_reply({"object": "list", "data": [{"id": "house-model", "object": "model"}]})
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream(*replies, gets=models))
        guard = await stack.enter_async_context(
            guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", "default", "--workers", "2")
        )
        hook = stack.enter_context(Webhook())
        manager = stack.enter_context(start_alertmanager(folder, hook.url))
        rules = shortened(RULES, FACTOR)
        prometheus = stack.enter_context(start_prometheus(folder, [guard.admin], rules=rules, alertmanager=manager))
        yield Monitored(guard, prometheus, hook)


async def ask(guard: GuardProcess, times: int) -> None:
    """So many streams, four at a time, each read to its end."""
    body = {
        "model": "house-model",
        "messages": [{"role": "user", "content": PROMPT}],
        "stream": True,
        "max_tokens": 4_000,
    }
    at_a_time = asyncio.Semaphore(4)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def one() -> None:
            async with at_a_time:
                answer = await client.post(guard.url + CHAT, json=body)
                assert answer.status_code == 200
                assert answer.text.rstrip().endswith("data: [DONE]")

        await asyncio.gather(*(one() for _ in range(times)))


def value(prometheus: str, expression: str) -> float:
    return sum(value for _, value in query(prometheus, expression))


async def eventually(prometheus: str, expression: str, seconds: float = 20) -> None:
    """Wait until the expression finds something."""
    await asyncio.to_thread(until, lambda: bool(query(prometheus, expression)), seconds, expression)


async def test_loops_and_language_switches_reach_whoever_is_on_call(tmp_path: Path) -> None:
    needed("prometheus", "prometheus-alertmanager")
    async with asyncio.timeout(60), monitored(tmp_path) as it:
        await eventually(it.prometheus, 'count_over_time(guard_streams_total{model="other",route="chat"}[10s]) > 1')

        await ask(it.guard, HEALTHY)
        await eventually(it.prometheus, "job:guard_streams:increase15m >= 20")
        await asyncio.sleep(RESTED)
        assert value(it.prometheus, "sum(guard_requests_total{outcome='passed'})") == HEALTHY
        assert query(it.prometheus, "ALERTS") == []
        assert it.hook.alerts == []

        await ask(it.guard, LOOPING + MIXING)
        await asyncio.to_thread(until, lambda: told(it.hook) >= EXPECTED, 30, "the arrival of both alerts")
        assert {labels["alertname"] for labels in firing(it.prometheus)} == {alert for alert, _ in EXPECTED}
        assert told(it.hook) == EXPECTED
        loop = next(alert for alert in it.hook.alerts if alert["labels"]["alertname"] == "GuardLoopRateHigh")
        assert loop["status"] == "firing"
        assert loop["labels"]["severity"] == "warning"
        assert "go in circles in their reasoning" in loop["annotations"]["summary"]
        assert loop["annotations"]["runbook_url"] == "docs/runbooks.md#guardloopratehigh"
        assert value(it.prometheus, "sum(guard_loops_total)") == LOOPING
        assert value(it.prometheus, "sum(guard_language_switches_total)") == MIXING

        shown = {title: [found(it.prometheus, query) for query in queries] for title, queries in panels().items()}
        assert {title for title, values in shown.items() if not all(values)} == UNEVENTFUL
        assert shown["Guards up"] == [[1.0]]
        assert shown["Workers"] == [[2.0], [2.0], [0.0]]
        assert shown["Alerts"] == [[1.0] * len(EXPECTED)]
        for title in ("Loops", "Language switches", "Interrupted"):
            assert 0 < max(shown[title][0]) <= 1, title


def panels() -> dict[str, list[str]]:
    """The queries of everything on the dashboard, by title, as Grafana sends them."""
    board: dict[str, Any] = json.loads((FOLDER.parent / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    queries = {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    queries |= {mark["name"]: [mark["expr"]] for mark in board["annotations"]["list"]}
    return {
        title: [query.replace("$job", "qwq-guard").replace("$__rate_interval", "1m") for query in those]
        for title, those in queries.items()
    }


def found(prometheus: str, expression: str) -> list[float]:
    """The values of its series, as far as a panel can draw them. Fails if Prometheus does not accept it."""
    return [value for _, value in query(prometheus, expression) if math.isfinite(value)]


def told(hook: Webhook) -> set[tuple[str, str]]:
    """Name and channel of every alert that the webhook got."""
    return {(alert["labels"]["alertname"], alert["labels"].get("channel", "")) for alert in hook.alerts}
