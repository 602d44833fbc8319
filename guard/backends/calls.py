"""Which request an upstream is sent for a model request, and how its answer is read.

first request ──────────────────────────────────────────────► the client's own, on its own endpoint
continuation ─┬─ nothing kept ───────────────────────────────► the same again, with other sampling
              ├─ of a text completion ───────────────────────► its prompt and what it said
              ├─ only the chat API understands it, or that
              │  is the upstream's way (SGLang) ─────────────► the chat, with what it said as last message
              └─ else ───────────────────────────────────────► the rendered prompt and what it said
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, Final

from guard.backends.base import Continuation, ModelRequest
from guard.backends.client import UpstreamClient
from guard.backends.continuation import (
    cannot_continue,
    chat_again,
    completion_again,
    raw_again,
    same_again,
    starts_over,
)
from guard.backends.dialects import Dialect, Prefill, Raw
from guard.backends.render import render_prompt
from guard.backends.templates import ChatTemplate
from guard.contract import Channel
from guard.wire.chat_decode import ChatDecoder
from guard.wire.completions import CompletionsDecoder
from guard.wire.live_chat import LiveChatDecoder
from guard.wire.raw_streams import OllamaDecoder, TgiDecoder
from guard.wire.think import ThinkStart

EVENT_STREAM: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"
_STREAMED: Final[Mapping[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True, slots=True)
class Call:
    """One request and its reader. The body asks for a stream, whatever the client asked for."""

    url: str
    body: Mapping[str, Any]
    decoder: ChatDecoder
    kind: str = EVENT_STREAM
    """The media type of the stream that is expected."""
    content_only: bool = False
    """The thinking is closed already: what the server calls reasoning, because its parser did not see that, is not."""


def first_call(
    client: UpstreamClient, dialect: Dialect, request: ModelRequest, start: ThinkStart, allow: Set[str]
) -> Call:
    """The client's own request."""
    choices = int(request.body.get("n") or 1)
    body = {**request.body, **_STREAMED}
    if request.route == "completions":
        return Call(f"{client.base}/completions", body, CompletionsDecoder(choices=choices, allow=allow))
    live = dialect.control and request.body.get("reasoning_control") is True
    decoder = (LiveChatDecoder if live else ChatDecoder)(start, choices, allow)
    return Call(f"{client.base}/chat/completions", body, decoder)


async def continued_call(
    client: UpstreamClient,
    dialect: Dialect,
    request: ModelRequest,
    continuation: Continuation,
    start: ThinkStart,
    allow: Set[str],
    template: ChatTemplate | None,
) -> Call:
    """The request that goes on with an answer. `start` is where the model's output begins. Raises `UpstreamError`
    (`repair_unsupported`) where the dialect has no way to ask for it, and what rendering the prompt raises."""
    if starts_over(continuation):
        return first_call(client, dialect, replace(request, body=same_again(request, continuation)), start, allow)
    inside = continuation.channel is Channel.REASONING
    goes_on = ThinkStart.REASONING if inside else ThinkStart.CONTENT
    if request.route == "completions":
        body = completion_again(dialect, request, continuation)
        return Call(f"{client.base}/completions", {**body, **_STREAMED}, CompletionsDecoder(allow=allow))
    if dialect.prefill is not None and (request.chat_only or dialect.prefill is Prefill.FOLLOWS):
        body = chat_again(dialect, request, continuation, start)
        decoder = ChatDecoder(goes_on, allow=allow)
        return Call(f"{client.base}/chat/completions", {**body, **_STREAMED}, decoder, content_only=not inside)
    if dialect.raw is None or request.chat_only:
        raise cannot_continue("this model server offers no way to")
    body = raw_again(dialect, request, continuation, await render_prompt(client, dialect, request, template))
    if dialect.raw is Raw.GENERATE:
        return Call(client.root + dialect.raw, body, OllamaDecoder(goes_on), LINES)
    if dialect.raw is Raw.GENERATE_STREAM:
        return Call(client.root + dialect.raw, body, TgiDecoder(goes_on))
    streamed = _STREAMED if dialect.usage_option else {"stream": True}
    return Call(client.base + dialect.raw, {**body, **streamed}, CompletionsDecoder(goes_on, allow=allow))
