"""The contract between the detector and a guard model, whatever runs it.

    prompt | text so far (context, judged before) | new text
                                                  |<-consumed->| the judgement speaks of this; the rest comes again

A `GuardAdapter` is loaded once and shared by all threads. For a lane, or for one judgement, it opens a `Judge`, which
belongs to one thread at a time and may keep what it has read so far. What it keeps is freed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from guard.contract import Channel


class Level(StrEnum):
    """What a guard model says in a word."""

    SAFE = "safe"
    CONTROVERSIAL = "controversial"
    UNSAFE = "unsafe"


class Judgement(NamedTuple):
    """What a guard model thinks of the consumed part of the new text."""

    risk: float
    """0 to 1; a probability where the model gives one."""
    level: Level
    categories: Sequence[str]
    """Labels of `detectors.guard_model.categories`, the gravest first; at least one unless the level is safe."""
    consumed: int
    """Code points of the new text that need not come again."""


class Reason(StrEnum):
    """Why there is no judgement."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    REFUSED = "refused"
    """HTTP status 4xx: the request or the key is wrong."""
    OVERLOADED = "overloaded"
    """HTTP status 429, or no slot within the deadline."""
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable"
    """An answer, but not one that the format has."""
    BREAKER_OPEN = "breaker_open"
    MODEL_FAILED = "model_failed"


class Unavailable(Exception):
    """The guard model has not judged. Never an all-clear."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Judge(Protocol):
    """Judges one growing text."""

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        """Judge `new_text`, given what the user asked and the end of the text before it.

        With `final` all of it is consumed. Each call's `text_so_far` ends with what the last one consumed, and its
        `new_text` starts with what that left over. Raises `Unavailable`; the judge is of no further use then.
        """
        ...


class GuardAdapter(Protocol):
    """One guard model. Immutable after `load`, safe to use from several threads."""

    every: int
    """Code points between two calls that suit it."""

    def load(self) -> None:
        """Load the model or open the connection. Raises `guard.contract.DetectorError`."""
        ...

    def open(self, channel: Channel) -> Judge:
        """A judge of text of a channel: of what the user says (`PROMPT`), or of what the model says."""
        ...
