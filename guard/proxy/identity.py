"""What a request is called: by its client or the proxy in front, and by the guard.

    request_id    `x-request-id` of a client or a proxy in front, kept if well-formed; may repeat: clients choose it
    stream_id     the guard's own; never repeats
    trace_id      of the request's trace, where it is traced

Logs, audit and traces carry both. Upstream is given the guard's own as its `x-request-id`: an inference server may use
it as the key of a running generation, where a client could else name another client's.
"""

from __future__ import annotations

import re
import uuid
from typing import Final, NamedTuple

from starlette.datastructures import Headers

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)
"""What is taken as a request id: the UUIDs of Envoy, the hexadecimal ones of nginx, and the like. Nothing else, so that
no line break, quote or escape sequence can come along."""


class Identity(NamedTuple):
    """The names of one request."""

    request_id: str
    stream_id: str
    trace_id: str = ""

    def told(self) -> dict[str, str]:
        """The names there are, for logs and the audit."""
        return {name: value for name, value in self._asdict().items() if value}


def identify(headers: Headers, *, accept: bool = True) -> Identity:
    """The names of a request with these headers. Unless `accept`, or where its id is malformed, missing or given twice,
    the guard's own stands for the client's."""
    stream_id = uuid.uuid4().hex
    given = headers.getlist("x-request-id") if accept else ()
    if len(given) == 1 and REQUEST_ID.fullmatch(given[0]):
        return Identity(given[0], stream_id)
    return Identity(stream_id, stream_id)
