"""Where the text stands in a Markdown code fence.

A fence is a run of three or more backticks with nothing before it on its line but white space, list and quote marks;
the next such line closes it. Fences elsewhere in a line are prose about fences.
"""

from __future__ import annotations

from typing import Final

_MARK: Final = "```"
_LINE_START: Final = " \t>*-+.)0123456789"
_LOOKBACK: Final = 64


class Fence:
    """Call `look` once per step with the growing tail of a lane."""

    __slots__ = ("_seen", "opened")

    def __init__(self) -> None:
        self.opened = -1
        """Absolute offset of the fence that is open, or -1."""
        self._seen = 0

    def look(self, text: str, end: int) -> None:
        """Take notice of the fences in `text`, which ends at absolute offset `end`, that were not seen before."""
        start = end - len(text)
        at = text.find(_MARK, max(0, self._seen - start))
        while at >= 0:
            line = text.rfind("\n", max(0, at - _LOOKBACK), at)
            before = text[line + 1 : at] if line >= 0 else text[max(0, at - _LOOKBACK) : at]
            if not before.strip(_LINE_START):
                self.opened = start + at if self.opened < 0 else -1
            at += len(_MARK)
            while text[at : at + 1] == "`":
                at += 1
            self._seen = start + at
            at = text.find(_MARK, at)
        self._seen = max(self._seen, end - len(_MARK) + 1)
