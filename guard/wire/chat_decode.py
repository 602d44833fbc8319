"""Chat completions from an upstream, events to the engine: a whole answer or a stream of chunks.

SseEvent ─► Chunk ─┬─ failure?  ─► UpstreamFailed (whatever follows is ignored)
                   ├─ choices[] ─► ChoiceReader per index
                   └─ usage     ─► UsageReported
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from typing import Any, ClassVar, Final

from guard.events import Event, UpstreamFailed, Usage, UsageReported
from guard.wire.choice import ChoiceReader
from guard.wire.chunks import Chunk, UsageChunk, read_chat_chunk, take_apart
from guard.wire.errors import UpstreamError
from guard.wire.failures import failed, find_failure
from guard.wire.jsontext import parse_object
from guard.wire.sse import SseEvent
from guard.wire.think import ThinkStart

_DONE: Final = b"[DONE]"


class ChatDecoder:
    """Decodes one answer of at most `choices` choices, whose inline thinking begins at `start`.

    `allow` names top-level fields that an operator wants forwarded although nothing reviews them; the last value of
    each is in `allowed`. Naming any costs the fast road.

    The end of the connection is not its business: it never makes an `UpstreamEnded`.
    """

    _where: ClassVar = "delta"
    """The field of a choice that holds a piece of the text."""
    _whole_choice: ClassVar = "message"
    """The field of a choice that holds the text of a whole answer."""

    def __init__(self, start: ThinkStart, choices: int = 1, allow: Set[str] = frozenset()) -> None:
        self.dropped: Counter[str] = Counter()
        """What is not forwarded, under the names of `guard.wire.chunks.COUNTED`."""
        self.reasoning_field = ""
        """How upstream spells reasoning, once it has: `reasoning` or `reasoning_content`."""
        self.done = False
        """The end mark was read; whatever follows is ignored."""
        self.allowed: dict[str, Any] = {}
        """Values of the fields named by `allow`, as they last came."""
        self._allow = allow
        self._failed = False
        self._start = start
        self._most = choices
        self._choices: dict[int, ChoiceReader] = {}

    def feed(self, event: SseEvent) -> list[Event]:
        """The events that one event of the stream makes.

        Raises `UpstreamError` (`upstream_protocol`), and nothing else, for what cannot be read.
        """
        if self.done or self._failed:
            return []
        if event.data.strip() == _DONE:
            self.done = True
            return self.end()
        if event.event == "error":
            return self._fail(_named_failure(event.data))
        chunk = parse_object(event.data) if self._allow else self._read(event.data)
        if not isinstance(chunk, Chunk):
            failure = find_failure(chunk)
            if failure is not None:
                return self._fail(failure)
            self._keep_allowed(chunk)
            chunk = take_apart(chunk, self.dropped, self._where, self._allow)
        return self._events(chunk)

    def feed_whole(self, body: bytes) -> list[Event]:
        """The events of an upstream that answered a request for a stream with one JSON object."""
        parsed = parse_object(body)
        failure = find_failure(parsed)
        if failure is not None:
            return self._fail(failure)
        self._keep_allowed(parsed)
        events = self._events(take_apart(parsed, self.dropped, self._whole_choice, self._allow))
        return events + self.end()

    def end(self) -> list[Event]:
        """Nothing more will come: the text that was held back because it might have become a tag."""
        if self._failed:
            return []
        return [event for reader in self._choices.values() for event in reader.end()]

    def _read(self, data: bytes) -> Chunk | dict[str, Any]:
        return read_chat_chunk(data)

    def _keep_allowed(self, body: Mapping[str, Any]) -> None:
        for name in self._allow & body.keys():
            if body[name] is not None:
                self.allowed[name] = body[name]

    def _events(self, chunk: Chunk) -> list[Event]:
        events: list[Event] = []
        for choice in chunk.choices:
            reader = self._choices.get(choice.index)
            if reader is None:
                if not 0 <= choice.index < self._most:
                    self.dropped["choice_out_of_range"] += 1
                    continue
                reader = self._choices[choice.index] = ChoiceReader(choice.index, self._start, self.dropped)
            delta = choice.delta
            if delta is not None and not self.reasoning_field and (delta.reasoning or delta.reasoning_content):
                self.reasoning_field = "reasoning_content" if delta.reasoning_content else "reasoning"
            events += reader.read(choice, self.reasoning_field)
            if reader.aborted:
                return events + self._fail(failed("upstream_aborted"))
        if chunk.usage is not None:
            events.append(UsageReported(_usage(chunk.usage)))
        return events

    def _fail(self, failure: UpstreamFailed) -> list[Event]:
        held = self.end()
        self._failed = True
        return [*held, failure]


def _named_failure(data: bytes) -> UpstreamFailed:
    """The failure in an event called `error`, readable or not."""
    try:
        return find_failure(parse_object(data), named=True) or failed("server_error")
    except UpstreamError:
        return failed("server_error")


def _usage(usage: UsageChunk) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    thought = completion.reasoning_tokens if completion is not None else None
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        reasoning_tokens=usage.reasoning_tokens if thought is None else thought,
        cached_tokens=prompt.cached_tokens if prompt is not None else None,
    )


def decode_completion(body: bytes, decoder: ChatDecoder | None = None) -> list[Event]:
    """The events of a whole JSON answer, read by `decoder` (by default for one choice, thinking found by its tag)."""
    return (decoder or ChatDecoder(ThinkStart.AUTO)).feed_whole(body)
