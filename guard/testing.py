"""The kit for whoever writes a detector.

    assert_detector_contract(MyDetector("mine", MyDetector.Settings()), texts=["...", "..."])
    scan(detector, "some text")           # [(fed, Finding), ...], fed on the grid as the engine does

`detector.load()` is called for you.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from guard.contract import ERROR_LABEL, Channel, Context, Detector, Finding, Lane, Report, Scanner

CHUNKS: Final = (1, 13, 16, 200, 5_000)
"""Chunk sizes at which the same findings are expected, in code points."""

_LANE: Final = Lane(0, Channel.CONTENT)
_Essence: TypeAlias = tuple[str, float, tuple[int, int], tuple[int, int] | None, tuple[tuple[str, str | float], ...]]


def chunks(text: str, size: int) -> Iterator[str]:
    """`text` in pieces of `size` code points, the last one shorter."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


def scan(
    detector: Detector,
    text: str,
    *,
    context: Context | None = None,
    lane: Lane = _LANE,
    step: int = 16,
    history: str = "",
) -> list[tuple[int, Finding]]:
    """Every finding in `text`, each with the number of code points that had been fed when it was made.

    Feeds at multiples of `step` and settles at the end, as the engine does. `history` is text before `text`; offsets
    count from its start. Raises `AssertionError` if a report breaks the contract.
    """
    detector.load()
    scanner = _Checked(detector, lane, context or Context(), history)
    first = step - len(history) % step
    for piece in (text[:first], *chunks(text[first:], step)):
        if piece:
            scanner.feed(piece)
    scanner.settle()
    return scanner.findings


def assert_detector_contract(
    detector: Detector,
    texts: Iterable[str],
    *,
    context: Context | None = None,
    lane: Lane = _LANE,
    chunk_sizes: Sequence[int] = CHUNKS,
) -> None:
    """Check what every detector promises (see `guard.contract`). Raises `AssertionError` that names the promise.

    For each text: `settled` never falls, never passes what was fed, and is the end after `settle`; findings lie in
    what was fed, start no earlier than `settled` promised, and carry declared labels and scores of 0..1; they are the
    same at all `chunk_sizes`; scanners share no state; `history` is remembered but not reported.
    """
    detector.load()
    context = context or Context()
    assert ERROR_LABEL not in detector.labels, (
        f"the label `{ERROR_LABEL}` is reserved: {detector.name} may not declare it"
    )
    empty = _Checked(detector, lane, context, "")
    empty.feed("")
    empty.settle()
    assert not empty.findings, f"{detector.name} finds something in an empty text: {empty.findings}"
    for text in texts:
        expected: list[_Essence] | None = None
        for size in chunk_sizes:
            found = [_essence(finding) for finding in _findings(detector, lane, context, text, size)]
            if expected is None:
                expected = found
            assert found == expected, (
                f"{detector.name} finds something else in chunks of {size} than of {chunk_sizes[0]} code points:"
                f"\n  {found}\n  {expected}"
            )
        _check_isolation(detector, lane, context, text, expected or [])
        _check_history(detector, lane, context, text)
        _check_settling_midway(detector, lane, context, text)


class _Checked:
    """A scanner whose every report is held against the contract."""

    def __init__(self, detector: Detector, lane: Lane, context: Context, history: str) -> None:
        self.detector = detector
        self.scanner: Scanner = detector.open(lane, context, history)
        self.history = len(history)
        self.fed = len(history)
        self.settled = len(history)
        self.findings: list[tuple[int, Finding]] = []

    def feed(self, piece: str) -> Report:
        self.fed += len(piece)
        return self._check(self.scanner.feed(piece))

    def settle(self) -> Report:
        report = self._check(self.scanner.settle())
        assert report.settled == self.fed, f"{self._name} settled {report.settled} of {self.fed} when told to settle"
        return report

    @property
    def _name(self) -> str:
        return f"detector {self.detector.name}"

    def _check(self, report: Report) -> Report:
        assert report.settled >= self.settled, f"{self._name}: settled fell from {self.settled} to {report.settled}"
        assert report.settled <= self.fed, f"{self._name}: settled {report.settled} of only {self.fed} code points"
        for finding in report.findings:
            self._check_finding(finding)
            self.findings.append((self.fed, finding))
        self.settled = report.settled
        return report

    def _check_finding(self, finding: Finding) -> None:
        start, end = span = finding.span
        label = finding.label
        assert finding.detector == self.detector.name, f"{self._name} signs as {finding.detector!r}"
        assert label in (*self.detector.labels, ERROR_LABEL), f"{self._name}: undeclared label {label!r}"
        assert 0 <= finding.score <= 1, f"{self._name}: score {finding.score} is not in 0..1"
        assert self.settled <= start, f"{self._name}: {span} starts before {self.settled}, which was settled"
        assert start < end <= self.fed, f"{self._name}: {span} is empty or not within the {self.fed} fed"
        if finding.evidence is not None:
            first, last = finding.evidence
            assert 0 <= first <= last <= self.fed, f"{self._name}: {finding.evidence} is not within the {self.fed} fed"
        for key, value in finding.detail.items():
            assert isinstance(value, str | int | float), f"{self._name}: detail {key!r} is {type(value).__name__}"


def _findings(detector: Detector, lane: Lane, context: Context, text: str, size: int) -> list[Finding]:
    scanner = _Checked(detector, lane, context, "")
    for piece in chunks(text, size):
        scanner.feed(piece)
    scanner.settle()
    return [finding for _, finding in scanner.findings]


def _essence(finding: Finding) -> _Essence:
    evidence = None if finding.evidence is None else (finding.evidence.start, finding.evidence.end)
    span = (finding.span.start, finding.span.end)
    return (finding.label, finding.score, span, evidence, tuple(sorted(finding.detail.items())))


def _check_isolation(detector: Detector, lane: Lane, context: Context, text: str, expected: list[_Essence]) -> None:
    one = _Checked(detector, lane, context, "")
    other = _Checked(detector, lane, context, "")
    for piece in chunks(text, 200):
        other.feed(piece[::-1])
        one.feed(piece)
    one.settle()
    found = [_essence(finding) for _, finding in one.findings]
    assert found == expected, f"{detector.name}: two scanners share state: {found} instead of {expected}"


def _check_history(detector: Detector, lane: Lane, context: Context, text: str) -> None:
    for cut in {len(text) // 3, len(text) // 2, len(text)}:
        scanner = _Checked(detector, lane, context, text[:cut])
        report = scanner.feed("")
        assert report.settled == cut, f"{detector.name}: settled starts at {report.settled}, not at the history's {cut}"
        for piece in chunks(text[cut:], 16):
            scanner.feed(piece)
        scanner.settle()


def _check_settling_midway(detector: Detector, lane: Lane, context: Context, text: str) -> None:
    scanner = _Checked(detector, lane, context, "")
    for number, piece in enumerate(chunks(text, 75)):
        scanner.feed(piece)
        if number % 3 == 2:
            scanner.settle()
    scanner.settle()
