"""What an operator may list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from guard.contract import ERROR_LABEL, STOP

_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class WordList:
    """Words with settings of their own."""

    words: tuple[str, ...] = ()
    file: str = ""
    """A UTF-8 file with a word or phrase a line; lines that start with `# ` are left out. Relative to where the guard
    is started."""
    whole_words: bool = True
    """False finds them inside other words too."""
    shadow: bool = True
    """Look for them in the text as a reader sees it: look-alikes, invisible characters, upper and lower case undone."""
    ignore_case: bool = True
    """With `shadow`, case is always ignored."""
    score: float = STOP

    def __post_init__(self) -> None:
        _check(self.shadow, self.ignore_case, self.score)
        if not self.words and not self.file:
            raise ValueError("give words or a file")


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A regular expression or a file of them, in the syntax that RE2 and Python share: no look-around or references."""

    regex: str = ""
    file: str = ""
    """A UTF-8 file with an expression a line, in which a space stands for white space; lines that start with `# ` are
    left out. Relative to where the guard is started. `prompt_injection` is a list that comes with the guard."""
    max_length: int | None = None
    """Longest match, in characters. Needed where the expression has no upper limit of its own, as with + and *: these
    are then limited so that the whole is not longer. Text is held back for a match that has begun."""
    shadow: bool = True
    """Look for it in the text as a reader sees it. Its letters are then lower-case Latin ones."""
    ignore_case: bool = True
    score: float = STOP
    check: Literal["", "luhn", "iban", "github"] = ""
    """A checksum that a match must pass."""

    def __post_init__(self) -> None:
        _check(self.shadow, self.ignore_case, self.score)
        if bool(self.regex) == bool(self.file):
            raise ValueError("give either a regex or a file")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"max_length must be 1 or more, not {self.max_length}")


@dataclass(frozen=True, slots=True)
class PatternSettings:
    """What is looked for, by label. Labels become labels of rules and metrics."""

    words: Mapping[str, tuple[str, ...] | WordList] = field(default_factory=dict)
    """Label to words and phrases, or to a mapping with `words` or `file` and more settings."""
    patterns: Mapping[str, str | PatternRule | tuple[str | PatternRule, ...]] = field(default_factory=dict)
    """Label to a regular expression, to a mapping with `regex` and more settings, or to a list of these."""
    secrets: bool = False
    """Also look for API keys, tokens and private keys of known forms, labelled `secret`."""
    decode: tuple[Literal["base64", "hex", "url", "rot13", "tags", "bidi"], ...] = (
        "base64",
        "hex",
        "url",
        "rot13",
        "tags",
        "bidi",
    )
    """Encodings that are undone. rot13 for listed words of five letters and more."""

    def __post_init__(self) -> None:
        for setting, labels in (("words", self.words), ("patterns", self.patterns)):
            for label in labels:
                if label == ERROR_LABEL or not _LABEL.fullmatch(label):
                    raise ValueError(
                        f"{setting}: `{label}` cannot be a label; use letters, digits and underscores, "
                        f"a letter first, and not `{ERROR_LABEL}`"
                    )


def _check(shadow: bool, ignore_case: bool, score: float) -> None:
    if shadow and not ignore_case:
        raise ValueError("the shadow text has no upper case; set shadow: false too, or leave ignore_case out")
    if not 0 <= score <= 1:
        raise ValueError(f"score must be 0 to 1, not {score}")
