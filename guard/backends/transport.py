"""One HTTP client for all requests to an upstream, and what its errors mean.

It runs on aiohttp's transport: httpcore's pool costs 2.5 times the CPU per event and slows with every idle connection.
Nothing of the environment (proxies, netrc) is trusted, redirects are not followed, and cookies are forgotten: they
would join one client's session to another's request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Final

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from guard.wire.errors import UpstreamError, unreadable

IDLE_SECONDS: Final = 3.0
"""How long an idle connection is kept: less than the five seconds after which uvicorn (vLLM, SGLang) closes it, so that
a request does not meet the closing."""
BROKEN: Final = (httpx.HTTPError, aiohttp.ClientError, HttpProcessingError)
"""All that the client raises for a connection; the transport leaves some of aiohttp's errors as they are."""

_went_out: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


class Attempt:
    """One try of a request. `reused` turns true if it went out on a connection that had been used before."""

    reused = False

    def went_stale(self, error: Exception) -> bool:
        """The server had closed the idle connection that the request was about to use: it never saw the request."""
        cause = error.__cause__ or error
        lost = isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        return self.reused and lost and not isinstance(cause, aiohttp.ClientConnectorError)


@contextmanager
def attempt() -> Iterator[Attempt]:
    """Watch the request that is sent in the block."""
    tried = Attempt()
    token = _went_out.set(tried)
    try:
        yield tried
    finally:
        _went_out.reset(token)


async def _reused(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    tried = _went_out.get()
    if tried is not None:
        tried.reused = True


def open_client(connect_timeout: float, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client without a limit of connections. Connecting is the only thing it limits the time of, in seconds."""
    return httpx.AsyncClient(
        transport=transport or _transport(),
        timeout=httpx.Timeout(None, connect=connect_timeout),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        headers={"accept-encoding": "identity", "user-agent": "qwq-guard"},
    )


def not_answered(error: Exception, name: str, base: str) -> UpstreamError:
    """Why the upstream `name` at `base` did not answer, where `error` is one of `BROKEN`.

    The transport's own cause is asked: its mapping calls a refusal a timeout.
    """
    cause = error.__cause__ or error
    match cause:
        case aiohttp.ServerTimeoutError():
            message = f"`{name}` did not accept a connection at {base} in time."
            return UpstreamError(message, code="upstream_timeout", status=504)
        case aiohttp.ClientSSLError():
            message = f"`{name}` cannot be reached at {base}: TLS failed. Does it speak https with a valid certificate?"
            return UpstreamError(message, code="upstream_unreachable")
        case aiohttp.ClientConnectorError() | httpx.ConnectError():
            message = f"`{name}` cannot be reached at {base}. Is it running?"
            return UpstreamError(message, code="upstream_unreachable")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return unreadable("it is not HTTP, or broken HTTP")
        case _:
            return UpstreamError(f"`{name}` hung up without an answer.", code="upstream_reset")


def broken_off(name: str) -> UpstreamError:
    """The connection to the upstream `name` broke after its answer had begun."""
    return UpstreamError(f"The connection to `{name}` broke in mid-answer.", code="upstream_reset")


def _transport() -> AiohttpTransport:
    transport = AiohttpTransport(trust_env=False)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS, ssl=transport.ssl_context)
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_reused)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, trace_configs=[trace]
        )

    transport.client = session
    return transport
