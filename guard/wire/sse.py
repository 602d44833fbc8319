"""Server-sent events: bytes to events, incrementally, and payloads to bytes.

    feed(bytes) ──► lines ──► fields of the event being built ──► blank line: SseEvent
                    tail      data lines, event name
                    (no line end yet)

Follows "Parsing an event stream" and "Interpreting an event stream" of the WHATWG HTML standard, with three departures:
an event whose data is empty is not emitted (clients choke on it); `id` and `retry` mean nothing here; and a field
`error: …`, which old llama.cpp servers send, reads as `event: error` with that data.

It works on bytes because line splitters on text also split at U+2028, U+0085 and their like inside JSON strings.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from guard.wire.errors import UpstreamError, unreadable

MIB: Final = 1 << 20

DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": guard keep-alive\n\n"

_BOM: Final = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One dispatched event. `data` is never empty; `event` is `message` unless the stream named it."""

    event: str
    data: bytes


class SseDecoder:
    """Reads one event stream in pieces of any size; the events do not depend on how it was cut.

    All caps are bytes. Past one of them, `feed` first returns the events that were complete before, then raises.
    """

    def __init__(self, max_line: int = MIB, max_event: int = MIB, max_total: int = 64 * MIB) -> None:
        self._max_line = max_line
        self._max_event = max_event
        self._room = max_total
        self._max_total = max_total
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""
        self._at_start = True
        self._after_cr = False
        self._fault: UpstreamError | None = None

    @property
    def pending(self) -> bool:
        """Something was read that no blank line has completed; at the end of the stream it is discarded."""
        return bool(self._tail or self._data)

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that `data` completes. Raises `UpstreamError` (`upstream_protocol`) past a cap, and ever after."""
        size = len(data)
        if (
            data[:6] == b"data: "
            and data.find(b"\n") == size - 2  # so the last byte is the only other one to look at
            and data[-1:] == b"\n"
            and size > 8
            and size <= self._max_line
            and size <= self._max_event
            and size <= self._room
            and not (self._tail or self._data or self._name or self._fault)
            and b"\r" not in data
        ):
            # One whole event in one read, as most servers send a token.
            self._room -= size
            self._at_start = self._after_cr = False
            return [SseEvent("message", data[6:-2])]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[SseEvent]:
        if self._fault is not None:
            raise self._fault
        events: list[SseEvent] = []
        try:
            self._split(data[: self._room], events)
            if len(data) > self._room:
                raise unreadable(f"the stream is longer than {self._max_total} bytes")
            self._room -= len(data)
        except UpstreamError as fault:
            self._fault = fault
            if not events:
                raise
        return events

    def _split(self, data: bytes, events: list[SseEvent]) -> None:
        if self._after_cr and data:
            data = data.removeprefix(b"\n")  # the second half of a CRLF whose CR has ended the line already
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._tail:
                line = bytes(self._tail) + line
                self._tail.clear()
            self._check_line(len(line))
            self._take_line(line, events)
        self._tail += rest
        self._check_line(len(self._tail))

    def _check_line(self, size: int) -> None:
        if size > self._max_line:
            raise unreadable(f"a line of the stream is longer than {self._max_line} bytes")

    def _take_line(self, line: bytes, events: list[SseEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value
        elif field == b"error":
            self._name = b"error"
            self._append(value)
        elif field == b"data":
            self._append(value)

    def _append(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > self._max_event:
            raise unreadable(f"an event of the stream is longer than {self._max_event} bytes")
        self._data.append(value)

    def _dispatch(self, events: list[SseEvent]) -> None:
        data = b"\n".join(self._data)
        if data:
            events.append(SseEvent(self._name.decode("utf-8", "replace") or "message", data))
        self._data.clear()
        self._size = 0
        self._name = b""


def encode_event(payload: bytes) -> bytes:
    """One event as it goes to a client. `payload` is JSON on one line."""
    return b"data: " + payload + b"\n\n"
