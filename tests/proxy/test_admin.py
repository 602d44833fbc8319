from __future__ import annotations

import asyncio

import httpx
import pytest

from guard.observe.rates import COUNTED
from guard.proxy import admin
from guard.proxy.admin import create_admin
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from tests.support.proxy import CHAT, ask, gateway_of, metric

pytestmark = pytest.mark.anyio


async def get(gateway: Gateway, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_admin(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.get(path, headers=headers)


async def test_the_process_is_alive_whatever_else() -> None:
    gateway = gateway_of(ready=lambda: False)
    gateway.draining = True
    answer = await get(gateway, "/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("draining", "ready", "status", "reason"),
    [
        (False, True, 200, None),
        (False, False, 503, "the model is being loaded"),
        (True, True, 503, "draining"),
        (True, False, 503, "draining"),
    ],
)
async def test_readiness_says_why_not(draining: bool, ready: bool, status: int, reason: str | None) -> None:
    gateway = gateway_of(ready=lambda: ready)
    gateway.draining = draining
    answer = await get(gateway, "/readyz")
    assert answer.status_code == status
    assert answer.json() == {
        "ready": status == 200,
        "reason": reason,
        "policy": "house",
        "policy_version": "v1",
        "streams": 0,
    }


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_metrics_are_what_prometheus_reads(accept: str) -> None:
    gateway = gateway_of()
    transport = httpx.ASGITransport(create_app(gateway=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://guard") as client:
        assert (await client.post(CHAT, json=ask())).status_code == 200
    answer = await get(gateway, "/metrics", accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept.partition(";")[0] or "text/plain")
    assert "guard_requests_total{" in answer.text
    assert metric(gateway, "guard_requests_total", model="other", outcome="passed", route="chat") == 1
    assert "guard_streams_active 0.0" in answer.text


async def test_samples_are_taken_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails is told and does not end it."""
    monkeypatch.setattr(admin, "SAMPLE_SECONDS", 0.001)
    gateway = gateway_of()
    taken = 0
    enough = asyncio.Event()

    def totals() -> dict[str, float]:
        nonlocal taken
        taken += 1
        if taken == 1:
            raise ValueError("half a file")
        if taken == 3:
            enough.set()
        return dict.fromkeys(COUNTED, 0.0)

    monkeypatch.setattr(gateway.metrics, "totals", totals)
    app = create_admin(gateway)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(10):
            await enough.wait()
    after = taken
    await asyncio.sleep(0.01)
    assert taken == after


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc", "/v1/models", CHAT])
async def test_there_is_nothing_else(path: str) -> None:
    assert (await get(gateway_of(), path)).status_code == 404


async def test_no_web_page_can_have_the_policy_reloaded() -> None:
    transport = httpx.ASGITransport(create_admin(gateway_of()))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        refused = await client.post("/reload", headers={"origin": "http://admin"})
        assert (refused.status_code, "SIGHUP" in refused.text) == (403, True)
        assert (await client.post("/reload")).status_code == 503
