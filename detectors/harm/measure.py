"""Measures the harm model on labelled rows: what MODEL_CARD.md reports.

    python -m detectors.harm.measure DEV.jsonl.xz [--model model.bin]
    python -m detectors.harm.measure DEV.jsonl.xz --left-out TRAIN.jsonl.xz [SOURCE ...]

The second trains a model without each source in turn and measures it on that source together with the benign rows of
all others: what a text of an unknown kind is to the shipped one. A row's score is what the detector would report.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from detectors.harm.categories import NAMED_IN_DATA
from detectors.harm.corpus import Row, read_rows, windows
from detectors.harm.detector import HarmSettings
from detectors.harm.model import SHIPPED, Model, parse_model

BARS = (0.5, 0.8, 0.9, 0.95)


class Judged(NamedTuple):
    """A row, its score and the category that the model names."""

    row: Row
    score: float
    category: str


def judge(model: Model, rows: Sequence[Row]) -> list[Judged]:
    """Each row with the highest score that the detector would give it, whatever the bars."""
    return [Judged(row, score(model, row.text), model.category(row.text[:400])) for row in rows]


def score(model: Model, text: str) -> float:
    """The highest of: the lower risk of two windows in succession, a risk that is sure, the risk of the only window."""
    risks = [model.risk(window) for window in windows(text)]
    sure = HarmSettings().sure
    pairs = [min(pair) for pair in itertools.pairwise(risks)]
    return max([risk for risk in risks if risk >= sure or len(risks) == 1] + pairs)


def average_precision(judged: Sequence[Judged]) -> float:
    """Area under the precision-recall curve by steps, ties as one step; 0 without harmful rows."""
    total = sum(each.row.harmful for each in judged)
    counts: dict[float, list[int]] = {}
    for each in judged:
        counts.setdefault(each.score, [0, 0])[each.row.harmful] += 1
    hits = seen = 0
    area = 0.0
    for value in sorted(counts, reverse=True):
        benign, harmful = counts[value]
        hits += harmful
        seen += harmful + benign
        area += harmful / total * hits / seen if total else 0.0
    return area


def rates(judged: Sequence[Judged], bar: float) -> tuple[float, float, float]:
    """Recall, share of benign rows at or above `bar`, and F1."""
    found = Counter(each.row.harmful for each in judged if each.score >= bar)
    total = Counter(each.row.harmful for each in judged)
    f1 = 2 * found[True] / max(1, found[True] + found[False] + total[True])
    return found[True] / max(1, total[True]), found[False] / max(1, total[False]), f1


def line(name: str, judged: Sequence[Judged]) -> str:
    """One row of a Markdown table: name, harmful and benign rows, AUPRC, and recall / FPR / F1 at each bar."""
    harmful = sum(each.row.harmful for each in judged)
    benign = len(judged) - harmful
    cells = []
    for bar in BARS:
        recall, alarms, f1 = rates(judged, bar)
        cells.append(
            f"{f'{recall:.2f}' if harmful else '-'} / {f'{alarms:.1%}' if benign else '-'}"
            f"{f' / {f1:.2f}' if harmful and benign else ''}"
        )
    area = f"{average_precision(judged):.3f}" if harmful and benign else "-"
    return f"| {name} | {harmful} / {benign} | {area} | {' | '.join(cells)} |"


def tell(judged: Sequence[Judged], say: Callable[[str], None]) -> None:
    """All tables for one model."""
    say(f"| rows | harmful / benign | AUPRC | {' | '.join(f'at {bar}: recall / FPR / F1' for bar in BARS)} |")
    say("|---|---|---|" + "---|" * len(BARS))
    say(line("all", judged))
    for role in ("prompt", "response"):
        say(line(f"{role}s", [each for each in judged if each.row.role == role]))
    for source in sorted({each.row.source for each in judged}):
        say(line(source, [each for each in judged if each.row.source == source]))
    benign = [each for each in judged if not each.row.harmful]
    for name in sorted(set(NAMED_IN_DATA) & {each.row.category for each in judged}):
        mine = [each for each in judged if each.row.harmful and each.row.category == name]
        named = sum(each.category == NAMED_IN_DATA[name] for each in mine) / max(1, len(mine))
        say(line(f"{NAMED_IN_DATA[name]}, named so {named:.0%}", mine + benign))


def leave_out(
    train: Callable[[Sequence[Row]], Model],
    rows: Sequence[Row],
    dev: Sequence[Row],
    sources: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """A line for each source: a model that never saw it, on its rows and on the benign rows of all others."""
    for source in sources:
        model = train([row for row in rows if row.source != source])
        say(line(source, judge(model, [row for row in dev if row.source == source or not row.harmful])))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m detectors.harm.measure", description="Measure the harm model.")
    parser.add_argument("rows", type=Path, help="labelled rows, JSON Lines, .xz or not")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--left-out", nargs="+", metavar=("TRAIN", "SOURCE"), default=[])
    told = parser.parse_args(arguments)
    try:
        dev = read_rows(told.rows)
        if told.left_out:
            from detectors.harm.train import train

            rows = read_rows(Path(told.left_out[0]))
            sources = told.left_out[1:] or sorted({row.source for row in rows if row.harmful})
            leave_out(train, rows, dev, sources, lambda text: print(text, flush=True))
        else:
            tell(judge(parse_model(told.model.read_bytes()), dev), print)
    except (OSError, ValueError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
