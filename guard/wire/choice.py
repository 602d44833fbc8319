"""One choice of an upstream's answer: its deltas to events, in the order in which a reader would see them.

    ChoiceOpened ─► reasoning ─► content ─► refusal ─► tool calls ─► … ─► ChoiceFinished (whatever follows is ignored)

Content runs through a `ThinkSplitter`, unless reasoning comes in a field of its own first: then upstream separates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from guard.contract import REFUSAL, Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, Logprob, TextReceived
from guard.wire.chunks import ChoiceChunk, Delta, TokenLogprob, TopLogprob
from guard.wire.think import ThinkSplitter, ThinkStart
from guard.wire.tool_calls import ToolCallReader

ABORTED: Final = frozenset({"abort", "aborted", "cancelled", "error", "insufficient_system_resource"})
"""Finish reasons that mean that the answer is not whole for a reason of the server's."""

FINISH_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{word: word for word in ("stop", "length", "tool_calls", "content_filter", "function_call")},
        "end_turn": "stop",
        "eos": "stop",
        "eos_token": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "model_length": "length",
        "repetition": "length",
        "safety": "content_filter",
        "sensitive": "content_filter",
        "tool_use": "tool_calls",
    }
)
"""Upstream's words, lower-cased, and OpenAI's; any other word is `stop`."""

_MOST_WAITING: Final = 1_024
"""Log probabilities kept while the text they belong to is held back; that text is shorter."""


class ChoiceReader:
    """Reads the chunks of one choice. `dropped` is shared with the stream's other readers."""

    __slots__ = ("_dropped", "_index", "_opened", "_splitter", "_tools", "_waiting", "aborted", "finished")

    def __init__(self, index: int, start: ThinkStart, dropped: Counter[str]) -> None:
        self._index = index
        self._dropped = dropped
        self._splitter = ThinkSplitter(start)
        self._tools = ToolCallReader(index, dropped)
        self._waiting: tuple[Logprob, ...] = ()
        self._opened = False
        self.finished = False
        self.aborted = False
        """Upstream gave one of `ABORTED` as its reason to finish."""

    def read(self, choice: ChoiceChunk, reasoning_field: str = "") -> list[Event]:
        """The events of one chunk. `reasoning_field` is the one to take where a delta carries two."""
        events: list[Event] = []
        if self.finished:
            delta = choice.delta
            if delta is not None and (delta.content or delta.reasoning or delta.reasoning_content or delta.tool_calls):
                self._dropped["after_finish"] += 1
            return events
        if not self._opened:
            self._opened = True
            events.append(ChoiceOpened(self._index))
        if choice.delta is not None:
            self._read_delta(choice.delta, choice, reasoning_field, events)
        if choice.finish_reason:
            events += self.end()
            self.finished = True
            reason = choice.finish_reason.lower()
            self.aborted = reason in ABORTED
            if not self.aborted:
                events.append(self._finish(reason, choice))
        return events

    def end(self) -> list[Event]:
        """Text that was held back because it might have become a tag."""
        return self._text(self._splitter.flush())

    def _read_delta(self, delta: Delta, choice: ChoiceChunk, reasoning_field: str, events: list[Event]) -> None:
        logprobs = choice.logprobs
        tokens = _logprobs(logprobs.content) if logprobs is not None and logprobs.content else ()
        reasoning = self._reasoning(delta, reasoning_field)
        if reasoning:
            events += self.end()
            if self._splitter.undecided:
                self._splitter = ThinkSplitter(ThinkStart.NATIVE)
            own, tokens = ((), tokens) if delta.content else (tokens, ())
            events.append(TextReceived(Lane(self._index, Channel.REASONING), reasoning, own))
        if tokens:
            self._wait(tokens, delta)
        if delta.content:
            events += self._text(self._splitter.feed(delta.content))
        if delta.refusal:
            refused = _logprobs(logprobs.refusal) if logprobs is not None and logprobs.refusal else ()
            events.append(TextReceived(Lane(self._index, Channel.CONTENT, REFUSAL), delta.refusal, refused))
        if delta.tool_calls:
            events += self.end()
            for call in delta.tool_calls:
                events += self._tools.read(call)

    def _reasoning(self, delta: Delta, preferred: str) -> str | None:
        one, other = delta.reasoning_content, delta.reasoning
        if not (one and other):
            return one or other
        if one != other:
            self._dropped["reasoning_content" if preferred == "reasoning" else "reasoning"] += 1
        return other if preferred == "reasoning" else one

    def _wait(self, tokens: tuple[Logprob, ...], delta: Delta) -> None:
        if delta.tool_calls or len(self._waiting) + len(tokens) > _MOST_WAITING:
            self._dropped["logprobs"] += 1
        else:
            self._waiting += tokens

    def _text(self, pieces: Sequence[tuple[Channel, str]]) -> list[Event]:
        events: list[Event] = []
        for channel, text in pieces:
            events.append(TextReceived(Lane(self._index, channel), text, self._waiting))
            self._waiting = ()
        return events

    def _finish(self, reason: str, choice: ChoiceChunk) -> ChoiceFinished:
        mapped = FINISH_REASONS.get(reason)
        if mapped is None:
            return ChoiceFinished(self._index, "stop", "other")
        words = (reason, choice.native_finish_reason, choice.stop_reason, choice.matched_stop)
        known = (word.lower() for word in words if isinstance(word, str))
        native = next((word for word in known if word != mapped and word in FINISH_REASONS), "")
        return ChoiceFinished(self._index, mapped, native)


def _logprobs(tokens: Sequence[TokenLogprob]) -> tuple[Logprob, ...]:
    return tuple(
        _logprob(token)._replace(top=tuple(_logprob(top) for top in token.top_logprobs or ())) for token in tokens
    )


def _logprob(token: TopLogprob) -> Logprob:
    return Logprob(token.token, token.logprob, None if token.bytes is None else tuple(token.bytes))
