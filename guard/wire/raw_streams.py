"""Answers to a raw prompt as Ollama and TGI stream them, made into chat chunks and read like those.

    Ollama, lines of JSON:   {"response": " text", "done": false} … {"done": true, "done_reason": "stop", …}
    TGI, server-sent events: {"token": {"text": " text", "special": false}} … {"generated_text": …, "details": {…}}

Neither has an end mark: the last object says that it is the last.
"""

from __future__ import annotations

from typing import Any, Final

from guard.events import Event
from guard.wire.chat_decode import ChatDecoder
from guard.wire.chunks import ChoiceChunk, Chunk, Delta, UsageChunk
from guard.wire.errors import unreadable
from guard.wire.jsontext import parse_object
from guard.wire.sse import MIB, SseEvent
from guard.wire.think import ThinkStart


class LinesDecoder:
    """Newline-delimited JSON, in pieces of any size. Caps are bytes. A line without its end is never given."""

    def __init__(self, max_line: int = MIB, max_total: int = 64 * MIB) -> None:
        self._max_line = max_line
        self._room = max_total
        self._tail = b""

    def feed(self, data: bytes) -> list[SseEvent]:
        """The lines that `data` completes. Raises `UpstreamError` (`upstream_protocol`) past a cap."""
        self._room -= len(data)
        *lines, self._tail = (self._tail + data).split(b"\n")
        if self._room < 0 or max(map(len, (*lines, self._tail))) > self._max_line:
            raise unreadable("a line of the stream, or all of it, is too long")
        return [SseEvent("message", line) for line in lines if line.strip()]


class _RawDecoder(ChatDecoder):
    """Says `done` at the object that is the last."""

    def __init__(self, start: ThinkStart) -> None:
        super().__init__(start)
        self._last = False

    def feed(self, event: SseEvent) -> list[Event]:
        events = super().feed(event)
        if self._last and not self.done:
            self.done = True
            events += self.end()
        return events

    def _chunk(self, text: Any, reason: Any, prompt: Any, completion: Any, *, last: bool) -> Chunk:
        self._last = last
        choice = ChoiceChunk(delta=Delta(content=_text(text)), finish_reason=_text(reason) or None)
        usage = UsageChunk(prompt_tokens=_count(prompt), completion_tokens=_count(completion)) if last else None
        return Chunk(choices=[choice], usage=usage)


class OllamaDecoder(_RawDecoder):
    """`/api/generate`. An object that ends the stream without a `done_reason` says that the connection to the model
    broke: no finish is made of it."""

    def _read(self, data: bytes) -> Chunk | dict[str, Any]:
        body = parse_object(data)
        if body.get("error"):
            return body
        if body.get("thinking"):
            self.dropped["thinking"] += 1
        counts = body.get("prompt_eval_count"), body.get("eval_count")
        return self._chunk(body.get("response"), body.get("done_reason"), *counts, last=body.get("done") is True)


class TgiDecoder(_RawDecoder):
    """`/generate_stream`. Special tokens, such as the end of the turn, are no text."""

    def _read(self, data: bytes) -> Chunk | dict[str, Any]:
        body = parse_object(data)
        if body.get("error"):
            return body
        token, details = _object(body.get("token")), _object(body.get("details"))
        text = "" if token.get("special") is True and token.get("text") not in _TAGS else token.get("text")
        counts = details.get("input_length"), details.get("generated_tokens")
        last = body.get("generated_text") is not None
        return self._chunk(text, details.get("finish_reason") if last else None, *counts, last=last)


_TAGS: Final = ("<think>", "</think>")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise unreadable("a piece of the answer is no text")
    return value or ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= 1 << 53 and not isinstance(value, bool) else None
