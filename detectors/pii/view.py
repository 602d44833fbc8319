"""A lane's text as the recognizers are shown it.

    raw    卡号４１１１-１１１１ ...
    seen     4111-1111 ...          one character for each, and a map back to the raw text

The shadow text (`detectors._shadow`) with upper and lower case kept; dashes of all kinds are hyphens, and letters of
scripts that put no spaces between words are spaces: what stands beside them begins or ends there.
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


class Seen:
    """A `detectors._shadow.View`. Offsets are those of the shadow; `source` and `raw` lead back to the lane's text."""

    __slots__ = ("_shadow", "text")

    def __init__(self) -> None:
        self.text = ""
        self._shadow = Shadow(closed=True, fold=False)

    @property
    def base(self) -> int:
        return self._shadow.base

    @property
    def end(self) -> int:
        return self._shadow.base + len(self.text)

    def source(self, start: int, end: int) -> tuple[int, int]:
        return self._shadow.source(start, end)

    def raw(self, at: int) -> int:
        return self._shadow.raw(at)

    def take(self, delta: str) -> None:
        self._shadow.take(delta)
        self._read()

    def settle(self) -> None:
        self._shadow.settle()
        self._read()

    def forget(self, before: int) -> None:
        gone = before - self._shadow.base
        if gone > 0:
            self.text = self.text[gone:]
            self._shadow.forget(before)

    def _read(self) -> None:
        fresh = self._shadow.text[len(self.text) :]
        self.text += fresh if fresh.isascii() else _ANYTHING_ELSE.sub(_shown, fresh)


def _shown(found: re.Match[str]) -> str:
    if found[1]:
        return "-"
    return "\ufffd" if found[2] else " "
