"""How much disguised harm the `harm` detector still finds, by way of disguise.

    python -m bench.evasion --harm ../shared/harm/dev.jsonl.xz

200 harmful texts of 40 to 350 characters that it finds undisguised, at 0.5, and 200 harmless ones that it lets pass,
disguised as a whole. "As it stands" is the model on the disguised text with nothing undone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from detectors.harm import Harm, HarmSettings
from detectors.harm.corpus import Row, read_rows
from detectors.harm.model import shipped_model
from guard.contract import WARN, Channel, Context, Finding, Lane

STRINGS: Final = 200
SHORTEST: Final = 40
LONGEST: Final = 350
_LANE: Final = Lane(0, Channel.CONTENT)
_BY_WORD: Final = frozenset({"one letter doubled", "two letters swapped"})
_MISSPELLED: Final = 4
"""Letters of a word that is long enough to be misspelled."""


def detector() -> Harm:
    made = Harm("harm", HarmSettings())
    made.load()
    return made


def found(made: Harm, text: str, seed: int = 0) -> bool:
    """Is there a finding in `text`, fed in pieces of 1 to 40 characters?"""
    sizes = random.Random(seed)
    scanner = made.open(_LANE, Context())
    findings: list[Finding] = []
    at = 0
    while at < len(text):
        size = sizes.randint(1, 40)
        findings += scanner.feed(text[at : at + size]).findings
        at += size
    return bool(findings or scanner.settle().findings)


def texts(made: Harm, rows: Sequence[Row], *, harmful: bool) -> list[str]:
    """`STRINGS` texts, drawn by a hash, that are judged rightly as they are; in lower case, as disguises need them."""
    chosen: list[str] = []
    for row in sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest()):
        text = row.text.lower()
        fits = SHORTEST <= len(text) <= LONGEST and text.isascii() and row.harmful == harmful
        if fits and len(chosen) < STRINGS and found(made, text) == harmful:
            chosen.append(text)
    return chosen


def disguised(name: str, how: Callable[[str], str], text: str) -> str:
    """The whole text in disguise; misspellings are made in each longer word."""
    if name not in _BY_WORD:
        return how(text)
    return " ".join(how(word) if len(word) >= _MISSPELLED else word for word in text.split(" "))


def table(disguises: Mapping[str, Callable[[str], str]], file: Path) -> str:
    """What is found in harmful and in harmless texts under every disguise, as Markdown.

    Raises `OSError` or `ValueError` for a file that holds no rows.
    """
    rows = read_rows(file)
    made, model = detector(), shipped_model()
    harmful, harmless = texts(made, rows, harmful=True), texts(made, rows, harmful=False)
    lines = [
        f"| Disguise | Found, of {len(harmful)} | As it stands | False alarms, of {len(harmless)} |",
        "|---|---|---|---|",
    ]
    for name, how in disguises.items():
        hidden = [disguised(name, how, text) for text in harmful]
        seen = sum(found(made, text) for text in hidden)
        plain = sum(model.weigh(text) >= WARN for text in hidden)
        wrong = sum(found(made, disguised(name, how, text)) for text in harmless)
        shares = (seen / max(1, len(harmful)), plain / max(1, len(harmful)), wrong / max(1, len(harmless)))
        lines.append("| " + " | ".join([name, *(f"{share:.1%}" for share in shares)]) + " |")
    return "\n".join(lines)
