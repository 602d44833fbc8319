"""Switches of language whose place is known: a clean answer goes on for 400 characters in another language.

    reading   Der Klimawandel ist eine der größten ... | El cambio climático es uno de los mayores ...
              |-------- 400 characters of `de` --------|-------- 400 characters of `es` --------------|
                                                       ^onset: the first letter of the foreign script, where it has one

Both halves are real answers of the language confusion benchmark (Marchisio et al., "Understanding and Mitigating
Language Confusion in LLMs", 2024) that are labelled clean. Answers there end after 100 tokens, so several are joined
where one is too short, as it is for Chinese, Japanese and Korean.
"""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEGMENT: Final = 400
SEED: Final = 20
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Latin": ("de", "en", "es", "fr", "id", "it", "pt", "tr", "vi"),
    "other": ("ar", "hi", "ru"),
    "CJK": ("ja", "ko", "zh"),
}
RELATIVES: Final = frozenset({("es", "pt"), ("pt", "es")})
"""Pairs of one family: they take longer, and are listed on their own."""
_MARKUP: Final = ("```", '":', "{", "http", "|", "$")
_PAIRED: Final = ("()", "（）", "「」", "“”", "«»")
_FIRST_LETTER: Final = {
    "ar": "\u0600",
    "hi": "\u0900",
    "ja": "\u3040",
    "ko": "\uac00",
    "ru": "\u0400",
    "zh": "\u4e00",
}


@dataclass(frozen=True, slots=True)
class Splice:
    """`text` is in `expected` up to `onset`, then in `foreign`."""

    expected: str
    foreign: str
    onset: int
    text: str

    @property
    def kind(self) -> str:
        """`Latin to Latin`, `relatives`, `into CJK` or `into other scripts`."""
        if (self.expected, self.foreign) in RELATIVES:
            return "relatives"
        if self.foreign in GROUPS["Latin"]:
            return "Latin to Latin" if self.expected in GROUPS["Latin"] else "into Latin"
        return "into CJK" if self.foreign in GROUPS["CJK"] else "into other scripts"


def read_clean(file: Path) -> dict[str, list[str]]:
    """The answers of `language_confusion.jsonl.xz` that are labelled clean and hold no markup, by language."""
    clean: dict[str, list[str]] = {}
    with lzma.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            output = record["output"].strip()
            if not record["labels"]["language_mix"] and not any(sign in output for sign in _MARKUP):
                clean.setdefault(record["target_lang"], []).append(output)
    return clean


def splices(clean: Mapping[str, Sequence[str]], per_pair: int = 4) -> Iterator[Splice]:
    """`per_pair` splices of every ordered pair of languages, the same each time."""
    languages = [language for group in GROUPS.values() for language in group if clean.get(language)]
    for expected in languages:
        for foreign in languages:
            if expected != foreign:
                chance = random.Random(f"{SEED} {expected} {foreign}")
                for _ in range(per_pair):
                    yield _splice(expected, foreign, clean, chance)


def _splice(expected: str, foreign: str, clean: Mapping[str, Sequence[str]], chance: random.Random) -> Splice:
    before = _segment(clean[expected], chance)
    while any(before.count(opener) > before.count(closer) for opener, closer in _PAIRED) or before.count('"') % 2:
        before = _segment(clean[expected], chance)  # a quotation cut open would hide what follows
    after = _segment(clean[foreign], chance)
    start = len(before) + 1
    first = _FIRST_LETTER.get(foreign)
    onset = start if first is None else start + next(at for at, char in enumerate(after) if char >= first)
    return Splice(expected, foreign, onset, f"{before} {after}")


def _segment(answers: Sequence[str], chance: random.Random) -> str:
    """About `SEGMENT` characters: whole answers from the start of one, cut behind a word."""
    text = ""
    while len(text) < SEGMENT:
        text = f"{text}\n{chance.choice(answers)}".lstrip()
    end = text.rfind(" ", SEGMENT - 40, SEGMENT)
    return text[: end if end > 0 else SEGMENT]
