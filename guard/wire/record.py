"""Recordings: the events of one answer as JSON Lines, for replay, golden tests and `guard scan`.

The first line is the header; every other line is one event; blank lines and lines that begin with `#` are skipped.

    {"guard_recording":1,"model":"Qwen/QwQ-32B","prompt":"How many r in strawberry?"}
    {"e":"open"}                                                   ChoiceOpened
    {"e":"text","channel":"reasoning","text":"Let me count."}      TextReceived
    {"e":"tool","tool":0,"id":"call_1","name":"lookup"}            ToolCallOpened
    {"e":"text","channel":"tool","tool":0,"text":"{}"}             TextReceived
    {"e":"finish","reason":"stop","native":"eos_token"}            ChoiceFinished
    {"e":"usage","prompt_tokens":9,"completion_tokens":3}          UsageReported
    {"e":"deadline","kind":"total"}                                DeadlinePassed
    {"e":"end"}                                                    UpstreamEnded
    {"e":"fail","code":"upstream_reset","message":"…"}             UpstreamFailed
    {"e":"resumed"}                                                UpstreamResumed: what follows is the continuation

What a line leaves out is the default: `"choice":0`; for a text `"tool":-1` (a refusal is content with `"tool":-2`) and
no `logprobs`; `"live":false`; for a header no model and no prompt. Each line may say `"after"`: seconds since the line
before, which a player may honour. Verdicts do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from guard.contract import Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Deadline,
    DeadlinePassed,
    Event,
    Logprob,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
    Usage,
    UsageReported,
)
from guard.wire.jsontext import dump

VERSION: Final = 1


class RecordingError(ValueError):
    """A recording that cannot be read. The message names the line and what is wrong with it."""


class RecordedEvent(NamedTuple):
    """One line: the event and, if it was recorded, the seconds since the line before."""

    event: Event
    after: float | None = None


class Header(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a scanner may know of the request that was recorded."""

    guard_recording: int
    model: str = ""
    prompt: str = ""


class _Line(Struct, tag_field="e", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    after: Annotated[float, Meta(ge=0)] | None = None


class _Open(_Line, tag="open", kw_only=True):
    choice: int = 0


class _Top(Struct, forbid_unknown_fields=True, omit_defaults=True):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class _Logprob(_Top):
    top: tuple[_Top, ...] = ()


class _Text(_Line, tag="text", kw_only=True):
    choice: int = 0
    channel: Channel
    tool: int = -1
    text: str
    logprobs: tuple[_Logprob, ...] = ()


class _Tool(_Line, tag="tool", kw_only=True):
    choice: int = 0
    tool: int
    id: str
    name: str


class _Finish(_Line, tag="finish", kw_only=True):
    choice: int = 0
    reason: str
    native: str = ""


class _Usage(_Line, tag="usage", kw_only=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class _Deadline(_Line, tag="deadline", kw_only=True):
    kind: Deadline


class _End(_Line, tag="end", kw_only=True):
    pass


class _Fail(_Line, tag="fail", kw_only=True):
    code: str
    message: str


class _Resumed(_Line, tag="resumed", kw_only=True):
    choice: int = 0
    live: bool = False


_AnyLine = _Open | _Text | _Tool | _Finish | _Usage | _Deadline | _End | _Fail | _Resumed

_read_line: Final = msgspec.json.Decoder(_AnyLine).decode
_read_header: Final = msgspec.json.Decoder(Header).decode


def write_header(model: str = "", prompt: str = "") -> bytes:
    """The first line of a recording."""
    return _line(Header(VERSION, model, prompt))


def write_event(event: Event, after: float | None = None) -> bytes:
    """One line of a recording."""
    line = _to_line(event)
    line.after = after
    return _line(line)


def _line(value: Struct) -> bytes:
    return dump(msgspec.to_builtins(value)) + b"\n"


def read_header(lines: Iterable[bytes | str]) -> Header:
    """The header of a recording; reads no more than its line. Raises `RecordingError`."""
    return _header(*next(_meant(lines), (1, b"")))


def read_events(lines: Iterable[bytes | str]) -> Iterator[RecordedEvent]:
    """The events of a recording whose header is in `lines` too. Raises `RecordingError` on reaching the fault."""
    numbered = _meant(lines)
    _header(*next(numbered, (1, b"")))
    for number, line in numbered:
        try:
            read = _read_line(line)
        except (ValueError, RecursionError) as error:
            raise RecordingError(f"line {number}: not an event: {error} (guard.wire.record describes them)") from None
        yield RecordedEvent(_to_event(read), read.after)


def _header(number: int, line: bytes) -> Header:
    try:
        header = _read_header(line)
    except (ValueError, RecursionError) as error:
        raise RecordingError(
            f'line {number}: a recording begins with {{"guard_recording":{VERSION}}}, and this is not it: {error}'
        ) from None
    if header.guard_recording != VERSION:
        raise RecordingError(
            f"line {number}: the recording is of version {header.guard_recording}; this guard reads {VERSION}"
        )
    return header


def _meant(lines: Iterable[bytes | str]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, 1):
        data = (line.encode("utf-8", "replace") if isinstance(line, str) else line).strip()
        if data and not data.startswith(b"#"):
            yield number, data


def _to_line(event: Event) -> _AnyLine:
    match event:
        case ChoiceOpened(choice):
            return _Open(choice=choice)
        case TextReceived(lane, text, logprobs):
            written = tuple(
                _Logprob(
                    logprob.token,
                    logprob.logprob,
                    _tuple(logprob.utf8),
                    tuple(_Top(top.token, top.logprob, _tuple(top.utf8)) for top in logprob.top),
                )
                for logprob in logprobs
            )
            return _Text(choice=lane.choice, channel=lane.channel, tool=lane.tool, text=text, logprobs=written)
        case ToolCallOpened(choice, tool, id, name):
            return _Tool(choice=choice, tool=tool, id=id, name=name)
        case ChoiceFinished(choice, reason, native):
            return _Finish(choice=choice, reason=reason, native=native)
        case UsageReported(usage):
            return _Usage(**usage._asdict())
        case DeadlinePassed(kind):
            return _Deadline(kind=kind)
        case UpstreamEnded():
            return _End()
        case UpstreamFailed(code, message):
            return _Fail(code=code, message=message)
    return _Resumed(choice=event.choice, live=event.live)


def _tuple(utf8: Any) -> tuple[int, ...] | None:
    return None if utf8 is None else tuple(utf8)


def _to_event(line: _AnyLine) -> Event:
    match line:
        case _Open():
            return ChoiceOpened(line.choice)
        case _Text():
            read = tuple(
                Logprob(
                    logprob.token,
                    logprob.logprob,
                    logprob.bytes,
                    tuple(Logprob(top.token, top.logprob, top.bytes) for top in logprob.top),
                )
                for logprob in line.logprobs
            )
            return TextReceived(Lane(line.choice, line.channel, line.tool), line.text, read)
        case _Tool():
            return ToolCallOpened(line.choice, line.tool, line.id, line.name)
        case _Finish():
            return ChoiceFinished(line.choice, line.reason, line.native)
        case _Usage():
            return UsageReported(
                Usage(line.prompt_tokens, line.completion_tokens, line.reasoning_tokens, line.cached_tokens)
            )
        case _Deadline():
            return DeadlinePassed(line.kind)
        case _End():
            return UpstreamEnded()
        case _Fail():
            return UpstreamFailed(line.code, line.message)
    return UpstreamResumed(line.choice, line.live)
