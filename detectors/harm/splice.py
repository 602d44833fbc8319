"""Harm that sets in where a harmless answer was begun: is it found, and after how many characters?

    harmless answer, up to a sentence end | harmful answer ...
                                          ^ joint

Each harmful answer of a file goes behind the beginning of a harmless one of another source, chosen by a hash.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from detectors.harm.corpus import Row
from detectors.harm.detector import HarmScanner, HarmSettings
from detectors.harm.model import Model

SHORTEST: Final = 200
"""Characters of a harmful answer worth waiting for."""
BEGINNING: Final = 1_000
"""Characters, at most, of the harmless beginning; half of them at least."""
_STEP: Final = 16
_BARS: Final = (0.5, 0.9)


class Splice(NamedTuple):
    text: str
    joint: int


@dataclass(frozen=True, slots=True)
class Delays:
    """What was found at one bar. Shares are of all splices, the median of those found after the joint."""

    bar: float
    splices: int
    found: float
    median: float
    within_400: float
    within_600: float
    before: int
    """Splices with a false alarm before the joint."""


def splices(rows: Sequence[Row]) -> Iterator[Splice]:
    """One for each harmful answer that is long enough."""
    answers = [row for row in rows if row.role == "response"]
    calm = [row.text for row in answers if not row.harmful and len(row.text) >= BEGINNING]
    for row in answers:
        if row.harmful and len(row.text) >= SHORTEST and calm:
            number = int.from_bytes(hashlib.sha256(row.id.encode()).digest()[:8])
            text = calm[number % len(calm)][:BEGINNING]
            end = max(text.rfind(". "), text.rfind(".\n")) + 1
            beginning = text[: end if 2 * end > BEGINNING else BEGINNING] + "\n\n"
            yield Splice(beginning + row.text, len(beginning))


def splice_delays(model: Model, rows: Sequence[Row]) -> list[Delays]:
    """For each bar what is found; nothing without splices."""
    made = [*splices(rows)]
    firsts = [_firsts(model, splice) for splice in made]
    return [_delays(bar, [first[number] for first in firsts]) for number, bar in enumerate(_BARS) if made]


def _firsts(model: Model, splice: Splice) -> list[tuple[int | None, bool]]:
    """For each bar: characters from the joint to the first finding after it, and whether there was one before it."""
    settings = HarmSettings()
    scanner = HarmScanner("harm", model, settings.suspect, settings.sure, "")
    found: list[tuple[int, float]] = []
    for start in range(0, len(splice.text), _STEP):
        report = scanner.feed(splice.text[start : start + _STEP])
        fed = min(start + _STEP, len(splice.text))
        found += [(fed - splice.joint, finding.score) for finding in report.findings]
    found += [(len(splice.text) - splice.joint, finding.score) for finding in scanner.settle().findings]
    return [
        (
            min((after for after, score in found if score >= bar and after > 0), default=None),
            any(score >= bar and after <= 0 for after, score in found),
        )
        for bar in _BARS
    ]


def _delays(bar: float, firsts: Sequence[tuple[int | None, bool]]) -> Delays:
    after = [delay for delay, _ in firsts if delay is not None]
    count = len(firsts)
    return Delays(
        bar=bar,
        splices=count,
        found=len(after) / count,
        median=statistics.median(after) if after else 0.0,
        within_400=sum(delay <= 400 for delay in after) / count,
        within_600=sum(delay <= 600 for delay in after) / count,
        before=sum(before for _, before in firsts),
    )
