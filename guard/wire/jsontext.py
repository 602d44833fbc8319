"""JSON at the border: read whatever a peer may send, write what every client can read.

Reading is strict about structure (msgspec refuses NaN, trailing text, numbers out of range) and mild about text:
lone surrogates and bytes that are not UTF-8 become U+FFFD, as in a browser. A key given twice counts once, the last
time; since nothing is forwarded but what was read here, no client can see the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from guard.wire.errors import unreadable

DEEPEST: Final = 64
"""Levels of nesting; chat chunks have about six."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode

# A pair of surrogates, a lone one (the group), or any other escape: taken in order, so that `\\ud800` is left alone.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# U+0085, U+2028, U+2029: line ends to `str.splitlines` that JSON leaves as they are; some clients trip over them.
_LINE_ENDS: Final = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`. Raises `UpstreamError` (`upstream_protocol`) for anything else."""
    try:
        value = _parse(data)
    except (ValueError, RecursionError):
        raise unreadable("an event is not JSON") from None
    if not isinstance(value, dict):
        raise unreadable("an event is JSON, but not an object")
    _check_depth(value)
    return value


def _parse(data: bytes) -> Any:
    try:
        return _decode(data)
    except ValueError:
        text = data.decode("utf-8", "replace").encode()
        return _decode(_ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text))


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        nested = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        if not nested:
            return
        level = [child for children in nested for child in children]
    raise unreadable(f"an event is nested more than {DEEPEST} levels deep")


def dump(value: Any) -> bytes:
    """`value` as JSON on one line by any definition of a line. Lone surrogates become U+FFFD."""
    try:
        data = _encode(value)
    except UnicodeEncodeError:
        data = _encode(_without_surrogates(value))
    if data.isascii():
        return data
    return _LINE_ENDS.sub(lambda end: b"\\u%04x" % ord(end[0].decode()), data)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(child) for child in value]
    return value
