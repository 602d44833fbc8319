"""Measures the harm model on labelled rows: what MODEL_CARD.md and docs/harm.md report.

    python -m detectors.harm.measure DEV.jsonl.xz [--model model.bin] [--json FILE]
    python -m detectors.harm.measure DEV.jsonl.xz --calm TRANSCRIPTS.jsonl.xz
    python -m detectors.harm.measure DEV.jsonl.xz --left-out TRAIN.jsonl.xz [SOURCE ...] --vectors ... --profanity ...

The first prints quality on all rows, by role, source and category, and how soon harm is found that sets in where a
harmless answer was begun. `--calm` adds false alarms on outputs taken as harmless. The third trains a model without
each source in turn and measures it on that source together with the benign rows of all others: what a text of an
unknown kind is to the shipped one. A row's score is what the detector would report, whatever the bars.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from detectors.harm.categories import NAMED_IN_DATA
from detectors.harm.corpus import Row, read_outputs, read_rows
from detectors.harm.detector import HarmScanner, HarmSettings
from detectors.harm.model import SHIPPED, Model, parse_model
from detectors.harm.splice import Delays, splice_delays

BARS: Final = (0.5, 0.7, 0.8, 0.9, 0.95)
_T = TypeVar("_T")
Progress = Callable[[Sequence[_T], str], Iterable[_T]]


class Judged(NamedTuple):
    """A row, its score and the category that the model names."""

    row: Row
    score: float
    category: str


@dataclass(frozen=True, slots=True)
class Rates:
    """Of harmful rows those found, of benign ones those taken for harmful, and F1, at one bar."""

    bar: float
    recall: float
    false_alarms: float
    f1: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A group of rows. `auprc` is 0 without rows of both kinds."""

    name: str
    harmful: int
    benign: int
    auprc: float
    rates: Sequence[Rates]


def score(model: Model, text: str, role: str = "response") -> tuple[float, str]:
    """The highest score that the detector would give a text, and the category it names."""
    settings = HarmSettings()
    sure = settings.prompt_sure if role == "prompt" else settings.sure
    scanner = HarmScanner("harm", model, settings.suspect, sure, "")
    scanner.feed(text)
    scanner.settle()
    peaks = scanner.peaks()
    category = max(peaks, key=peaks.__getitem__)
    return peaks[category], category


def judge(model: Model, rows: Iterable[Row]) -> list[Judged]:
    """Each row with its score."""
    return [Judged(row, *score(model, row.text, row.role)) for row in rows]


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


def rates(judged: Sequence[Judged], bar: float) -> Rates:
    found = Counter(each.row.harmful for each in judged if each.score >= bar)
    total = Counter(each.row.harmful for each in judged)
    f1 = 2 * found[True] / max(1, found[True] + found[False] + total[True])
    return Rates(bar, found[True] / max(1, total[True]), found[False] / max(1, total[False]), f1)


def figures(name: str, judged: Sequence[Judged]) -> Figures:
    harmful = sum(each.row.harmful for each in judged)
    benign = len(judged) - harmful
    area = average_precision(judged) if harmful and benign else 0.0
    return Figures(name, harmful, benign, area, [rates(judged, bar) for bar in BARS])


def tables(judged: Sequence[Judged]) -> list[Figures]:
    """Figures of all rows, by role, by source, and of each category against all benign rows."""
    made = [figures("all", judged)]
    made += [figures(f"{role}s", [each for each in judged if each.row.role == role]) for role in ("prompt", "response")]
    for source in sorted({each.row.source for each in judged}):
        made.append(figures(source, [each for each in judged if each.row.source == source]))
    benign = [each for each in judged if not each.row.harmful]
    for name in sorted(set(NAMED_IN_DATA) & {each.row.category for each in judged}):
        mine = [each for each in judged if each.row.harmful and each.row.category == name]
        named = sum(each.category == NAMED_IN_DATA[name] for each in mine) / max(1, len(mine))
        made.append(figures(f"{NAMED_IN_DATA[name]}, named so {named:.0%}", mine + benign))
    return made


