"""Runs one row of a table against its detector and tells what differs from what was written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final

from detectors.length import Length
from guard.contract import STOP, Channel, Context, Detector, Finding, Lane, Report, Scanner, Stability, estimate_tokens
from guard.registry import build, read_settings
from guard.testing import scan
from tests.detectors.edges.case import LanguageCase, LengthCase, LoopCase

_PLACE: Final = 64
"""How far off the start of a loop's second copy may lie, in code points; a quarter of the period if that is more."""
_EARLY: Final = 48
_LATE_SCRIPT: Final = 40
_LATE_LANGUAGE: Final = 160
"""How far from the first foreign letter a switch may start, in code points."""
_LEAK: Final = 8


def loop_faults(case: LoopCase) -> list[str]:
    """What is wrong with the loop detector's answer to `case`; empty if nothing."""
    findings = _findings("loop", case.settings, case.text, case.channel, case.prompt)
    stops = [finding for finding in findings if finding.score >= STOP]
    deciding = stops if case.want == "stop" else findings
    if bool(stops) != (case.want == "stop"):
        return [f"expected {case.want}, got {_told(findings)}"]
    if case.want == "quiet":
        return []
    if not deciding:
        return [f"expected {case.want}, got nothing"]
    faults = []
    if case.kinds and not any(finding.label in case.kinds for finding in deciding):
        faults.append(f"expected one of {case.kinds}, got {_told(deciding)}")
    verbatim = [finding for finding in deciding if finding.label in {"exact", "run"}]
    if verbatim and case.period is not None and case.repeat_at is not None:
        first = verbatim[0]
        if first.detail.get("period") != case.period:
            faults.append(f"expected the period {case.period}, got {dict(first.detail)}")
        if first.evidence is None or abs(first.evidence.start - case.repeat_at) > max(_PLACE, case.period // 4):
            faults.append(f"expected the second copy at {case.repeat_at}, got {first.evidence}")
    return faults


def language_faults(case: LanguageCase) -> list[str]:
    """What is wrong with the language detector's answer to `case`; empty if nothing."""
    findings = _findings("language", case.settings, case.text, case.channel, case.prompt)
    switches = [finding for finding in findings if finding.label == "switch" and finding.score >= STOP]
    if case.want == "quiet":
        return [f"expected nothing, got {_told(findings)}"] if findings else []
    deciding = switches if case.want == "switch" else [finding for finding in findings if finding.label == "leak"]
    if not deciding or (case.want == "leak" and switches):
        return [f"expected {case.want}, got {_told(findings)}"]
    faults = []
    expected = {word.casefold() for word in case.about}
    if expected and not any(expected & _words(finding) for finding in deciding):
        faults.append(f"expected one of {case.about}, got {_told(deciding)}")
    if case.onset is not None:
        by_script = len(case.about) > 1 and "Latin" not in case.about
        early, late = _EARLY, _LATE_SCRIPT if by_script else _LATE_LANGUAGE
        if case.want == "leak":
            early = late = _LEAK
        if not any(-early <= finding.span.start - case.onset <= late for finding in deciding):
            faults.append(f"expected it at {case.onset}, got {_told(deciding)}")
    return faults


def length_faults(case: LengthCase) -> list[str]:
    """What is wrong with the length detector's answer to `case`; empty if nothing."""
    detector = _Spending("length", read_settings("length", Length, case.settings), case.spent)
    context = Context(model=case.model, spent=detector.spent_by)
    found = scan(detector, case.text, context=context, lane=_lane(case.channel), history=case.history)
    faults = []
    for label, expected in (("soft_budget", case.soft), ("hard_budget", case.hard)):
        places = [fed for fed, finding in found if finding.label == label]
        if expected is None:
            if places:
                faults.append(f"expected no {label}, got it at {places}")
        elif len(places) != 1 or not expected[0] <= places[0] <= expected[1]:
            faults.append(f"expected one {label} in {expected}, got {places}")
    return faults


def _findings(use: str, settings: Any, text: str, channel: Channel, prompt: str) -> list[Finding]:
    detector = _default(use) if not settings else build(use, use, settings)
    return [finding for _, finding in scan(detector, text, context=Context(prompt=prompt), lane=_lane(channel))]


@cache
def _default(use: str) -> Detector:
    return build(use, use, {})


def _lane(channel: Channel) -> Lane:
    return Lane(0, channel, 0 if channel is Channel.TOOL else -1)


def _told(findings: Iterable[Finding]) -> str:
    worst_first = sorted(findings, key=lambda finding: -finding.score)
    told = [f"{f.label} {f.score} {tuple(f.span)} {dict(f.detail)}" for f in worst_first]
    return "; ".join(told[:4]) or "nothing"


def _words(finding: Finding) -> set[str]:
    return {str(value).casefold() for value in finding.detail.values()}


@dataclass(slots=True)
class _Counting:
    """A scanner whose text is counted before it is fed, as the engine does."""

    scanner: Scanner
    counter: _Spending

    def feed(self, delta: str) -> Report:
        self.counter.spent += estimate_tokens(delta)
        return self.scanner.feed(delta)

    def settle(self) -> Report:
        return self.scanner.settle()


class _Spending:
    """The length detector beside the engine's count of what the choice has spent."""

    Settings: ClassVar[type] = Length.Settings
    labels: ClassVar[Mapping[str, str]] = Length.labels
    stability: ClassVar[Stability] = Length.stability
    slow: ClassVar[bool] = Length.slow

    def __init__(self, name: str, settings: Any, spent: float = 0.0) -> None:
        self.name = name
        self.detector = Length(name, settings)
        self.spent = spent

    def spent_by(self, choice: int) -> int:
        return int(self.spent)

    def load(self) -> None:
        self.detector.load()

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        self.spent += estimate_tokens(history)
        return _Counting(self.detector.open(lane, context, history), self)
