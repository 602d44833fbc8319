"""A lane's text as the recognizers are shown it.

    raw    卡号４１１１\u2011１１１１\\u200b ...           in a tool call's arguments \\u0034 is a 4
    seen   "  4111-1111 ..."                         one character for each, and a map back to the raw text

The shadow text (`detectors._shadow`) with upper and lower case kept; dashes of all kinds are hyphens, and letters of
scripts that put no spaces between words are spaces: what stands beside them begins or ends there. In a tool call
JSON's escapes are undone, so that a mask never takes half of one.
"""

from __future__ import annotations

import re
from typing import Final

from detectors._shadow import Shadow

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\U00020000-\U0003ffff\u1100-\u11ff"
)
_DASHES: Final = "\u2010-\u2015\u2043\u2212\u2e3a\u2e3b"
_ANYTHING_ELSE: Final = re.compile(f"[{_UNSPACED}]|([{_DASHES}])|([\ud800-\udfff])")
_ESCAPE: Final = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Seen:
    """A `detectors._shadow.View`. Offsets are those of the shadow; `source` and `raw` lead back to the lane's text."""

    __slots__ = ("_json", "_shadow", "text")

    def __init__(self, *, json: bool) -> None:
        self.text = ""
        self._shadow = Shadow(closed=True, fold=False)
        self._json = Unescaped() if json else None

    @property
    def base(self) -> int:
        return self._shadow.base

    @property
    def end(self) -> int:
        return self._shadow.base + len(self.text)

    def source(self, start: int, end: int) -> tuple[int, int]:
        start, end = self._shadow.source(start, end)
        return (start, end) if self._json is None else (self._json.start(start), self._json.end(end))

    def raw(self, at: int) -> int:
        at = self._shadow.raw(at)
        return at if self._json is None else self._json.start(at)

    def take(self, delta: str) -> None:
        self._shadow.take(delta if self._json is None else self._json.take(delta))
        self._read()

    def settle(self) -> None:
        if self._json is not None:
            self._shadow.take(self._json.settle())
        self._shadow.settle()
        self._read()

    def forget(self, before: int) -> None:
        gone = before - self._shadow.base
        if gone > 0:
            self.text = self.text[gone:]
            self._shadow.forget(before)
            if self._json is not None:
                self._json.forget(self._shadow.raw(before))

    def _read(self) -> None:
        fresh = self._shadow.text[len(self.text) :]
        self.text += fresh if fresh.isascii() else _ANYTHING_ELSE.sub(_shown, fresh)


def _shown(found: re.Match[str]) -> str:
    if found[1]:
        return "-"
    return "\ufffd" if found[2] else " "


class Unescaped:
    """Text with JSON's escapes undone, and where each character comes from."""

    __slots__ = ("_base", "_read", "_starts", "_waiting")

    def __init__(self) -> None:
        self._base = 0
        self._starts: list[int] = []
        self._read = 0
        """Code points read; `_waiting` comes after them."""
        self._waiting = ""

    def start(self, at: int) -> int:
        """Where the character at `at` begins in the text; the end of what was read if there is none."""
        at -= self._base
        return self._starts[at] if at < len(self._starts) else self._read

    def end(self, at: int) -> int:
        """Where the character before `at` ends."""
        return self.start(at)

    def take(self, delta: str) -> str:
        text = self._waiting + delta
        # An escape that is not whole waits: a backslash that is not itself escaped, and at most five more characters.
        done = len(text)
        at = text.rfind("\\", max(len(text) - 6, 0))
        if at >= 0:
            first = at
            while first > 0 and text[first - 1] == "\\":
                first -= 1
            begins = (at - first) % 2 == 0
            if begins and not _ESCAPE.match(text, at) and _OPEN.fullmatch(text, at):
                done = at
        self._waiting = text[done:]
        return self._undo(text[:done])

    def settle(self) -> str:
        waiting, self._waiting = self._waiting, ""
        return self._undo(waiting)

    def forget(self, before: int) -> None:
        gone = before - self._base
        if gone > 0:
            del self._starts[:gone]
            self._base = before

    def _undo(self, text: str) -> str:
        out: list[str] = []
        at = 0
        for escape in _ESCAPE.finditer(text):
            out.append(text[at : escape.start()])
            self._plain(escape.start() - at)
            said = escape.group()[1:]
            out.append(chr(int(said[1:], 16)) if len(said) == 5 else _ESCAPES.get(said, said))
            self._starts.append(self._read)
            self._read += len(escape.group())
            at = escape.end()
        out.append(text[at:])
        self._plain(len(text) - at)
        return "".join(out)

    def _plain(self, length: int) -> None:
        self._starts.extend(range(self._read, self._read + length))
        self._read += length


_OPEN: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
