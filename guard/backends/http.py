"""An OpenAI-compatible server over HTTP.

One client for all requests, on aiohttp's transport: httpcore's pool costs 2.5 times the CPU per event and slows with
every idle connection. Upstream comes from configuration only; nothing of the environment (proxies, netrc) is trusted,
redirects are not followed, and compressed answers are refused, because a few kilobytes can hide gigabytes.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from guard.backends.base import Capabilities, ModelRequest, ModelStream, UpstreamError
from guard.events import Event, UpstreamEnded
from guard.wire.chat_decode import ChatDecoder
from guard.wire.completions import CompletionsDecoder
from guard.wire.failures import upstream_refusal
from guard.wire.sse import SseDecoder
from guard.wire.think import ThinkStart, start_state

MAX_ERROR_BODY = 64 * 1024
MAX_JSON_BODY = 64 * 1024 * 1024
_PATHS: Mapping[str, str] = {"chat": "/chat/completions", "completions": "/completions"}


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] = []


class _Embedding(msgspec.Struct):
    embedding: list[float] | str
    index: int = 0
    object: str = "embedding"


class _EmbeddingUsage(msgspec.Struct, omit_defaults=True):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Embeddings(msgspec.Struct):
    """The allow-list of an embeddings answer: numbers (or their base64), no text."""

    data: list[_Embedding]
    model: str = ""
    object: str = "list"
    usage: _EmbeddingUsage = msgspec.field(default_factory=_EmbeddingUsage)


class HttpBackend:
    """`url` is the API's base, with or without `/v1`. Timeouts other than connecting are the driver's.

    `auth` is `replace` (send `api_key`) or `pass_through` (send the client's credentials).
    """

    def __init__(
        self,
        *,
        url: str,
        name: str = "upstream",
        api_key: str | None = None,
        auth: Literal["replace", "pass_through"] = "replace",
        start: Callable[[str], ThinkStart] = start_state,
        connect_timeout: float = 5.0,
        max_line: int = 1 << 20,
        max_event: int = 1 << 20,
        max_total: int = 64 << 20,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(embeddings=True)
        self._base = url.rstrip("/") if re.search(r"/v\d+/?$", url) else url.rstrip("/") + "/v1"
        self._api_key = api_key
        self._auth = auth
        self._start = start
        self._caps = {"max_line": max_line, "max_event": max_event, "max_total": max_total}
        self._client = httpx.AsyncClient(
            transport=transport or AiohttpTransport(trust_env=False, limits=httpx.Limits(max_connections=None)),
            timeout=httpx.Timeout(None, connect=connect_timeout),
            trust_env=False,
            follow_redirects=False,
            headers={"accept-encoding": "identity", "user-agent": "qwq-guard"},
        )

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        body = {**request.body, "stream": True, "stream_options": {"include_usage": True}}
        response = await self._send("POST", _PATHS[request.route], body, request.authorization, request.request_id)
        try:
            await self._check(response)
            choices = int(request.body.get("n") or 1)
            start = self._start(request.model)
            decoder = ChatDecoder(start, choices) if request.route == "chat" else CompletionsDecoder(choices=choices)
            model = ModelStream(self.name, _nothing(), decoder.dropped)
            async with contextlib.aclosing(self._events(response, decoder, model)) as events:
                model.events = events
                yield model
        finally:
            await response.aclose()

    async def models(self) -> Sequence[str]:
        response = await self._send("GET", "/models", None, None, "")
        try:
            await self._check(response)
            body = await self._read(response, MAX_JSON_BODY)
            return [model.id for model in msgspec.json.decode(body, type=_Models).data]
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered /models with something that is no list of models.") from error
        finally:
            await response.aclose()

    async def embeddings(self, body: Mapping[str, Any], authorization: str | None, request_id: str) -> bytes:
        """The answer to an embeddings request, rebuilt from its numbers. Raises `UpstreamError`."""
        response = await self._send("POST", "/embeddings", body, authorization, request_id)
        try:
            await self._check(response)
            answer = msgspec.json.decode(await self._read(response, MAX_JSON_BODY), type=_Embeddings)
            return msgspec.json.encode(answer)
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered with something that is no list of embeddings.") from error
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    # --- inside

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, authorization: str | None, request_id: str
    ) -> httpx.Response:
        headers = {"accept": "text/event-stream, application/json"}
        if self._auth == "pass_through":
            if authorization:
                headers["authorization"] = authorization
        elif self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        if request_id:
            headers["x-request-id"] = request_id
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(body)
        request = self._client.build_request(method, self._base + path, content=content, headers=headers)
        try:
            return await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._not_sent(error) from error

    def _not_sent(self, error: httpx.HTTPError) -> UpstreamError:
        """Why a request was not answered. The transport's own cause is asked: its mapping calls a refusal a timeout."""
        cause = error.__cause__ or error
        if isinstance(cause, aiohttp.ServerTimeoutError):
            message = f"`{self.name}` did not accept a connection at {self._base} in time."
            return UpstreamError(message, code="upstream_timeout", status=504)
        if isinstance(cause, aiohttp.ClientConnectorError | httpx.ConnectError):
            message = f"`{self.name}` cannot be reached at {self._base}. Is it running?"
            return UpstreamError(message, code="upstream_unreachable")
        return UpstreamError(f"`{self.name}` hung up without an answer.", code="upstream_reset")

    async def _check(self, response: httpx.Response) -> None:
        """Raise `UpstreamError` unless this is an answer we can read."""
        if response.status_code in range(300, 400):
            raise UpstreamError(
                f"`{self.name}` answered with a redirect, which is not followed. Configure the final URL.",
                code="upstream_redirect",
            )
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("", "identity"):
            raise UpstreamError(
                f"`{self.name}` compressed its answer ({encoding[:20]}) although it was asked not to.",
                code="upstream_encoding",
            )
        if response.status_code != 200:
            body = await self._read(response, MAX_ERROR_BODY, strict=False)
            raise upstream_refusal(
                response.status_code,
                body,
                response.headers.get("content-type", ""),
                retry_after=response.headers.get("retry-after"),
                pass_through=self._auth == "pass_through",
            )

    async def _read(self, response: httpx.Response, limit: int, *, strict: bool = True) -> bytes:
        """The body, up to `limit` bytes; `strict` refuses a longer one."""
        body = bytearray()
        try:
            async for data in response.aiter_raw():
                body += data
                if len(body) > limit:
                    if strict:
                        raise UpstreamError(f"`{self.name}` sent more than {limit} bytes.", code="upstream_too_large")
                    break
        except httpx.HTTPError as error:
            if strict:
                raise _reset(self.name) from error
        return bytes(body[:limit])

    async def _events(
        self, response: httpx.Response, decoder: ChatDecoder | CompletionsDecoder, model: ModelStream
    ) -> AsyncGenerator[Sequence[Event]]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            yield decoder.feed_whole(await self._read(response, MAX_JSON_BODY))
            model.reasoning_field = decoder.reasoning_field
            yield (UpstreamEnded(),)
            return
        if kind != "text/event-stream":
            raise upstream_refusal(200, await self._read(response, MAX_ERROR_BODY, strict=False), kind)
        sse = SseDecoder(**self._caps)
        try:
            async for data in response.aiter_raw():
                events: list[Event] = []
                for event in sse.feed(data):
                    events += decoder.feed(event)
                if events:
                    model.reasoning_field = decoder.reasoning_field
                    yield events
                if decoder.done:
                    break
        except httpx.HTTPError as error:
            raise _reset(self.name) from error
        yield [*decoder.end(), UpstreamEnded()]


async def _nothing() -> AsyncIterator[Sequence[Event]]:
    return
    yield


def _reset(name: str) -> UpstreamError:
    return UpstreamError(f"The connection to `{name}` broke in mid-answer.", code="upstream_reset", retry=False)
