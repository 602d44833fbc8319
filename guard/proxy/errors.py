"""The one place where errors become HTTP: OpenAI-shaped bodies, statuses that clients do not misread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from guard.events import FailStream, Intervention
from guard.observe.audit import UNAVAILABLE
from guard.wire.errors import RequestError, UpstreamError

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

_RETRY_AFTER: Final = re.compile(r"\d{1,9}|[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
"""Seconds or an HTTP date (RFC 9110, 10.2.3): what comes from upstream is not trusted to be a header."""


class PromptBlocked(RequestError):
    """A rule cut the prompt, and the policy says so by an error. `message` is the rule's notice."""

    def __init__(self, message: str, intervention: Intervention | None, *, param: str | None = None) -> None:
        super().__init__(message, code="content_filter", param=param)
        self.intervention = intervention


def error_body(
    message: str,
    *,
    type: str,
    code: str | None,
    param: str | None = None,
    intervention: Intervention | None = None,
) -> bytes:
    """The body every OpenAI client knows how to read; with `intervention` it also says which rule spoke."""
    error: dict[str, object] = {"message": message, "type": type, "param": param, "code": code}
    if intervention is not None:
        error["guard"] = intervention._asdict()
    return msgspec.json.encode({"error": error})


def error_response(error: RequestError | UpstreamError, headers: Mapping[str, str]) -> Response:
    """The answer to a request that ended before anything was sent."""
    extra = dict(headers)
    if isinstance(error, RequestError):
        kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
        told = error.intervention if isinstance(error, PromptBlocked) else None
        body = error_body(error.message, type=kind, code=error.code, param=error.param, intervention=told)
        if error.status == 503:
            extra["retry-after"] = "1"
    else:
        kind = "upstream_error" if error.status >= 500 else _TYPES.get(error.status, "invalid_request_error")
        body = error_body(error.message, type=kind, code=error.code)
        if error.retry_after and _RETRY_AFTER.fullmatch(error.retry_after):
            extra["retry-after"] = error.retry_after
    return Response(body, status_code=error.status, media_type="application/json", headers=extra)


def failure(command: FailStream) -> RequestError | UpstreamError:
    """The error for a stream that failed before its client was sent anything: half an answer is none."""
    if command.code == "deadline_shutdown":
        return RequestError(command.message, status=503, code="shutting_down")
    if command.code == UNAVAILABLE:
        return RequestError(command.message, status=503, code=UNAVAILABLE)
    return UpstreamError(
        command.message, code=command.code, status=504 if command.code.startswith("deadline_") else 502
    )
