"""Inline `<think>…</think>` text into the reasoning and the content channel.

    OPENING ──"<think>" or, where the start is `reasoning`, anything else──► REASONING ──"</think>"──► CONTENT
       └───────────────────────anything else────────────────────────────────────────────────────────────▲

QwQ-32B's chat template ends in `<think>`, so its output begins inside the thinking and shows no opening tag, unless a
user took the tag out of the template, as some guides advise. QwQ-32B-Preview knows no tags. Other models mostly open
with the tag when they think. Text is never altered but for the two tags; only the end of a text that may be the
beginning of a tag is held back, so the result does not depend on how the text was cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from guard.contract import Channel

OPENING_TAG: Final = "<think>"
CLOSING_TAG: Final = "</think>"
LONGEST_LEAD: Final = 256
"""White space before an opening tag, in code points. Past it there is no tag to wait for: a model may be looping."""


class ThinkStart(StrEnum):
    """Where a model's output begins, and whether it has inline tags at all."""

    REASONING = "reasoning"
    """Inside the thinking, without an opening tag."""
    CONTENT = "content"
    """In the answer; tags are text."""
    AUTO = "auto"
    """In the thinking if the first thing is the opening tag, else in the answer."""
    NATIVE = "native"
    """Upstream separates the two; its content is content."""


DEFAULT_STARTS: Final[Mapping[str, ThinkStart]] = MappingProxyType(
    {"*qwq*preview*": ThinkStart.CONTENT, "*qwq*": ThinkStart.REASONING}
)
"""Globs on the lower-cased model name; the first that matches counts."""


def start_state(model: str, starts: Mapping[str, ThinkStart] = DEFAULT_STARTS) -> ThinkStart:
    """Where the output of `model` begins; `auto` for a model that no glob of `starts` names."""
    name = model.lower()
    return next((start for glob, start in starts.items() if fnmatchcase(name, glob.lower())), ThinkStart.AUTO)


class _State(Enum):
    OPENING = auto()
    REASONING = auto()
    CONTENT = auto()


class ThinkSplitter:
    """Splits one choice's inline text. Pieces are never empty and, joined, hold every character but the tags'."""

    __slots__ = ("_held", "_otherwise", "_state")

    def __init__(self, start: ThinkStart) -> None:
        self._otherwise = _State.REASONING if start is ThinkStart.REASONING else _State.CONTENT
        tags = start in (ThinkStart.REASONING, ThinkStart.AUTO)
        self._state = _State.OPENING if tags else _State.CONTENT
        self._held = ""

    @property
    def undecided(self) -> bool:
        """Nothing but white space or the beginning of a tag has been seen."""
        return self._state is _State.OPENING

    def feed(self, text: str) -> list[tuple[Channel, str]]:
        """Take the next piece of the text; answer what is certain by now."""
        if self._state is _State.CONTENT:
            return [(Channel.CONTENT, text)] if text else []
        if self._state is _State.REASONING and not self._held and "<" not in text:
            return [(Channel.REASONING, text)] if text else []
        text = self._held + text
        self._held = ""
        if self._state is _State.OPENING:
            text = self._open(text)
        if self._state is _State.REASONING:
            return self._close(text)
        return [(Channel.CONTENT, text)] if text else []

    def flush(self) -> list[tuple[Channel, str]]:
        """Answer what is held back, as text. What follows is read in the state reached."""
        text, self._held = self._held, ""
        if self._state is _State.OPENING and text:
            self._state = self._otherwise
        channel = Channel.REASONING if self._state is _State.REASONING else Channel.CONTENT
        return [(channel, text)] if text else []

    def _open(self, text: str) -> str:
        """Leave `OPENING` if `text` is enough to, and give what is to be read in the next state."""
        body = text.lstrip()
        lead = len(text) - len(body)
        if lead <= LONGEST_LEAD:
            if body.startswith(OPENING_TAG):
                self._state = _State.REASONING
                return text[:lead] + body[len(OPENING_TAG) :]
            if OPENING_TAG.startswith(body):
                self._held = text
                return ""
        self._state = self._otherwise
        return text

    def _close(self, text: str) -> list[tuple[Channel, str]]:
        thought, tag, answer = text.partition(CLOSING_TAG)
        if tag:
            self._state = _State.CONTENT
        else:
            keep = _partial_tag(text)
            thought, self._held = text[: len(text) - keep], text[len(text) - keep :]
        pieces = [(Channel.REASONING, thought), (Channel.CONTENT, answer)]
        return [piece for piece in pieces if piece[1]]


def _partial_tag(text: str) -> int:
    """Length of the longest end of `text` that begins a closing tag."""
    start = text.rfind("<", -len(CLOSING_TAG) + 1)
    # A closing tag holds one `<`, so the last one is the only place where it can begin.
    return len(text) - start if start >= 0 and CLOSING_TAG.startswith(text[start:]) else 0


def split_output(text: str, model: str = "") -> tuple[str, str]:
    """Reasoning and content of a whole recorded output of `model`.

    A closing tag that no opening tag precedes shows that the output began inside the thinking, whatever the model is
    called. A thinking that is opened and never closed is all reasoning.
    """
    start = start_state(model)
    if start is not ThinkStart.CONTENT:
        before, closing, _ = text.partition(CLOSING_TAG)
        start = ThinkStart.REASONING if closing and OPENING_TAG not in before else ThinkStart.AUTO
    splitter = ThinkSplitter(start)
    pieces = splitter.feed(text) + splitter.flush()
    reasoning = "".join(piece for channel, piece in pieces if channel is Channel.REASONING)
    return reasoning, "".join(piece for channel, piece in pieces if channel is Channel.CONTENT)
