"""Stretches that look encoded, and what they say.

    raw   the key is cGFzc3dvcmQ= an|          base64, hex, url-encoding; tag characters; right-to-left override
                     |----------|    |  open: it may go on

A stretch is known when it has ended; at most 64 KiB of one are read. What it says is looked at like any text, encoded
stretches in it included, three layers deep.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

LAYERS: Final = 3
"""Encodings inside one another that are undone."""
LONGEST_STRETCH: Final = 65_536
"""Code points. A longer one is read in parts."""
_SHORTEST: Final = 6
"""Of base64, hex and url-encoding: four letters in base64, three in hex."""
_PRINTABLE: Final = 0.9
"""Share of characters that are printable in a text, as opposed to bytes that happen to decode."""

_STRETCH: Final = re.compile(
    rf"[A-Za-z0-9+/_=%-]{{1,{LONGEST_STRETCH}}}|[\U000e0020-\U000e007e]{{1,{LONGEST_STRETCH}}}|\u202e[^\u202c\n]{{0,400}}"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/_=%-]*")
_HEX: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2}){3,})")
_BASE64: Final = re.compile(r"([A-Za-z0-9+/_-]{6,})={0,2}")
_PERCENT: Final = re.compile(r"%[0-9a-fA-F]{2}")


class Said(NamedTuple):
    """What the raw stretch from `start` to `end` says, read by `codec`."""

    start: int
    end: int
    codec: str
    text: str


class Stretches:
    """The encoded stretches of one growing text. Holds the one that is open."""

    __slots__ = ("_length", "_pieces", "open")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self.open = 0
        """Where the stretch begins that may go on; the end of the text if there is none."""

    def take(self, delta: str) -> Iterator[Said]:
        """The stretches that `delta` ends."""
        self._pieces.append(delta)
        self._length += len(delta)
        if len(self._pieces) > 1 and self._length < LONGEST_STRETCH and self._goes_on(delta):
            return
        text, base = "".join(self._pieces), self.open
        opened = len(text)
        done: list[tuple[int, int]] = []
        for stretch in _STRETCH.finditer(text):
            if stretch.end() == len(text):
                opened = stretch.start()
            elif _worth_reading(stretch.group()):
                done.append(stretch.span())
        self._pieces = [text[opened:]] if opened < len(text) else []
        self._length = len(text) - opened
        self.open = base + opened
        for start, end in done:
            yield from _said(text[start:end], base + start, base + end)

    def settle(self) -> Iterator[Said]:
        """What the open stretch says so far. It may still go on."""
        if _worth_reading(stretch := "".join(self._pieces)):
            yield from _said(stretch, self.open, self.open + self._length)

    def _goes_on(self, delta: str) -> bool:
        """Is all of `delta` more of the open stretch? A long one is not read anew for every piece."""
        return self._pieces[0].isascii() and _TOKEN.fullmatch(delta) is not None


def decoded(stretch: str) -> Iterator[tuple[str, str]]:
    """The readings of a stretch that make text, by codec."""
    if stretch[0] == "\u202e":
        yield "bidi", stretch[:0:-1]
    elif stretch[0] >= "\U000e0020":
        yield "tags", "".join(chr(ord(char) - 0xE0000) for char in stretch)
    else:
        if _PERCENT.search(stretch):
            yield "url", unquote(stretch)
        if found := _HEX.fullmatch(stretch):
            yield from _text("hex", bytes.fromhex(found[1]))
        elif found := _BASE64.fullmatch(stretch):
            # The last character alone may be the beginning of a byte.
            whole = found[1][: len(found[1]) - (len(found[1]) % 4 == 1)].translate(_URL_SAFE)
            try:
                yield from _text("base64", base64.b64decode(whole + "=" * (-len(whole) % 4)))
            except binascii.Error:
                return


def _worth_reading(stretch: str) -> bool:
    return len(stretch) >= _SHORTEST or not stretch.isascii()


def _said(stretch: str, start: int, end: int) -> Iterator[Said]:
    return (Said(start, end, codec, text) for codec, text in decoded(stretch))


def _text(codec: str, data: bytes) -> Iterator[tuple[str, str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if text and sum(char.isprintable() or char in "\t\r\n" for char in text) >= _PRINTABLE * len(text):
        yield codec, text


_URL_SAFE: Final = str.maketrans("-_", "+/")
