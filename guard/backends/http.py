"""An OpenAI-compatible server over HTTP, which may be asked to go on with an answer as its dialect allows.

stream(request) ─► calls: what to send, how to read it ─► client ─► SSE or lines ─► decoder ─► batches of events
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Literal

import httpx
import msgspec

from guard.backends.base import Capabilities, ModelRequest, ModelStream, UpstreamError
from guard.backends.calls import LINES, Call, continued_call, first_call
from guard.backends.client import MAX_ERROR_BODY, UpstreamClient
from guard.backends.dialects import OPENAI, Dialect
from guard.backends.probe import Found, find_dialect
from guard.backends.templates import ChatTemplate
from guard.backends.transport import BROKEN, broken_off
from guard.contract import Channel, Lane
from guard.events import Event, TextReceived, UpstreamEnded
from guard.wire.chat_decode import ChatDecoder
from guard.wire.failures import upstream_refusal
from guard.wire.live_chat import LiveChatDecoder
from guard.wire.raw_streams import LinesDecoder
from guard.wire.sse import SseDecoder
from guard.wire.think import ThinkStart, start_state

CONTROL_SECONDS: Final = 2.0
"""For llama.cpp to take an order about a running answer."""


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
    client's credentials). `start` says where a model's output begins, if that is configured. `native` are fields to add
    to every chat request, as far as the dialect has them. `template` is the operator's chat template. Without a
    `dialect` the upstream is taken for an unknown one until `recognise` has found out.

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
        dialect: Dialect | None = OPENAI,
        start: Callable[[str], ThinkStart | None] = lambda _model: None,
        template: ChatTemplate | None = None,
        native: Mapping[str, Any] | None = None,
        allow: Set[str] = frozenset(),
        connect_timeout: float = 5.0,
        answer_timeout: float = 120.0,
        max_line: int = 1 << 20,
        max_event: int = 1 << 20,
        max_total: int = 64 << 20,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.recognised = dialect is not None
        """The dialect is configured, or has been found out."""
        self.dialect = dialect or OPENAI
        """How the upstream speaks, for the requests that follow."""
        self._client = UpstreamClient(
            url, name, api_key=api_key, auth=auth, connect_timeout=connect_timeout, transport=transport
        )
        self._start = start
        self._template = template
        self._native = native or {}
        self._allow = allow
        self._caps = {"max_line": max_line, "max_event": max_event, "max_total": max_total}
        self._answer_timeout = answer_timeout

    @property
    def capabilities(self) -> Capabilities:
        """Those of the dialect. A repair of an answer whose chat template nobody knows fails when it is opened."""
        dialect = self.dialect
        return Capabilities(dialect.repairs, dialect.chat_repairs, embeddings=True)

    async def recognise(self) -> Found:
        """Ask the upstream what it is (`guard.backends.probe`), and speak to it accordingly from then on."""
        found = await find_dialect(self._client)
        self.recognised = found.reached
        self.dialect = found.dialect or self.dialect
        return found

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        call = await self._call(request)
        of_client: Mapping[str, Any] = {
            "authorization": request.authorization,
            "request_id": request.request_id,
            "trace_context": request.trace_context,
        }
        async with self._client.answer("POST", call.url, call.body, **of_client) as response:
            kind = _media_type(response)
            if kind not in (call.kind, "application/json"):
                raise upstream_refusal(200, await self._client.read(response, MAX_ERROR_BODY, strict=False), kind)
            decoder = call.decoder
            model = ModelStream(self.name, _nothing(), decoder.dropped, decoder.allowed)
            if isinstance(decoder, LiveChatDecoder):
                model.end_thinking = lambda: self._end_thinking(decoder.answer_id, request)
            read = self._whole if kind == "application/json" else self._events
            async with contextlib.aclosing(read(response, call, model)) as events:
                model.events = _content_only(events) if call.content_only else events
                yield model

    async def models(self) -> Sequence[str]:
        async with self._client.answer("GET", f"{self._client.base}/models", seconds=self._answer_timeout) as response:
            body = await self._client.read(response)
        try:
            return [model.id for model in msgspec.json.decode(body, type=_Models).data]
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered /models with something that is no list of models.") from error

    async def embeddings(self, body: Mapping[str, Any], authorization: str | None, request_id: str) -> bytes:
        """The answer to an embeddings request, rebuilt from its numbers. Raises `UpstreamError`."""
        of_client: Mapping[str, Any] = {"authorization": authorization, "request_id": request_id}
        url, limit = f"{self._client.base}/embeddings", self._answer_timeout
        async with self._client.answer("POST", url, body, seconds=limit, **of_client) as response:
            answer = await self._client.read(response)
        try:
            return msgspec.json.encode(msgspec.json.decode(answer, type=_Embeddings))
        except msgspec.DecodeError as error:
            raise UpstreamError(f"`{self.name}` answered with something that is no list of embeddings.") from error

    async def aclose(self) -> None:
        await self._client.aclose()

    # --- inside

    async def _call(self, request: ModelRequest) -> Call:
        dialect, client, allow = self.dialect, self._client, self._allow
        start = self._start(request.model) or dialect.start or start_state(request.model)
        continuation = request.continuation
        if request.route == "chat":
            native = {name: value for name, value in self._native.items() if name in dialect.native}
            if continuation is not None and continuation.channel is not Channel.REASONING:
                native.pop("thinking_token_budget", None)
            if native:
                request = replace(request, body={**request.body, **native})
        if continuation is None:
            return first_call(client, dialect, request, start, allow)
        return await continued_call(client, dialect, request, continuation, start, allow, self._template)

    async def _end_thinking(self, answer_id: str, request: ModelRequest) -> bool:
        """See `ModelStream.end_thinking`. False if upstream does not know the order, or the answer has gone on."""
        order = {"id": answer_id, "action": "reasoning_end"}
        if "model" in request.body:
            order["model"] = request.body["model"]
        try:
            answer = await self._client.json(
                "POST",
                f"{self._client.base}/chat/completions/control",
                order,
                seconds=CONTROL_SECONDS,
                authorization=request.authorization,
            )
        except UpstreamError:
            return False
        return answer.get("success") is True

    async def _whole(self, response: httpx.Response, call: Call, model: ModelStream) -> AsyncGenerator[Sequence[Event]]:
        """The events of an upstream that does not stream."""
        events = call.decoder.feed_whole(await self._client.read(response))
        model.reasoning_field = call.decoder.reasoning_field
        yield [*events, UpstreamEnded()]

    async def _events(
        self, response: httpx.Response, call: Call, model: ModelStream
    ) -> AsyncGenerator[Sequence[Event]]:
        decoder: ChatDecoder = call.decoder
        cut: SseDecoder | LinesDecoder = SseDecoder(**self._caps)
        if call.kind == LINES:
            cut = LinesDecoder(self._caps["max_line"], self._caps["max_total"])
        try:
            async for data in response.aiter_raw():
                events: list[Event] = []
                fault: UpstreamError | None = None
                try:
                    for event in cut.feed(data):
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


async def _content_only(batches: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Sequence[Event]]:
    """`batches` with the text of every reasoning lane in the content lane."""
    async for events in batches:
        yield [
            replace(event, lane=Lane(event.lane.choice, Channel.CONTENT))
            if isinstance(event, TextReceived) and event.lane.channel is Channel.REASONING
            else event
            for event in events
        ]


async def _nothing() -> AsyncIterator[Sequence[Event]]:
    return
    yield
