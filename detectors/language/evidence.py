"""What evidence of language is made of: words in, alarms out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from detectors._prose import Piece
from detectors.language.scripts import Script, main_script

_WIDE: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+(?:['’][^\W\d_{_WIDE}]+)?")


class Word(NamedTuple):
    """A word of prose at its place in the raw text; of scripts that are written without spaces, a character."""

    text: str
    start: int
    end: int
    weight: float
    script: Script


class Alarm(NamedTuple):
    """`label` is `leak` or `switch`; `start..end` is the text that gave the alarm."""

    label: str
    language: str
    script: Script
    start: int
    end: int


class Veto(Protocol):
    """A second opinion on a switch: true if `text` (words in lower case) is in one of the `expected` languages."""

    def __call__(self, text: str, expected: frozenset[str]) -> bool: ...


def words(piece: Piece) -> Iterator[Word]:
    """The words of `piece`. Left out: letters beyond ASCII that make no word, such as π, 2πr², x_макс."""
    text, offset, weight = piece
    ascii_only = text.isascii()
    for match in _WORD.finditer(text):
        found = match.group()
        script = Script.LATIN if ascii_only else main_script(found)
        if script is not None and (ascii_only or not _is_symbol(found, script)):
            yield Word(found, offset + match.start(), offset + match.end(), weight, script)


def _is_symbol(word: str, script: Script) -> bool:
    if script is Script.GREEK and (len(word) <= 2 or any(main_script(char) is not script for char in word)):
        return True
    return not word.isascii() and any(char == "_" or char.isdigit() for char in word)
