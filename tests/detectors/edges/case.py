"""One row of an edge table: a text, what should be said of it, and why.

The rows were written from the description of the detectors before anybody looked at what the detectors say. A row that
fails is listed in `test_edges.py`; it is not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from guard.contract import Channel

ONSET: Final = "⟦"
"""Marks in a language case's text where the foreign text begins; taken out before the text is scanned."""


@dataclass(frozen=True, slots=True)
class LoopCase:
    """`stop`: a finding of 0.9 or more. `warn`: a finding, but none of 0.9. `quiet`: no finding of 0.9.

    `kinds`: one of these labels must be among the findings that decide. `period` is in code points, `repeat_at` is
    where the first repeated copy starts; both are checked on `exact` and `run` findings only.
    """

    name: str
    text: str
    want: Literal["stop", "warn", "quiet"]
    why: str
    kinds: tuple[str, ...] = ()
    prompt: str = ""
    channel: Channel = Channel.REASONING
    settings: Mapping[str, Any] = field(default_factory=dict)
    period: int | None = None
    repeat_at: int | None = None


@dataclass(frozen=True, slots=True)
class LanguageCase:
    """`quiet`: no finding at all. `leak`: a leak and no switch of 0.9. `switch`: a switch of 0.9.

    `about` are the words one of which the finding's detail should hold: an ISO 639-1 code or a script's name.
    """

    name: str
    marked: str
    want: Literal["quiet", "leak", "switch"]
    why: str
    about: tuple[str, ...] = ()
    prompt: str = ""
    channel: Channel = Channel.CONTENT
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.marked.replace(ONSET, "")

    @property
    def onset(self) -> int | None:
        """Where the foreign text begins, or None if the row does not say."""
        found = self.marked.find(ONSET)
        return None if found < 0 else found


@dataclass(frozen=True, slots=True)
class LengthCase:
    """`soft` and `hard`: the range of code points in which the budget must be reported, or None for "not reported".

    Code points count from the start of the lane, `history` included. `spent` are tokens of the choice's other lanes.
    """

    name: str
    text: str
    soft: tuple[int, int] | None
    hard: tuple[int, int] | None
    why: str
    settings: Mapping[str, Any]
    channel: Channel = Channel.CONTENT
    history: str = ""
    spent: int = 0
    model: str = ""
