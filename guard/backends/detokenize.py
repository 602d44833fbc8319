"""Generated tokens into text, one at a time, and the end of that text at a stop string. Pure: no model, no tokenizer.

    token ids -> Detokenizer -> complete characters -> StopStrings -> text that belongs to the answer

What comes out does not depend on where tokens begin and end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

REPLACEMENT: Final = "\ufffd"
"""What a decoder writes for bytes that are no character, or not yet."""
LONGEST_WAIT: Final = 64
"""Tokens after which bytes that never become a character are given as they are. A character is four bytes at most."""


class Detokenizer:
    """One sequence. The pieces, joined, are `decode` of the whole sequence.

        ids:  ... | context | window |       decode(context + window) minus decode(context) is the window's text
                            ^ everything before has been given, and ended in a complete character

    The context is there because many decoders treat the first token of a sequence in a special way (SentencePiece
    drops its leading space). Exact for byte-level BPE whatever the ids. A decoder with byte fallback rewrites a whole
    run of bytes once one of them proves invalid; characters of that run that have been given stay as they were.
    """

    __slots__ = ("_context", "_decode", "_given", "_ids", "_start")

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0
        self._start = 0
        self._given = 0

    def push(self, token: int) -> str:
        """The characters that `token` completes, possibly none."""
        self._ids.append(token)
        text = self._window()
        complete = text.rstrip(REPLACEMENT) if len(self._ids) - self._start < LONGEST_WAIT else text
        piece = complete[self._given :]
        self._given = max(self._given, len(complete))
        if text and len(complete) == len(text):
            self._advance()
        return piece

    def flush(self) -> str:
        """What is still waiting, at the end of the sequence."""
        piece = self._window()[self._given :]
        self._advance()
        return piece

    def _window(self) -> str:
        context = self._decode(self._ids[self._context : self._start]) if self._start > self._context else ""
        return self._decode(self._ids[self._context :])[len(context) :]

    def _advance(self) -> None:
        del self._ids[: self._start]
        self._context, self._start = 0, len(self._ids)
        self._given = 0


class StopStrings:
    """Ends a text right before the first stop string that is complete; of several, the one that starts first.

    A tail that may be the beginning of a stop string is held back. After a stop nothing more comes out.
    """

    __slots__ = ("_held", "_stops", "stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The part of `text`, and of what was held, that is certain to come before any stop string."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)[1]]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What is still held, at the end of the text: no stop string came of it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins, `stop` itself excepted."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