def leave_out(
    train: Callable[[Sequence[Row], bool], Model],
    rows: Sequence[Row],
    dev: Sequence[Row],
    sources: Iterable[str],
    say: Callable[[Figures], None],
) -> list[Figures]:
    """Figures for each source of a model that never saw it, on its rows and on the benign rows of all others.

    `train` is told whether the profanity checker may be used: it was trained on the posts of `davidson`.
    """
    made = []
    for source in sources:
        model = train([row for row in rows if row.source != source], source != "davidson")
        made.append(figures(source, judge(model, [row for row in dev if row.source == source or not row.harmful])))
        say(made[-1])
    return made


HEAD: Final = (
    f"| rows | harmful / benign | AUPRC | {' | '.join(f'at {bar:g}: recall / FPR / F1' for bar in BARS)} |\n"
    f"|---|---|---|{'---|' * len(BARS)}"
)


def line(these: Figures) -> str:
    """One row of a Markdown table under `HEAD`."""
    both = these.harmful and these.benign
    cells = [
        f"{f'{each.recall:.2f}' if these.harmful else '-'} / {f'{each.false_alarms:.1%}' if these.benign else '-'}"
        f"{f' / {each.f1:.2f}' if both else ''}"
        for each in these.rates
    ]
    area = f"{these.auprc:.3f}" if both else "-"
    return f"| {these.name} | {these.harmful} / {these.benign} | {area} | {' | '.join(cells)} |"


def told(delays: Delays) -> str:
    """A sentence on one bar of the splices."""
    return (
        f"spliced answers at {delays.bar:g}: {delays.found:.0%} of {delays.splices} found, {delays.median:.0f} "
        f"characters after the joint in the median, {delays.within_400:.0%} within 400, {delays.within_600:.0%} within "
        f"600; {delays.before} false alarms before the joint"
    )


def calm(scores: Sequence[float]) -> str:
    """How many harmless outputs reach each bar."""
    reached = [f"{sum(each >= bar for each in scores)} at {bar:g}" for bar in BARS]
    return f"false alarms on {len(scores):,} outputs: {', '.join(reached)}"


def follow(items: Sequence[_T], what: str) -> Iterable[_T]:
    """`items`, with a bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, console=console, disable=not console.is_terminal, transient=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m detectors.harm.measure", description="Measure the harm model.")
    parser.add_argument("rows", type=Path, help="labelled rows, JSON Lines, .xz or not")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--calm", type=Path, metavar="TRANSCRIPTS", help="outputs taken as harmless")
    parser.add_argument("--left-out", nargs="+", metavar=("TRAIN", "SOURCE"), default=[])
    parser.add_argument("--vectors", type=Path, metavar="FOLDER", help="for --left-out, as for training")
    parser.add_argument("--profanity", type=Path, metavar="FOLDER", help="for --left-out, as for training")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures go")
    options = parser.parse_args(arguments)
    try:
        data = _left_out(options) if options.left_out else _measure(options)
        if options.json is not None:
            options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    return 0


def _measure(options: argparse.Namespace) -> dict[str, object]:
    dev = read_rows(options.rows)
    outputs = read_outputs(options.calm) if options.calm else []
    model = parse_model(options.model.read_bytes())
    made = tables(judge(model, follow(dev, "rows")))
    print("\n".join([HEAD, *map(line, made)]) + "\n")
    delays = splice_delays(model, dev)
    print("\n".join(map(told, delays)))
    scores = [score(model, output)[0] for output in follow(outputs, "outputs")]
    if scores:
        print(calm(scores))
    alarms = {f"{bar:g}": sum(each >= bar for each in scores) for bar in BARS}
    return {
        "rows": [asdict(each) for each in made],
        "splices": [asdict(each) for each in delays],
        "calm": {"outputs": len(scores), "alarms": alarms},
    }


def _left_out(options: argparse.Namespace) -> dict[str, object]:
    from detectors.harm.senses import Senses
    from detectors.harm.train import train

    dev, rows = read_rows(options.rows), read_rows(Path(options.left_out[0]))
    sources = options.left_out[1:] or sorted({row.source for row in rows if row.harmful})
    senses = Senses.read(options.vectors, options.profanity) if options.vectors else None

    def train_on(rows: Sequence[Row], profanity: bool) -> Model:
        return train(rows, senses if senses is None or profanity else senses.without_profanity())

    print(HEAD)
    made = leave_out(train_on, rows, dev, follow(sources, "sources"), lambda each: print(line(each), flush=True))
    return {"left_out": [asdict(each) for each in made]}


if __name__ == "__main__":
    sys.exit(main())
