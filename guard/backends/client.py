"""Requests to one upstream: its address, the credentials, what is an answer at all, and when to give up.

Upstream comes from configuration only. Redirects are not followed, and compressed answers are refused, because a few
kilobytes can hide gigabytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import httpx
import msgspec

from guard.backends.base import UpstreamError
from guard.backends.transport import BROKEN, attempt, broken_off, not_answered, open_client
from guard.wire.failures import upstream_refusal
from guard.wire.jsontext import parse_object

MAX_ERROR_BODY: Final = 64 * 1024
MAX_JSON_BODY: Final = 64 * 1024 * 1024
MOST_TRIES: Final = 4
"""Of a request, while all that happens is that the server has closed the idle connection it was to go out on."""


class UpstreamClient:
    """`url` is the API's base, with or without `/v1`. `auth` is `replace` (send `api_key`) or `pass_through` (send the
    client's credentials). `connect_timeout` is in seconds."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        api_key: str | None = None,
        auth: Literal["replace", "pass_through"] = "replace",
        connect_timeout: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.base = url.rstrip("/") if re.search(r"/v\d+/?$", url) else url.rstrip("/") + "/v1"
        """Where the OpenAI-compatible paths begin."""
        self.root = re.sub(r"/v\d+$", "", self.base)
        """Where the server's own paths begin."""
        self._api_key = api_key
        self._auth = auth
        self._open: set[asyncio.Timeout] = set()
        self._closed = False
        self._client = open_client(connect_timeout, transport)

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        *,
        authorization: str | None = None,
        request_id: str = "",
        trace_context: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A readable response (200, plain), closed with the block; the block ends after `seconds`, or when the client
        is closed. Raises `UpstreamError`."""
        if self._closed:
            raise self._shut_down()
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self._open.add(scope)
                response = await self._send(method, url, body, authorization, request_id, trace_context or {})
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
            path = url.removeprefix(self.base).removeprefix(self.root)
            message = f"`{self.name}` did not answer {path} in {seconds:g} seconds."
            raise UpstreamError(message, code="upstream_timeout", status=504) from error
        finally:
            self._open.discard(scope)

    async def read(self, response: httpx.Response, limit: int = MAX_JSON_BODY, *, strict: bool = True) -> bytes:
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

    async def json(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        *,
        seconds: float,
        limit: int = MAX_JSON_BODY,
        authorization: str | None = None,
        request_id: str = "",
    ) -> dict[str, Any]:
        """The JSON object that a small request is answered with. Raises `UpstreamError`."""
        options: dict[str, Any] = {"authorization": authorization, "request_id": request_id, "seconds": seconds}
        async with self.answer(method, url, body, **options) as response:
            return parse_object(await self.read(response, limit))

    async def aclose(self) -> None:
        """Close connections; what is being read ends with `UpstreamError`."""
        self._closed = True
        while self._open:
            self._open.pop().reschedule(0.0)
        await self._client.aclose()

    # --- inside

    def _shut_down(self) -> UpstreamError:
        return UpstreamError(f"The connection to `{self.name}` has been shut down.", code="shut_down", status=503)

    async def _send(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None,
        authorization: str | None,
        request_id: str,
        trace_context: Mapping[str, str],
    ) -> httpx.Response:
        headers = {**trace_context, "accept": "text/event-stream, application/json"}
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
        request = self._client.build_request(method, url, content=content, headers=headers)
        for number in range(MOST_TRIES):
            with attempt() as tried:
                try:
                    return await self._client.send(request, stream=True)
                except BROKEN as error:
                    # llama.cpp closes a connection after a stream without having said that it would.
                    if not tried.went_stale(error) or number == MOST_TRIES - 1:
                        raise not_answered(error, self.name, self.base) from error
        raise AssertionError("the last try returns or raises")

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
            body = await self.read(response, MAX_ERROR_BODY, strict=False) if plain else b""
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
