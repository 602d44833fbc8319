"""Which languages may be expected in a response: those of the prompt, those it asks for, those the policy names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from detectors._prose import Prose
from detectors.language.identify import Identifier
from detectors.language.names import languages_named_in
from detectors.language.scripts import CJK, Script, main_script, script_of, scripts_of, usual_language
from detectors.language.variant import Spelling, spelling_of

_WHOLE: Final = 4_000
"""How much of the prompt's end is identified as a whole, in code points."""
_LINES: Final = 64
"""How many of the prompt's last lines are identified one by one."""
_SHORTEST: Final = 24
"""Letters of the shortest line in an alphabet that is identified."""
_LINE: Final = re.compile(r"[\n。！？]|[.!?]\s")

_WORD: Final = re.compile(r"[^\W\d_]+")
_TOLD_BY_SCRIPT: Final = ("ja", "ko", "zh")
"""The model mistakes short Chinese for Japanese; kana and hangul do not."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What may stand in a response."""

    languages: frozenset[str]
    scripts: frozenset[Script]
    chars: frozenset[str]
    """Letters beyond ASCII that stand in the prompt: each is expected, whatever its script."""
    words: frozenset[str] = frozenset()
    """Latin words of a prompt that is itself in another script, in lower case."""
    spelling: Spelling | None = None
    """Of the Chinese in the prompt."""
    settled: bool = True
    """False if the prompt did not tell: the response's own beginning then does."""


def expected_in(
    prompt: str,
    identifier: Identifier,
    *,
    named: frozenset[str],
    from_prompt: bool,
    denied: frozenset[str] = frozenset(),
) -> Expected:
    """What may be expected in a response to `prompt`; `named` and `denied` are languages of the policy."""
    told = languages_of(prompt, identifier)
    languages = set(named)
    settled = True
    if from_prompt:
        settled = bool(told)
        languages |= told | languages_named_in(prompt)
    languages -= denied
    chars = frozenset(char for char in prompt if char > "\x7f" and char.isalpha())
    words: frozenset[str] = frozenset()
    if told and Script.LATIN not in scripts_of(told):
        words = frozenset(word.lower() for word in _WORD.findall(prompt) if word.isascii())
    return Expected(frozenset(languages), scripts_of(languages), chars, words, spelling_of(prompt), settled)


def languages_of(text: str, identifier: Identifier) -> set[str]:
    """The languages that `text`, or any of its last lines, is in."""
    reader = Prose()
    prose = "".join(piece.text for piece in reader.feed(text) + reader.finish())
    lines = [line for line in _LINE.split(prose) if line.strip()][-_LINES:]
    found = set()
    whole = " ".join(prose[-_WHOLE:].split())
    if _letters(whole) >= _SHORTEST // 2:
        found.add(identifier.best(_lower(whole), 0.5))
    for line in dict.fromkeys(lines):
        if _letters(line) >= _SHORTEST:
            found.add(identifier.best(_lower(" ".join(line.split())), 0.7))
    return (found - {"", *_TOLD_BY_SCRIPT}) | _by_script(prose)


def _by_script(prose: str) -> set[str]:
    """The languages that a script alone makes likely: two words or characters of it are enough."""
    if prose.isascii():
        return set()
    counts = Counter(main_script(word) for word in _WORD.findall(prose))
    for script in CJK:
        counts[script] = sum(script_of(char) is script for char in prose)
    if counts[Script.KANA]:
        counts[Script.HAN] = 0
    return {
        usual_language(script)
        for script, count in counts.items()
        if script and count >= 2 and script not in (Script.LATIN, Script.GREEK)
    }


def _letters(text: str) -> int:
    return sum(char.isalpha() for char in text)


def _lower(text: str) -> str:
    # Capital letters mislead the model, which has seen few texts in them.
    return text.lower() if text.isupper() else text
