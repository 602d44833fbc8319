"""The routes that are guarded. Every other path under `/v1` is refused: what is not reviewed is not forwarded.

POST /v1/chat/completions, /v1/completions    reviewed, streamed or folded
POST /v1/embeddings                           forwarded: it returns no text
GET  /v1/models, /v1/models/{id}              names only
"""

from __future__ import annotations

import asyncio
import time
import traceback
from pathlib import Path
from typing import Literal

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from guard.backends.base import ModelRequest
from guard.events import Deadline, FailStream
from guard.observe.audit import UNAVAILABLE
from guard.proxy.body import read_body
from guard.proxy.clocks import in_time
from guard.proxy.embeddings import Embeddings
from guard.proxy.errors import PromptBlocked, error_response
from guard.proxy.gateway import Gateway, log
from guard.proxy.identity import Identity
from guard.proxy.prompt import check_count
from guard.proxy.pump import Pump
from guard.proxy.requests import ClientRequest, parse_request
from guard.proxy.sink import EventStream, Folded, Sink
from guard.proxy.traced import TracedBackend
from guard.wire.chat_encode import ChatEncoder
from guard.wire.completions import CompletionsEncoder
from guard.wire.errors import RequestError, UpstreamError
from guard.wire.fold import CompletionsFold, Fold


def guarded_routes(gateway: Gateway) -> list[BaseRoute]:
    """The whole surface, denying by default."""
    return [
        Route("/v1/chat/completions", Generate(gateway, "chat"), methods=["POST"]),
        Route("/v1/completions", Generate(gateway, "completions"), methods=["POST"]),
        Route("/v1/embeddings", Embeddings(gateway), methods=["POST"]),
        Route("/v1/models", Models(gateway), methods=["GET"]),
        Route("/v1/models/{model:path}", Models(gateway), methods=["GET"]),
        Route("/{path:path}", NotGuarded(gateway)),  # any method
    ]


