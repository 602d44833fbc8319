"""What loop and language detection cost: CPU per token, as a ratio to `zlib.compress` of the same text, and memory.

    python -m bench.detectors                             on built-in English prose
    python -m bench.detectors ../shared/corpus/dev.jsonl.xz --characters 400000

CPU time of this process, scanners fed in chunks of 5 characters, best of the repetitions; tokens as the guard estimates
them. Memory is what `tracemalloc` sees a scanner allocate and keep while 8,000 tokens are fed: models and caches that
streams share are warmed up before, with another text of the same kind.
"""

from __future__ import annotations

import argparse
import gc
import json
import lzma
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.text import PROSE
from detectors.language import Language, LanguageSettings
from detectors.loop import Loop, LoopSettings
from guard.contract import Channel, Context, Detector, Lane, Scanner, estimate_tokens

_CHUNK = 5
_LANE = Lane(0, Channel.REASONING)
_TOKENS = 8_000
_HAN = "然后我们需要考虑这个问题的所有可能情况，因为它们之间的关系很复杂，所以必须仔细分析每一个步骤，"
_CYRILLIC = (
    "Теперь нужно проверить, что сумма всех вероятностей равна единице, иначе ответ неверен и решение надо искать. "
)


def detectors() -> dict[str, Detector]:
    """Loop and language detection with their default settings, loaded."""
    both: dict[str, Detector] = {
        "loop": Loop("loop", LoopSettings()),
        "language": Language("language", LanguageSettings()),
    }
    for detector in both.values():
        detector.load()
    return both


def seconds(work: Callable[[], object], repetitions: int) -> float:
    """CPU seconds of the quickest of `repetitions` runs."""
    times = []
    for _ in range(repetitions):
        gc.collect()
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def feed(scanner: Scanner, text: str, size: int = _CHUNK) -> None:
    for start in range(0, len(text), size):
        scanner.feed(text[start : start + size])
    scanner.settle()


def numbered(sentence: str) -> Iterator[str]:
    """`sentence` over and over with its characters turned, so that it is no loop."""
    turn = 0
    while True:
        turn = (turn * 7 + 3) % len(sentence)
        yield sentence[turn:] + sentence[:turn]


def of_tokens(sentence: str, tokens: int) -> str:
    """Text of about `tokens` tokens in the script of `sentence`."""
    text = ""
    parts = numbered(sentence)
    while estimate_tokens(text) < tokens:
        text += next(parts)
    return text


def kept(detector: Detector, text: str, prompt: str) -> int:
    """Bytes that one scanner holds after `text`."""
    feed(detector.open(_LANE, Context(prompt=prompt)), text[::-1], 16)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    scanner = detector.open(_LANE, Context(prompt=prompt))
    for start in range(0, len(text), 16):
        scanner.feed(text[start : start + 16])
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def transcripts(file: Path | None, characters: int) -> list[tuple[str, str]]:
    """Prompts and outputs, `characters` of outputs together."""
    if file is None:
        return [("Tell me about lighthouses.", PROSE)] * max(1, characters // len(PROSE))
    chosen: list[tuple[str, str]] = []
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            chosen.append((record["prompt"], record["output"]))
            if sum(len(output) for _, output in chosen) >= characters:
                break
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.detectors", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="transcripts as JSON Lines, compressed with xz")
    parser.add_argument("--characters", type=int, default=300_000)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args(arguments)
    texts = transcripts(options.file, options.characters)
    tokens = sum(estimate_tokens(output) for _, output in texts)
    both = detectors()
    floor = seconds(lambda: [zlib.compress(output.encode()) for _, output in texts], options.repetitions)
    print(f"{tokens:,.0f} tokens; zlib {floor / tokens * 1e6:.2f} us a token")

    def scan(detector: Detector) -> None:
        for prompt, output in texts:
            feed(detector.open(_LANE, Context(prompt=prompt)), output)

    total = 0.0
    for name, detector in both.items():
        spent = seconds(lambda detector=detector: scan(detector), options.repetitions)  # type: ignore[misc]
        total += spent
        print(f"{name:<10}{spent / tokens * 1e6:>8.2f} us a token {spent / floor:>8.1f} x zlib")
    print(f"{'both':<10}{total / tokens * 1e6:>8.2f} us a token {total / floor:>8.1f} x zlib")
    for script, sentence, prompt in (
        ("Latin", PROSE, "Tell me about lighthouses."),
        ("Han", _HAN, "请一步一步地分析这个问题。"),
        ("Cyrillic", _CYRILLIC, "Объясни решение по шагам, пожалуйста."),
    ):
        text = of_tokens(sentence, _TOKENS)
        sizes = {name: kept(detector, text, prompt) for name, detector in both.items()}
        told = ", ".join(f"{name} {size / 1024:.0f}" for name, size in sizes.items())
        print(f"memory after {_TOKENS:,} tokens of {script}: {sum(sizes.values()) / 1024:.0f} KiB ({told})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
