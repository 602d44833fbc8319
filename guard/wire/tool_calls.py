"""Tool call deltas of one choice: which call a delta belongs to, and where a call begins.

Servers disagree. OpenAI, vLLM and SGLang send an index with every fragment, the id and name with the first; Ollama
and Gemini send whole calls, older versions of them all with index 0; llama.cpp may leave the index out. A delta with
a name begins a call unless it repeats the name or the id of the call its index stands for. Calls are numbered anew
from 0 in the order in which they begin.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from guard.contract import Channel, Lane
from guard.events import Event, TextReceived, ToolCallOpened
from guard.wire.chunks import ToolDelta
from guard.wire.errors import unreadable

MOST_CALLS: Final = 128
"""Calls in one choice: as many as OpenAI lets a request offer tools."""
LONGEST_NAME: Final = 256
"""Code points of a function's name, which is reviewed as the first line of the call's lane."""
_ID: Final = re.compile(r"[A-Za-z0-9_.:|-]{1,128}")


@dataclass(slots=True)
class _Call:
    number: int
    sent_id: str
    name: str


class ToolCallReader:
    """Turns the tool call deltas of `choice` into events."""

    __slots__ = ("_by_index", "_choice", "_dropped", "_last", "_opened")

    def __init__(self, choice: int, dropped: Counter[str]) -> None:
        self._choice = choice
        self._dropped = dropped
        self._opened = 0
        self._by_index: dict[int | None, _Call] = {}
        self._last: _Call | None = None

    def read(self, delta: ToolDelta) -> list[Event]:
        """The events of one delta. Raises `UpstreamError` for a call that cannot be reviewed as one."""
        name = (delta.function and delta.function.name) or ""
        arguments = (delta.function and delta.function.arguments) or ""
        call = self._find(delta)
        events: list[Event] = []
        if name and (call is None or not self._repeats(call, delta.id or "", name)):
            call = self._open(delta, name)
            events.append(ToolCallOpened(self._choice, call.number, self._safe_id(call), name))
        self._last = call
        if arguments:
            if call is None:
                raise unreadable("a tool call has arguments and no name")
            events.append(TextReceived(Lane(self._choice, Channel.TOOL, call.number), arguments))
        return events

    def _find(self, delta: ToolDelta) -> _Call | None:
        if delta.index is not None:
            return self._by_index.get(delta.index)
        if delta.id:
            return next((call for call in self._by_index.values() if call.sent_id == delta.id), None)
        return self._last

    @staticmethod
    def _repeats(call: _Call, call_id: str, name: str) -> bool:
        return call.sent_id == call_id if call_id and call.sent_id else call.name == name

    def _open(self, delta: ToolDelta, name: str) -> _Call:
        if len(name) > LONGEST_NAME or name.splitlines() != [name]:
            raise unreadable("the name of a tool call is not one short line")
        if self._opened == MOST_CALLS:
            raise unreadable(f"a choice has more than {MOST_CALLS} tool calls")
        number = self._opened
        self._opened += 1
        call = _Call(number, delta.id or "", name)
        self._by_index[number if delta.index is None else delta.index] = call
        return call

    def _safe_id(self, call: _Call) -> str:
        """Ids leave unreviewed, so they must be nothing that can carry text."""
        if _ID.fullmatch(call.sent_id):
            return call.sent_id
        self._dropped["tool_call_id"] += bool(call.sent_id)
        return f"call_{self._choice}_{call.number}"
