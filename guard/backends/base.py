"""What every backend promises.

    async with backend.stream(request) as model:      # raises UpstreamError; nothing has been generated for the client
        async for events in model.events:             # what one read brought; raises UpstreamError mid-stream
            ...

Leaving the block, for whatever reason, cancels upstream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from guard.contract import Channel
from guard.events import Event
from guard.policy.schema import Script as Script
from guard.wire.errors import UpstreamError as UpstreamError


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond streaming one answer."""

    repairs: frozenset[str] = frozenset()
    """Which of `conclude`, `resample`, `hand_over` it can carry out; a policy's repair falls back to its cut else."""
    chat_repairs: frozenset[str] = frozenset()
    """Those of them that it can also carry out for requests with tools, `response_format` or images, which only the
    chat API understands."""
    embeddings: bool = False


@dataclass(frozen=True, slots=True)
class Continuation:
    """What is kept of an answer that went wrong, and how the model goes on from it. The events of a continued request
    are those of the continuation only: nothing of what is kept comes again."""

    how: Literal["conclude", "resample", "hand_over"]
    channel: Channel
    """Where the model goes on: `reasoning`, inside its thinking; `content`, with the thinking closed (always so for
    `conclude`)."""
    reasoning: str = ""
    """The clean thinking, without tags."""
    content: str = ""
    """The answer so far, exactly as the client has it."""
    phrase: str = ""
    """Ends the thinking in the model's own voice, before it is closed (`conclude`)."""
    instruction: str = ""
    """Added to the system's instructions."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Fields of the request that change: `temperature`, `top_p`, ..."""
    max_tokens: int | None = None
    """Longest continuation, in tokens."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a model in this process is kept from writing. Nobody else's decoding can be reached."""

    ban_scripts: frozenset[Script] = frozenset()
    break_cycles: bool = False


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request, after review of its prompt. `body` is the JSON object to send; backends set `stream` themselves."""

    route: Literal["chat", "completions"]
    body: Mapping[str, Any]
    model: str = ""
    """As the client named it; empty if it did not."""
    authorization: str | None = None
    """The client's credentials, present only under `auth: pass_through`."""
    request_id: str = ""
    continuation: Continuation | None = None
    """Set for the second and later requests of one answer, after a repair."""
    answered_by: str = ""
    """With a continuation: the configured name of the backend whose answer is continued."""

    decoding: Decoding | None = None
    """As the policy says; heeded by in-process models only."""
    trace_context: Mapping[str, str] = field(default_factory=dict)
    """Headers that join upstream's work to the request's trace (W3C Trace Context), where it is traced."""

    @property
    def chat_only(self) -> bool:
        """Only the chat API understands it: see `needs_chat`."""
        return self.route == "chat" and needs_chat(self.body)


def needs_chat(body: Mapping[str, Any]) -> bool:
    """Does a chat request hold what no rendered prompt can carry: tools, a response format, or parts that are no text?

    `body` has been checked by `guard.proxy.requests`: its messages are objects.
    """
    wanted = body.get("response_format")
    if body.get("tools") or body.get("functions") or (isinstance(wanted, Mapping) and wanted.get("type") != "text"):
        return True
    return any(_needs_chat(message) for message in body.get("messages", ()))


def _needs_chat(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return bool(message.get("tool_calls")) or any(not isinstance(part.get("text"), str) for part in parts)


@dataclass(slots=True)
class ModelStream:
    """An accepted request. `dropped` and `reasoning_field` grow as upstream is read."""

    backend: str
    """The configured name of who answers."""
    events: AsyncIterator[Sequence[Event]]
    dropped: Counter[str] = field(default_factory=Counter)
    """Fields of upstream's events that are not forwarded, by name (known names, else `other`)."""
    allowed: Mapping[str, Any] = field(default_factory=dict)
    """Fields of upstream's events that an operator lets through unreviewed, as they last came."""
    reasoning_field: str = ""
    """How upstream spells reasoning, once it has: `reasoning` or `reasoning_content`."""
    end_thinking: Callable[[], Awaitable[bool]] | None = None
    """Where upstream can be told to end the thinking of this very answer: call it, and if it says true, drop reasoning
    that still comes and read on. It never raises `UpstreamError`."""


class Backend(Protocol):
    """A source of events. Safe for any number of streams at a time."""

    name: str

    @property
    def capabilities(self) -> Capabilities:
        """May grow while the backend learns what its upstream can do."""
        ...

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[ModelStream]:
        """Open `request`. Entering raises `UpstreamError` if it is refused or cannot be delivered."""
        ...

    async def models(self) -> Sequence[str]:
        """Names of the models it serves. Raises `UpstreamError`."""
        ...

    async def aclose(self) -> None:
        """Close connections and threads; running streams end with `UpstreamError`."""
        ...
