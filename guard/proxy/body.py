"""Reading a request's body: plain, of bounded size, in bounded time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from guard.wire.errors import RequestError

BODY_SECONDS = 30.0
"""For a client to send its request; a thousand slow ones would else hold a thousand connections."""


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body. Raises `RequestError` past `limit` bytes, before they are all read, or if it is encoded."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity"):
        raise RequestError(f"The body is encoded ({encoding[:20]}); send it plain.", status=415, code="encoded_body")
    too_large = RequestError(
        f"The body is larger than {limit} bytes, the most this server reads.", status=413, code="body_too_large"
    )
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for data in request.stream():
                body += data
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        message = f"The body did not arrive within {BODY_SECONDS:g} seconds."
        raise RequestError(message, status=408, code="body_too_slow") from error
    return bytes(body)
