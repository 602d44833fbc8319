"""POST /v1/embeddings: forwarded to the upstream, and its answer rebuilt from its numbers.

What is embedded is reviewed as a prompt is, where the policy watches prompts; a cut is always told as an error, because
an answer made of numbers has no room for a notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from guard.backends.base import ModelRequest
from guard.proxy.body import read_body
from guard.proxy.clocks import in_time
from guard.proxy.errors import PromptBlocked, error_response
from guard.proxy.gateway import Gateway
from guard.proxy.identity import Identity
from guard.proxy.prompt import check_count, reviewed_texts, with_texts
from guard.proxy.pump import Pump
from guard.proxy.requests import ClientRequest, check_embedded, parse_embeddings
from guard.proxy.sink import Folded
from guard.wire.errors import RequestError, UpstreamError
from guard.wire.fold import Fold


@runtime_checkable
class _Embeds(Protocol):
    async def embeddings(self, body: Mapping[str, Any], authorization: str | None, request_id: str) -> bytes: ...


class Embeddings:
    """The route, as a raw ASGI app."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._gateway
        http = Request(scope, receive)
        identity = gateway.identify(http.headers)
        headers = gateway.headers(identity)
        backend = getattr(gateway.backend, "first", gateway.backend)
        response: Response
        try:
            body, model = parse_embeddings(await read_body(http, gateway.max_body))
            gateway.check_model(model)
            if not isinstance(backend, _Embeds):
                raise RequestError(f"The backend `{backend.name}` has no embeddings.", status=404, code="not_supported")
            authorization = http.headers.get("authorization") if gateway.pass_through else None
            cleared = await self._reviewed(body, model, identity)
            async with in_time(gateway.clocks.first_byte):
                answer = await backend.embeddings(cleared, authorization, identity.stream_id)
            response = Response(answer, media_type="application/json", headers=headers)
        except ClientDisconnect:
            return
        except (RequestError, UpstreamError) as error:
            response = error_response(error, headers)
        await response(scope, receive, send)

    async def _reviewed(self, body: Mapping[str, Any], model: str, identity: Identity) -> Mapping[str, Any]:
        """The body as the review of its texts lets it go upstream. Raises `RequestError`."""
        gateway = self._gateway
        texts = reviewed_texts(body)
        request = ClientRequest(route="chat", body=body, model=model, prompt="\n".join(texts))
        guard, slow, watched = gateway.review(request)
        if not watched:
            return body
        check_embedded(body, gateway.policy.prompt)
        check_count(texts)
        metrics = gateway.metrics.stream_opened("embeddings", model)
        audit = gateway.record(identity, "embeddings", model)
        pump = Pump(
            guard,
            gateway.backend,
            ModelRequest("chat", body, model, request_id=identity.stream_id),
            Folded(Fold("", model, 0, guard={}), {}),
            metrics,
            clocks=gateway.clocks,
            slow=slow,
            audit=audit,
            on_decision=gateway.interventions.stream(identity.request_id, identity.stream_id, model),
        )
        try:
            cleared = await pump.review_prompt(texts, refuse=True)
            return body if cleared is None else with_texts(body, cleared)
        except PromptBlocked as error:
            error.param = "input"
            raise
        finally:
            metrics.closed(pump.summary.outcome)
