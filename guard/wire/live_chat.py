"""A chat answer that can be steered while it runs: llama.cpp names the answer in every chunk, and takes the name back
with an order (`POST /v1/chat/completions/control`)."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from guard.events import Event
from guard.wire.chat_decode import ChatDecoder
from guard.wire.errors import UpstreamError
from guard.wire.jsontext import parse_object
from guard.wire.sse import SseEvent
from guard.wire.think import ThinkStart

LONGEST_ID: Final = 200


class LiveChatDecoder(ChatDecoder):
    """A `ChatDecoder` that keeps the answer's name."""

    def __init__(self, start: ThinkStart, choices: int = 1, allow: Set[str] = frozenset()) -> None:
        super().__init__(start, choices, allow)
        self.answer_id = ""
        """Upstream's name for the answer, once it has given it."""

    def feed(self, event: SseEvent) -> list[Event]:
        if not self.answer_id:
            self.answer_id = _id(event.data)
        return super().feed(event)


def _id(data: bytes) -> str:
    try:
        found = parse_object(data).get("id")
    except UpstreamError:
        return ""
    return found if isinstance(found, str) and len(found) <= LONGEST_ID else ""
