"""Detectors made for tests, and a way to register them without installing a package.

`Words` finds configured words; `Cleartext` has no labels worth naming and shares nothing with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from guard import registry
from guard.contract import STOP, Context, Finding, Lane, Report, Span, Stability


@dataclass(frozen=True, slots=True)
class Budget:
    """A soft and a hard figure."""

    soft: int | None = None
    hard: int = 100


@dataclass(frozen=True, slots=True)
class WordsSettings:
    """What to look for."""

    words: tuple[str, ...] = ("bad",)
    """Words that are found, whole text only."""
    score: float = STOP
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError("there must be at least one word")
        if self.score > 1:
            raise ValueError(f"score must be at most 1, not {self.score}")


class Words:
    """Finds words."""

    Settings: ClassVar[type] = WordsSettings
    labels: ClassVar[Mapping[str, str]] = {"BAD_WORD": "a word of the list", "GOOD_WORD": "never found"}
    stability: ClassVar[Stability] = Stability.SANDBOX
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: WordsSettings) -> None:
        self.name = name
        self.settings = settings
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def open(self, lane: Lane, context: Context, history: str = "") -> WordsScanner:
        return WordsScanner(self)


class WordsScanner:
    def __init__(self, detector: Words) -> None:
        self.detector = detector
        self.text = ""

    def feed(self, delta: str) -> Report:
        self.text += delta
        return Report(0)

    def settle(self) -> Report:
        words = [word for word in self.detector.settings.words if word in self.text]
        span = Span(0, len(self.text))
        name, score = self.detector.name, self.detector.settings.score
        return Report(len(self.text), [Finding(name, "BAD_WORD", score, span) for _ in words])


class Failing(Words):
    """Raises whenever it is used."""

    labels: ClassVar[Mapping[str, str]] = {"trouble": "any"}

    def load(self) -> None:
        raise OSError("no model here")

    def open(self, lane: Lane, context: Context, history: str = "") -> WordsScanner:
        raise RuntimeError("always")


class Broken(Words):
    """Cannot be made."""

    def __init__(self, name: str, settings: WordsSettings) -> None:
        raise RuntimeError("never works")


class NoSettings:
    """Not a detector."""

    labels: ClassVar[Mapping[str, str]] = {}


HERE = __name__


def point(name: str, cls: str, extras: str = "") -> EntryPoint:
    """An entry point to a class of this module."""
    return EntryPoint(name, f"{HERE}:{cls}{extras}", registry.GROUP)


DEFAULT = (
    point("words", "Words"),
    point("other", "Words"),
    point("failing", "Failing"),
    point("broken", "Broken"),
    point("unfit", "NoSettings"),
    EntryPoint("absent", "no_such_module:Thing [pii]", registry.GROUP),
)


def install(monkeypatch: pytest.MonkeyPatch, points: Iterable[Any] = DEFAULT) -> None:
    """Make the registry see `points` and nothing else."""
    found = list(points)
    monkeypatch.setattr(registry, "entry_points", lambda: found)