class Generate:
    """A route that answers with model text. Raw ASGI: one object per request less, and the disconnect is ours."""

    def __init__(self, gateway: Gateway, route: Literal["chat", "completions"]) -> None:
        self._gateway = gateway
        self._route: Literal["chat", "completions"] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        http = Request(scope, receive)
        identity = gateway.identify(http.headers)
        try:
            body = await read_body(http, gateway.max_body)
            request = parse_request(
                self._route,
                body,
                max_choices=gateway.max_choices,
                strip=gateway.strip,
                settings=gateway.policy.prompt,
            )
        except ClientDisconnect:
            return
        except RequestError as error:
            gateway.refused(error, identity, self._route)
            await error_response(error, gateway.headers(identity))(scope, receive, send)
            return
        stream = asyncio.create_task(self._answer(request, http, identity, scope, receive, send))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((stream, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not stream.done():
                stream.cancel()
            await asyncio.wait((stream, gone))
        if not stream.cancelled():
            stream.result()

    async def _answer(
        self, request: ClientRequest, http: Request, identity: Identity, scope: Scope, receive: Receive, send: Send
    ) -> None:
        gateway = self._gateway
        headers = gateway.headers(identity)
        try:
            gateway.admit(request.model)  # nothing is awaited from here to `opened`: what is admitted is counted
            guard, slow, watches_prompt = gateway.review(request)
            parts = request.parts if watches_prompt else []
            check_count(parts)
        except RequestError as error:
            gateway.refused(error, identity, self._route, request.model)
            await error_response(error, headers)(scope, receive, send)
            return
        if request.stripped:
            gateway.metrics.fields_dropped(request.stripped, "request")
        told = gateway.told(identity)
        sink = self._sink(request, identity.stream_id, told, headers, send)
        trace = gateway.trace(identity, request, http.headers)
        if trace is not None:
            identity = identity._replace(trace_id=trace.trace_id)
        exemplar = trace.trace_id if trace is not None and trace.sampled else ""
        metrics = gateway.metrics.stream_opened(self._route, request.model, trace_id=exemplar)
        model_request = ModelRequest(
            route=self._route,
            body=request.body,
            model=request.model,
            authorization=http.headers.get("authorization") if gateway.pass_through else None,
            request_id=identity.stream_id,
            decoding=gateway.decoding(),
        )
        audit = gateway.record(identity, self._route, request.model)
        pump = Pump(
            guard,
            gateway.backend if trace is None else TracedBackend(gateway.backend, trace),
            model_request,
            sink,
            metrics,
            clocks=gateway.clocks,
            max_tokens=request.max_tokens,
            slow=slow,
            audit=audit,
            trace=trace,
            on_repair=gateway.metrics.repair_done,
            on_decision=gateway.interventions.stream(identity.request_id, identity.stream_id, request.model),
        )
        summary = pump.summary
        gateway.opened(pump)
        began = time.monotonic()
        try:
            answered = False
            if watches_prompt:
                refuse = gateway.policy.prompt.block == "error"
                cleared = await pump.review_prompt(parts, refuse=refuse)
                answered = cleared is None
                if cleared is not None:
                    pump.send_upstream(request.with_parts(cleared))
            if not answered:
                await pump.run()
            if isinstance(sink, EventStream):
                if not pump.stalled:  # else the server hangs up on an answer that is left unfinished
                    await sink.finish()
            else:
                await _send_folded(sink, headers, scope, receive, send)
        except PromptBlocked as error:
            error.param = "messages" if self._route == "chat" else "prompt"
            await error_response(error, headers)(scope, receive, send)
        except (RequestError, UpstreamError) as error:
            summary.worsen("error")
            summary.error = error.code or ""
            await error_response(error, headers)(scope, receive, send)
        except asyncio.CancelledError:
            summary.worsen("client_left")
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong here, the client is told in its own language
            summary.worsen("error")
            summary.error = "internal_error"
            log.error("internal error", **identity.told(), error=type(error).__name__, at=_where(error))
            sorry = "The guard failed; nothing more was let through."
            if audit is not None:
                audit.close()
            if isinstance(sink, EventStream) and sink.begun:
                await sink.carry_out([FailStream("internal_error", sorry)], "")
                await sink.finish()
            else:
                refusal = RequestError(sorry, status=500, code="internal_error")
                await error_response(refusal, headers)(scope, receive, send)
        finally:
            gateway.gone(pump)
            if summary.error == f"deadline_{Deadline.DETECTOR}":
                gateway.metrics.detector_failed("")
            elif summary.error and summary.error not in ("internal_error", UNAVAILABLE):
                gateway.metrics.upstream_failed(summary.error, summary.backend or gateway.backend.name)
            gateway.metrics.fields_dropped(summary.dropped)
            pump.close()
            if audit is not None:
                audit.close()
            if trace is not None:
                answer_id = self._answer_id(identity.stream_id)
                trace.close(summary.outcome, error=summary.error, backend=summary.backend, response_id=answer_id)
            gateway.closed(summary, request, identity, time.monotonic() - began)

    def _answer_id(self, stream_id: str) -> str:
        return f"{'chatcmpl' if self._route == 'chat' else 'cmpl'}-{stream_id}"

    def _sink(
        self, request: ClientRequest, stream_id: str, told: dict[str, str], headers: dict[str, str], send: Send
    ) -> EventStream | Folded:
        created = int(time.time())
        model = request.model or "default"
        field = self._gateway.reasoning_field
        chat = self._route == "chat"
        answer_id = self._answer_id(stream_id)
        if not request.stream:
            fold = (Fold if chat else CompletionsFold)(answer_id, model, created, guard=told)
            return Folded(fold, told, field)
        encoder = (ChatEncoder if chat else CompletionsEncoder)(
            answer_id, model, created, include_usage=request.include_usage, guard=told
        )
        return EventStream(send, encoder, headers, told, field)


class Models:
    """The configured models, or those the backend names."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        headers = gateway.headers(gateway.identify(Headers(scope=scope)))
        wanted = scope.get("path_params", {}).get("model")
        response: Response
        try:
            async with in_time(gateway.clocks.first_byte):
                names = gateway.models or await gateway.backend.models()
            if wanted is not None and wanted not in names:
                raise RequestError(
                    f"The model `{wanted[:200]}` does not exist here; GET /v1/models lists those that do.",
                    status=404,
                    code="model_not_found",
                )
            data = [{"id": name, "object": "model", "created": 0, "owned_by": "qwq-guard"} for name in names]
            if wanted is None:
                body = msgspec.json.encode({"object": "list", "data": data})
            else:
                body = msgspec.json.encode(next(model for model in data if model["id"] == wanted))
            response = Response(body, media_type="application/json", headers=headers)
        except (RequestError, UpstreamError) as error:
            response = error_response(error, headers)
        await response(scope, receive, send)


class NotGuarded:
    """Everything else."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith("/v1/") or path == "/v1":
            message = (
                f"{scope['method']} {path[:200]} is not guarded yet, so it is not served. Guarded are: POST "
                "/v1/chat/completions, POST /v1/completions, POST /v1/embeddings, GET /v1/models."
            )
        else:
            message = "There is nothing here. The OpenAI API is served under /v1; health and metrics on the admin port."
        gateway = self._gateway
        error = RequestError(message, status=404, code="not_guarded")
        identity = gateway.identify(Headers(scope=scope))
        gateway.refused(error, identity, "")
        await error_response(error, gateway.headers(identity))(scope, receive, send)


def _where(error: Exception) -> str:
    """The place an error came from, without its message, which may quote the model."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_folded(sink: Folded, headers: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
    body = sink.body()
    if sink.backend:
        headers = {**headers, "x-guard-backend": sink.backend}
    await Response(body, media_type="application/json", headers=headers)(scope, receive, send)


__all__ = ["Generate", "Sink", "guarded_routes"]
