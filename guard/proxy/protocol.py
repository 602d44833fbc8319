"""HTTP/1.1 on one connection: what the parser lets pass and proxies in front may read otherwise is refused.

    connected --first byte--> head --complete--> checked --> the app
        '------- 10 s --------'|  '-- 32 KiB, 100 fields, one Host, chunked or nothing --> 4xx, closed
                               '-- too slow --> 408, closed

The parser (llhttp) itself refuses two lengths, a length beside chunks, folded and half-ended lines. It bounds neither
the size of a head nor the time it takes, and takes any number of `Host` (RFC 9112, 3.2 and 6.1).
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from guard.proxy.errors import error_body

HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 32_768
HEAD_FIELDS: Final = 100
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _in_head = False
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _refusal: tuple[HTTPStatus, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._start_timer()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        self._refusal = self._wrong()
        if self._refusal is not None:
            raise ValueError(self._refusal[1])  # the parser stops, and asks for a 400
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._stop_timer()
        status, why = self._refusal or (HTTPStatus.BAD_REQUEST, f"This is no HTTP/1.1 that is read here. {msg}")
        self._refuse(status, why)

    def _wrong(self) -> tuple[HTTPStatus, str] | None:
        """Why this head is not taken."""
        if len(self.headers) > HEAD_FIELDS or sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            return HTTPStatus.BAD_REQUEST, f"The request has {len(hosts)} `Host` headers; send one."
        if hosts and not _HOST.fullmatch(hosts[0]):
            return HTTPStatus.BAD_REQUEST, "The `Host` header is no host name with a port."
        if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in self.headers):
            return (
                HTTPStatus.NOT_IMPLEMENTED,
                "This transfer encoding is not read here; send the body plain or chunked.",
            )
        if self.parser.should_upgrade() and self.parser.get_method() not in (b"GET", b"HEAD"):
            why = "The request asks for another protocol (`Upgrade`), with which its body is lost; leave that out"
            return HTTPStatus.BAD_REQUEST, f"{why} (in Java: `HttpClient.Version.HTTP_1_1`)."
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._in_head = False
        body = error_body(why, type="invalid_request_error", code="invalid_http")
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self.transport.is_closing() or (self.cycle is not None and not self.cycle.response_complete):
            return  # what comes after a request that is being answered may take its time
        if self._in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The head did not arrive within {HEAD_SECONDS:g} seconds.")
        else:
            self.transport.close()


_TOO_LARGE: Final = f"The head is larger than {HEAD_BYTES} bytes or has more than {HEAD_FIELDS} fields."
