"""Health, readiness, metrics, status and reload: an app of its own, on a port of its own, loopback unless configured
otherwise.

GET /healthz    is the process alive          GET /metrics        what Prometheus reads
GET /readyz     are new streams taken         GET /, /status.json what people read, and the same for programs
                                              POST /reload        read the policy again

With one process it speaks for that process, with several workers for all of them (`workers.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from guard.observe.rates import SAMPLE_SECONDS, Rates
from guard.proxy.gateway import Gateway, log
from guard.proxy.reload import Reloaded, Reloader
from guard.proxy.status import STARTED, of_process, together
from guard.proxy.status_page import REFRESH_SECONDS, headers, page

_LONGEST_REFRESH = 3_600


class Operated(Protocol):
    """What an operator looks at and acts on through the admin port."""

    def readiness(self) -> dict[str, Any]:
        """`ready` and, if not, the `reason`; then what else is worth knowing."""

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Content type and body of the metrics, for a scraper that sent this `Accept` header."""

    async def reload(self) -> Reloaded | None:
        """Read the policy again and put it in force. None if that cannot be done now."""

    async def sample(self) -> None:
        """Remember what has happened so far. Called every `SAMPLE_SECONDS`."""

    async def status(self) -> dict[str, Any]:
        """What `status.together` makes."""


def create_admin(gateway: Gateway, reloader: Reloader | None = None) -> FastAPI:
    """The admin app over the same gateway as the public one."""
    return admin_app(_OneProcess(gateway, reloader))


def admin_app(operated: Operated) -> FastAPI:
    """The admin app. Its lifespan takes the samples that live rates need."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sampling = asyncio.create_task(_sample(operated))
        try:
            yield
        finally:
            sampling.cancel()
            await asyncio.wait((sampling,))

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def status(refresh: str = "") -> Response:
        """The status, for people. `?refresh=SECONDS` says how often it asks for itself again, 0 for never."""
        seconds = int(refresh) if refresh.isascii() and refresh.isdigit() and len(refresh) < 9 else REFRESH_SECONDS
        body = page(await operated.status(), min(seconds, _LONGEST_REFRESH))
        return HTMLResponse(body, headers=dict(headers()))

    @app.get("/status.json")
    async def status_json() -> Response:
        """The same for programs."""
        return JSONResponse(await operated.status(), headers=dict(headers()))

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        """200 as long as the process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 if new streams are taken and a model can answer, else 503 with the reason."""
        readiness = operated.readiness()
        return JSONResponse(readiness, status_code=200 if readiness["ready"] else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Prometheus exposition."""
        content_type, body = operated.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    @app.post("/reload")
    async def reload(request: Request) -> Response:
        """200 and the policy in force, or 422 with everything that is wrong; 503 while that cannot be done. A browser
        always tells from which page it comes when it posts; no page has business here."""
        if "origin" in request.headers:
            return PlainTextResponse("A web page may not reload the policy; use curl or SIGHUP.\n", 403)
        done = await operated.reload()
        if done is None:
            return PlainTextResponse("The guard is starting or shutting down; nothing was reloaded.\n", 503)
        status = 200 if done.ok else 422
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(_as_json(done), status)
        return PlainTextResponse(_as_text(done), status)

    return app


class _OneProcess:
    """The gateway of a process that serves alone."""

    def __init__(self, gateway: Gateway, reloader: Reloader | None) -> None:
        self._gateway = gateway
        self._reloader = reloader
        self._rates = Rates(gateway.metrics.totals)

    def readiness(self) -> dict[str, Any]:
        gateway = self._gateway
        reason = gateway.unready()
        return {
            "ready": not reason,
            "reason": reason or None,
            "policy": gateway.policy.name,
            "policy_version": gateway.policy.version,
            "streams": len(gateway.live),
        }

    def exposition(self, accept: str) -> tuple[str, bytes]:
        return self._gateway.metrics.render(accept)

    async def reload(self) -> Reloaded | None:
        return None if self._reloader is None or self._gateway.draining else await self._reloader.reload()

    async def sample(self) -> None:
        self._rates.sample()

    async def status(self) -> dict[str, Any]:
        process = of_process(self._gateway)
        worker = {"worker": 0, "pid": process["pid"], "since": STARTED, "streams": process["streams"], "answered": True}
        reloaded = None if self._reloader is None else self._reloader.last
        return together(self.readiness(), self._rates.windows(), reloaded, [process], [worker], process)


async def _sample(operated: Operated) -> None:
    while True:
        try:
            await operated.sample()
        except Exception as error:  # noqa: BLE001 - a worker that is just starting has half a file; the next look will do
            log.warning("no sample for the status page", error=type(error).__name__)
        await asyncio.sleep(SAMPLE_SECONDS)


def _as_json(done: Reloaded) -> dict[str, Any]:
    return {
        "reloaded": done.ok,
        "policy": done.name,
        "policy_version": done.version,
        "problems": list(done.problems),
    }


def _as_text(done: Reloaded) -> str:
    if done.ok:
        return f"policy {done.name} ({done.version}) is in force\n"
    return f"{done.says}\n\nNothing was changed: policy {done.name} ({done.version}) stays in force.\n"
