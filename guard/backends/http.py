"""An OpenAI-compatible server over HTTP.

Upstream comes from configuration only. Redirects are not followed, and compressed answers are refused, because a few
kilobytes can hide gigabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import msgspec

from guard.backends.base import Capabilities, ModelRequest, ModelStream, UpstreamError
from guard.backends.transport import BROKEN, broken_off, not_answered, open_client
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
    """`url` is the API's base, with or without `/v1`. `auth` is `replace` (send `api_key`) or `pass_through` (send the
    client's credentials).

    Of streams, only connecting has a timeout here; the others are the driver's. `answer_timeout` is for the calls that
    it does not drive. All are seconds.
    """

    def __init__(
        self,
        *,
        url: str,
        name: str = "upstream",
        api_key: str | None = None,
        auth: Literal["replace", "pass_through"] = "replace",
        start: Callable[[str], ThinkStart] = start_state,
        allow: Set[str] = frozenset(),
        connect_timeout: float = 5.0,
        answer_timeout: float = 120.0,
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
        self._allow = allow
        self._caps = {"max_line": max_line, "max_event": max_event, "max_total": max_total}
        self._answer_timeout = answer_timeout
        self._open: set[asyncio.Timeout] = set()
        self._closed = False
        self._client = open_client(connect_timeout, transport)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        body = {**request.body, "stream": True, "stream_options": {"include_usage": True}}
        path, token, request_id = _PATHS[request.route], request.authorization, request.request_id
        async with self._answer("POST", path, body, token, request_id) as response:
            kind = _media_type(response)
            if kind not in ("text/event-stream", "application/json"):
                raise upstream_refusal(200, await self._read(response, MAX_ERROR_BODY, strict=False), kind)
            choices = int(request.body.get("n") or 1)
            start = self._start(request.model)
            decoder = (
                ChatDecoder(start, choices, self._allow)
                if request.route == "chat"
                else CompletionsDecoder(choices=choices, allow=self._allow)
            )
            model = ModelStream(self.name, _nothing(), decoder.dropped, decoder.allowed)
            read = self._whole if kind == "application/json" else self._events
            async with contextlib.aclosing(read(response, decoder, model)) as events:
                model.events = events
                yield model

    async def models(self) -> Sequence[str]:
        async with self._answer("GET", "/models", None, None, "", self._answer_timeout) as response:
            body = await self._read(response, MAX_JSON_BODY)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Models).data]
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered /models with something that is no list of models.") from error

    async def embeddings(self, body: Mapping[str, Any], authorization: str | None, request_id: str) -> bytes:
        """The answer to an embeddings request, rebuilt from its numbers. Raises `UpstreamError`."""
        limit = self._answer_timeout
        async with self._answer("POST", "/embeddings", body, authorization, request_id, limit) as response:
            answer = await self._read(response, MAX_JSON_BODY)
        try:
            return msgspec.json.encode(msgspec.json.decode(answer, type=_Embeddings))
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered with something that is no list of embeddings.") from error

    async def aclose(self) -> None:
        self._closed = True
        while self._open:
            self._open.pop().reschedule(0.0)
        await self._client.aclose()

    # --- inside

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        authorization: str | None,
        request_id: str,
        seconds: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A readable response, closed with the block; the block ends after `seconds`, or when the backend is closed."""
        if self._closed:
            raise self._shut_down()
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self._open.add(scope)
                response = await self._send(method, path, body, authorization, request_id)
                try:
                    await self._check(response)
                    yield response
                finally:
                    await response.aclose()
        except TimeoutError as error:
            if not scope.expired():
                raise
            if self._closed:
                raise self._shut_down() from error
            message = f"`{self.name}` did not answer {path} in {seconds:g} seconds."
            raise UpstreamError(message, code="upstream_timeout", status=504) from error
        finally:
            self._open.discard(scope)

    def _shut_down(self) -> UpstreamError:
        return UpstreamError(f"The connection to `{self.name}` has been shut down.", code="shut_down", status=503)

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
        except BROKEN as error:
            raise not_answered(error, self.name, self._base) from error

    async def _check(self, response: httpx.Response) -> None:
        """Raise `UpstreamError` unless this is an answer we can read."""
        if response.status_code in range(300, 400):
            raise UpstreamError(
                f"`{self.name}` answered with a redirect, which is not followed. Configure the final URL.",
                code="upstream_redirect",
            )
        encoding = response.headers.get("content-encoding", "").strip().lower()
        plain = encoding in ("", "identity")
        if response.status_code != 200:
            body = await self._read(response, MAX_ERROR_BODY, strict=False) if plain else b""
            raise upstream_refusal(
                response.status_code,
                body,
                response.headers.get("content-type", ""),
                retry_after=response.headers.get("retry-after"),
                pass_through=self._auth == "pass_through",
            )
        if not plain:
            raise UpstreamError(
                f"`{self.name}` compressed its answer ({encoding[:20]}) although it was asked not to.",
                code="upstream_encoding",
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
        except BROKEN as error:
            if strict:
                raise broken_off(self.name) from error
        return bytes(body[:limit])

    async def _whole(
        self, response: httpx.Response, decoder: ChatDecoder, model: ModelStream
    ) -> AsyncGenerator[Sequence[Event]]:
        """The events of an upstream that does not stream."""
        events = decoder.feed_whole(await self._read(response, MAX_JSON_BODY))
        model.reasoning_field = decoder.reasoning_field
        yield [*events, UpstreamEnded()]

    async def _events(
        self, response: httpx.Response, decoder: ChatDecoder, model: ModelStream
    ) -> AsyncGenerator[Sequence[Event]]:
        sse = SseDecoder(**self._caps)
        try:
            async for data in response.aiter_raw():
                events: list[Event] = []
                fault: UpstreamError | None = None
                try:
                    for event in sse.feed(data):
                        events += decoder.feed(event)
                except UpstreamError as error:
                    fault = error  # what was read before it counts, however it was cut into reads
                if events:
                    model.reasoning_field = decoder.reasoning_field
                    yield events
                if fault is not None:
                    raise fault
                if decoder.done:
                    break
        except BROKEN as error:
            raise broken_off(self.name) from error
        yield [*decoder.end(), UpstreamEnded()]


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


async def _nothing() -> AsyncIterator[Sequence[Event]]:
    return
    yield
