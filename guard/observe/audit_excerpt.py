"""What the text around a finding looked like, as far as it may be shown.

    text of a lane as it came --cut--> some characters around the span --hide--> excerpt

Spans that the policy masks appear as their replacement. Beyond that, digits and what looks like a secret are hidden;
names and addresses are not, unless a rule masks them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from guard.contract import Lane, Span

KEPT: Final = 300_000
"""Code points of a lane that are remembered: more than may ever be held."""
_EDGE: Final = 64
"""How far an excerpt grows so that it does not begin or end inside a word: half a secret does not look like one."""
HIDDEN: Final = "[hidden]"
_SECRETS: Final = re.compile(
    r"""
      -----BEGIN[ A-Z]+-----.*?(?:-----END[ A-Z]+-----|\Z)            # a key in PEM armour
    | \b(?:sk|pk|rk|gh[opsu]|github_pat|glpat|xox[abposr]|AKIA|ASIA|AIza|hf|npm)[-_]?[\w-]{6,}   # well-known prefixes
    | \beyJ[\w-]+(?:\.[\w-]*){0,2}                                    # JSON Web Token (RFC 7519)
    | \bBearer\s+\S+
    | (?P<name>\b(?:pass(?:word|wd|phrase)?|secret|token|api[ _-]?key|credentials?)\b\s*(?:[:=]|\bis\b)\s*)\S+
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)*                                    # mail address
    | (?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Za-z])[A-Za-z0-9_+/=-]{16,}       # letters and digits, as in keys and hashes
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_DIGIT: Final = re.compile(r"\d")


class Mark(NamedTuple):
    """A span of a lane that the policy replaces."""

    span: Span
    replacement: str


class Passage(NamedTuple):
    """Raw text of a lane and where it starts. Stays in memory; only `excerpt` of it is shown."""

    start: int
    text: str


class LaneText:
    """The end of one lane's text, as upstream sent it."""

    __slots__ = ("_pieces", "_size", "_start")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._start = 0
        self._size = 0

    def append(self, text: str) -> None:
        self._pieces.append(text)
        self._size += len(text)
        if self._size > 2 * KEPT:
            whole = "".join(self._pieces)
            self._start += len(whole) - KEPT
            self._pieces = [whole[-KEPT:]]
            self._size = KEPT

    def around(self, span: Span, length: int) -> Passage:
        """At least `length` code points around the start of `span`, a quarter of them before it, whole words."""
        text = "".join(self._pieces)
        self._pieces = [text]
        start = min(max(span.start - self._start - length // 4, 0), len(text))
        end = min(start + length, len(text))
        start = _outwards(text, start, -1)
        end = _outwards(text, end, 1)
        return Passage(self._start + start, text[start:end])


def excerpt(passage: Passage, marks: Sequence[Mark], length: int) -> str:
    """`passage` with what the policy masks replaced, and what looks secret hidden; at most `length` code points."""
    text, start = passage.text, passage.start
    for mark in sorted(marks, reverse=True):
        begin, end = max(mark.span.start - start, 0), mark.span.end - start
        if begin < len(text) and end > begin:
            text = text[:begin] + mark.replacement + text[end:]
    text = _SECRETS.sub(lambda found: (found["name"] or "") + HIDDEN, text)
    return _DIGIT.sub("#", text)[:length]


def lane_name(lane: Lane) -> str:
    """A lane as logs and traces spell it: `0/content`, `0/tool/1`."""
    return f"{lane.choice}/{lane.channel}" + (f"/{lane.tool}" if lane.tool != -1 else "")


def _outwards(text: str, at: int, direction: int) -> int:
    """The nearest end of a word from `at`, at most `_EDGE` away."""
    for far in range(_EDGE):
        here = at + direction * far
        if here <= 0 or here >= len(text):
            return min(max(here, 0), len(text))
        if text[here - 1].isspace() or text[here].isspace():
            return here
    return at + direction * _EDGE
