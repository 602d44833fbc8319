"""What the detector `harm` costs: CPU per token, as a ratio to fastText's language identification of the same text.

    python -m bench.harm                             on built-in English prose
    python -m bench.harm ../shared/corpus/dev.jsonl.xz --characters 400000 [--json FILE]

CPU time of this process, best of the repetitions, each measured in turn with the other so that both meet the same
machine. `harm` is fed in steps of 16 characters, as the engine does. fastText (lid.176.ftz) reads each 400 characters
once, or 400 characters every 200, as `harm` does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.detectors import feed, seconds, transcripts
from detectors.harm import Harm, HarmSettings
from detectors.harm.detector import STEP, WINDOW
from detectors.language.identify import Identifier, load_identifier
from guard.contract import Channel, Context, Lane, estimate_tokens

_STEP: Final = 16
_LANE: Final = Lane(0, Channel.CONTENT)


def identify(identifier: Identifier, texts: Sequence[str], every: int) -> None:
    """The language of 400 characters of each text, every so many."""
    for text in texts:
        line = text.replace("\n", " ")
        for start in range(0, max(1, len(line) - WINDOW + 1), every):
            identifier.best(line[start : start + WINDOW], 0.5)


def scan(detector: Harm, texts: Sequence[str]) -> None:
    for text in texts:
        feed(detector.open(_LANE, Context()), text, _STEP)


def measure(texts: Sequence[str], repetitions: int) -> dict[str, float]:
    """Microseconds a token by name, and the ratios of `harm` to the two ways of fastText."""
    detector = Harm("harm", HarmSettings())
    detector.load()
    identifier = load_identifier("language")
    works: dict[str, Callable[[], object]] = {
        "harm": lambda: scan(detector, texts),
        "fasttext_once": lambda: identify(identifier, texts, WINDOW),
        "fasttext_overlapping": lambda: identify(identifier, texts, STEP),
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repetitions):
        for name, work in works.items():
            best[name] = min(best[name], seconds(work, 1))
    tokens = sum(map(estimate_tokens, texts))
    found = {name: spent / tokens * 1e6 for name, spent in best.items()}
    return found | {
        "ratio_once": best["harm"] / best["fasttext_once"],
        "ratio_overlapping": best["harm"] / best["fasttext_overlapping"],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.harm", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="transcripts as JSON Lines, compressed with xz")
    parser.add_argument("--characters", type=int, default=200_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        texts = [output for _, output in transcripts(options.file, options.characters)]
        figures = measure(texts, options.repetitions)
        if options.json is not None:
            options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        print(f"harm: {error}", file=sys.stderr)
        return 2
    print(
        f"harm {figures['harm']:.2f} us a token; fastText {figures['fasttext_once']:.2f} reading each character once "
        f"({figures['ratio_once']:.1f} times), {figures['fasttext_overlapping']:.2f} in windows as harm reads them "
        f"({figures['ratio_overlapping']:.1f} times)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
