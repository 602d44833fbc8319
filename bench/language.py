"""How well languages are told apart: delay over spliced switches, agreement with the language confusion benchmark.

    python -m bench.language ../shared/corpus/language_confusion.jsonl.xz
    ... --per-pair 8 --pairs        more splices; one row for every pair of languages

Delay is counted in characters from the onset of the foreign text to the end of what had been fed when the first finding
(`leak` or `switch`) or the first `switch` came, at steps of 16 as in the engine. A finding before the onset is `early`.
The scanner expects the first language alone and allows no other.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.splices import Splice, read_clean, splices
from detectors.language import Language, LanguageSettings
from guard.contract import Channel, Context, Finding, Lane

_LANE = Lane(0, Channel.CONTENT)
_STEP = 16
_LEVELS = ("full", "line", "word")


@dataclass(slots=True)
class Delays:
    """Of one kind of splice."""

    count: int = 0
    early: int = 0
    first: list[int] = field(default_factory=list)
    switch: list[int] = field(default_factory=list)

    def add(self, splice: Splice, findings: Sequence[tuple[int, Finding]]) -> None:
        self.count += 1
        self.early += any(at <= splice.onset for at, _ in findings)
        for label, delays in (("", self.first), ("switch", self.switch)):
            found = [at - splice.onset for at, finding in findings if at > splice.onset and label in finding.label]
            delays.extend(found[:1])

    def row(self, name: str) -> str:
        cells = [f"{name:<20}{self.count:>6}{self.early:>6}"]
        for delays in (self.first, self.switch):
            low, middle, high = (quantile(delays, share) for share in (0.1, 0.5, 0.9))
            cells.append(f"{len(delays):>7}{low:>6}{middle:>6}{high:>6}")
        return "".join(cells)


def quantile(values: Sequence[int], share: float) -> int:
    """The value below which `share` of `values` lie; -1 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else -1


@cache
def _detector(language: str) -> Language:
    detector = Language("language", LanguageSettings(expect=(language,), allow=()))
    detector.load()
    return detector


def findings_in(text: str, language: str, prompt: str = "") -> list[tuple[int, Finding]]:
    """What is found in `text` if only `language` is expected, each finding with the code points fed by then."""
    scanner = _detector(language).open(_LANE, Context(prompt=prompt))
    found: list[tuple[int, Finding]] = []
    for start in range(0, len(text), _STEP):
        piece = text[start : start + _STEP]
        found += [(start + len(piece), finding) for finding in scanner.feed(piece).findings]
    return found + [(len(text), finding) for finding in scanner.settle().findings]


def delay_table(cases: Iterable[Splice], *, pairs: bool) -> list[str]:
    """A row for each kind of splice, or for each pair of languages."""
    table: dict[str, Delays] = defaultdict(Delays)
    for case in cases:
        name = f"{case.expected} to {case.foreign}" if pairs else case.kind
        table[name].add(case, findings_in(case.text, case.expected))
    quantiles = f"{'p10':>6}{'p50':>6}{'p90':>6}"
    head = f"{'':<20}{'n':>6}{'early':>6}{'found':>7}{quantiles}{'switch':>7}{quantiles}"
    return [head, *(table[name].row(name) for name in sorted(table))]


def agreement_table(file: Path) -> list[str]:
    """Agreement with `labels.language_mix` per response, for each language that was asked for."""
    counts: dict[str, dict[tuple[str, bool], int]] = defaultdict(lambda: defaultdict(int))
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            language, level = record["target_lang"], record["labels"]["level"]
            found = bool(findings_in(record["output"], language, record["prompt"]))
            for name in (language, "all"):
                counts[name][level, found] += 1
    head = f"{'':<6}{'n':>6}{'agree':>8}{'flagged clean':>15}" + "".join(f"{level:>12}" for level in _LEVELS)
    return [
        head,
        *(_agreement_row(name, counts[name]) for name in sorted(counts, key=lambda name: (name == "all", name))),
    ]


def _agreement_row(name: str, counts: Mapping[tuple[str, bool], int]) -> str:
    total = sum(counts.values())
    agreed = sum(count for (level, found), count in counts.items() if found == (level != "none"))

    def share(level: str) -> str:
        hits = counts.get((level, True), 0)
        return f"{hits}/{hits + counts.get((level, False), 0)}"

    return f"{name:<6}{total:>6}{agreed / total:>8.3f}{share('none'):>15}" + "".join(
        f"{share(level):>12}" for level in _LEVELS
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.language", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="language_confusion.jsonl.xz")
    parser.add_argument("--per-pair", type=int, default=4)
    parser.add_argument("--pairs", action="store_true", help="one row for every pair of languages")
    parser.add_argument("--only", choices=("delay", "agreement"))
    options = parser.parse_args(arguments)
    if not options.file.is_file():
        print(f"there is no file {options.file}", file=sys.stderr)
        return 2
    if options.only != "agreement":
        print("\n".join(delay_table(splices(read_clean(options.file), options.per_pair), pairs=options.pairs)), "\n")
    if options.only != "delay":
        print("\n".join(agreement_table(options.file)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
