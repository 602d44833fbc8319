"""The two errors that stand at the edges: what a client did, and what an upstream did.

Each is mapped to HTTP in one place, `guard.proxy.errors`.
"""

from __future__ import annotations


class RequestError(Exception):
    """The client's request cannot be served as it is. `message` says what to change.

    `param` names the field of the body, `code` is a word for programs.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None):
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param


class UpstreamError(Exception):
    """The upstream could not be reached, refused, or spoke something we cannot read.

    `status` is what a client is answered if nothing has been sent yet; `message` is the guard's own sentence, or for
    a refused request (4xx) upstream's, shortened. `retry` tells whether another backend may be tried instead.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "upstream_error",
        status: int = 502,
        retry: bool = True,
        retry_after: str | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retry = retry
        self.retry_after = retry_after


def unreadable(what: str) -> UpstreamError:
    """The upstream spoke, but not the protocol. `what` is ours and quotes nothing of what was received."""
    return UpstreamError(f"The model server's answer cannot be read: {what}.", code="upstream_protocol")
