"""Small labelled records for tests of `guard evaluate`, a detector that counts words, and a policy with three of it.

`LOOPING` repeats a unit of 20 characters from 20 on, so that the first repeated copy starts at 40.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from guard import registry
from guard.contract import STOP, Context, Finding, Lane, Report, Span, Stability
from tests.support import fake_detectors

UNIT: Final = "Let me check again. "
LOOPING: Final = "So it is twelve, no." + UNIT * 40
POLICY: Final = """\
policy_version: 1
name: house
description: for tests
detectors:
  loop: {word: again, times: 4}
  language: {word: oui, times: 1, score: 0.6}
  hazard: {word: poison, times: 1}
rules:
  - id: no_loops
    when: {detector: loop, channel: [reasoning, content], score: 0.9}
    do: cut
  - id: no_words
    when: {detector: language, channel: content}
    do: flag
  - id: no_harm
    when: {detector: hazard, channel: [content, prompt]}
    do: cut
"""


@dataclass(frozen=True, slots=True)
class CountsSettings:
    word: str = "again"
    times: int = 1
    score: float = STOP


class Counts:
    """Finds a word that was said so often."""

    Settings: ClassVar[type] = CountsSettings
    labels: ClassVar[Mapping[str, str]] = {"often": "it was", "never": "it was not"}
    stability: ClassVar[Stability] = Stability.SANDBOX
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: CountsSettings) -> None:
        self.name = name
        self.settings = settings

    def load(self) -> None:
        """Nothing to load."""

    def open(self, lane: Lane, context: Context, history: str = "") -> CountsScanner:
        return CountsScanner(self)


class CountsScanner:
    def __init__(self, detector: Counts) -> None:
        self.detector = detector
        self.label = next(iter(detector.labels))
        self.text = ""
        self.said = False

    def feed(self, delta: str) -> Report:
        before = len(self.text)
        self.text += delta
        findings: tuple[Finding, ...] = ()
        if self._share() >= 1 and not self.said:
            self.said = True
            first = self.text.index(self.detector.settings.word)
            findings = (
                Finding(
                    self.detector.name,
                    self.label,
                    self.detector.settings.score,
                    Span(before, len(self.text)),
                    Span(first, len(self.text)),
                    {"times": self.detector.settings.times},
                ),
            )
        return Report(len(self.text), findings)

    def settle(self) -> Report:
        return Report(len(self.text))

    def peaks(self) -> Mapping[str, float]:
        return {self.label: self.detector.settings.score * min(1.0, self._share())}

    def _share(self) -> float:
        return self.text.count(self.detector.settings.word) / self.detector.settings.times


class Hazards(Counts):
    """Finds a dangerous word."""

    labels: ClassVar[Mapping[str, str]] = {"violent_crimes": "a crime"}


class Raising(Counts):
    """Raises after it has been opened."""

    def open(self, lane: Lane, context: Context, history: str = "") -> CountsScanner:
        raise RuntimeError("always")


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the detectors of `POLICY` known, and nothing else."""
    classes = {"loop": "Counts", "language": "Counts", "hazard": "Hazards", "raising": "Raising"}
    points = [EntryPoint(name, f"{__name__}:{cls}", registry.GROUP) for name, cls in classes.items()]
    fake_detectors.install(monkeypatch, points)


def record(id: str, output: str, *, labels: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A labelled transcript, clean unless told otherwise."""
    return {
        "id": id,
        "source": "somewhere",
        "model": "qwq-32b",
        "prompt": "How many?",
        "output": output,
        "labels": {"loop": False, "language_mix": False, "runaway": False} | dict(labels or {}),
        "label_how": {"loop": "eye", "language_mix": "auto", "runaway": "auto"},
    } | more


def looping(id: str = "looping", **more: Any) -> dict[str, Any]:
    return record(
        id,
        LOOPING,
        labels={"loop": True, "loop_kind": "exact", "loop_start": 40, "loop_period": 20},
        **more,
    )


def write(path: Path, *records: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    return path


def policy(folder: Path) -> str:
    """The policy as a file; needs `install`."""
    file = folder / "house.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return str(file)
