"""Health, readiness and metrics: an app of its own, on a port of its own, loopback unless configured otherwise."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from guard.proxy.gateway import Gateway


def create_admin(gateway: Gateway) -> FastAPI:
    """The admin app over the same gateway as the public one."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        """200 as long as the process answers."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """200 if new streams are taken and a model can answer, else 503 with the reason."""
        reason = "draining" if gateway.draining else "" if gateway.ready() else "the model is being loaded"
        body = {
            "ready": not reason,
            "reason": reason or None,
            "policy": gateway.policy.name,
            "policy_version": gateway.policy.version,
            "streams": len(gateway.live),
        }
        return JSONResponse(body, status_code=503 if reason else 200)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Prometheus exposition."""
        content_type, body = gateway.metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return app
