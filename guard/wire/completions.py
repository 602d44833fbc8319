"""Text completions (`/v1/completions`): their objects are chat chunks with `text` where the delta would be.

All text of a choice is one content lane, unless the caller knows that the prompt ends inside a thinking. Their
log probabilities have a form of their own; they are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, ClassVar

from guard.contract import Lane
from guard.events import Logprob, SendToolCall
from guard.wire.chat_decode import ChatDecoder
from guard.wire.chat_encode import ChatEncoder
from guard.wire.jsontext import parse_object
from guard.wire.think import ThinkStart


class CompletionsDecoder(ChatDecoder):
    """A `ChatDecoder` for text completions; `end`, `feed_whole` and the attributes are the same."""

    _where: ClassVar = "text"
    _whole_choice: ClassVar = "text"

    def __init__(self, start: ThinkStart = ThinkStart.CONTENT, choices: int = 1, allow: Set[str] = frozenset()) -> None:
        super().__init__(start, choices, allow)

    def _read(self, data: bytes) -> dict[str, Any]:
        return parse_object(data)


class CompletionsEncoder(ChatEncoder):
    """A `ChatEncoder` for text completions. Text of every lane leaves as `text`; there are no tool calls."""

    _object: ClassVar = "text_completion"

    def _open(self, choice: int) -> bytes:
        return b""

    def _text(self, lane: Lane, text: str, logprobs: Sequence[Logprob]) -> bytes:
        return self._chunk(lane.choice, {"text": text, "logprobs": None})

    def _tool_call(self, command: SendToolCall) -> bytes:
        return b""

    def _finish_content(self) -> dict[str, Any]:
        return {"text": "", "logprobs": None}
