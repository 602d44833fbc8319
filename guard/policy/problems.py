"""What can be wrong with a policy, and how an operator is told.

    policies/house.yaml:4:34: P103 unknown label
        when: {detector: pii, label: CREDIT_CRAD}
                                     ^
        detector `pii` has no such label; did you mean CREDIT_CARD? (guard detectors pii)

All problems of a policy are reported at once, each with a code that keeps its meaning for ever.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

TITLES: Final = {
    "P101": "not YAML",
    "P102": "unknown key",
    "P103": "unknown label",
    "P104": "wrong value",
    "P105": "missing key",
    "P106": "cannot be read",
    "P107": "YAML feature not allowed",
    "P108": "duplicate key",
    "P109": "nested too deeply",
    "P110": "unknown detector",
    "P111": "detector cannot be used",
    "P112": "wrong detector setting",
    "P113": "duplicate rule id",
    "P114": "not an addition",
    "P115": "cannot extend",
    "P116": "cannot be done there",
    "P117": "rule can never decide",
    "P118": "watches nothing",
    "P119": "example fails",
}
"""Every code with its title. A code is never reused for something else."""

_LONGEST_LINE: Final = 160
"""Characters of a source line that are shown; of a longer one, the part around the caret."""
_UNPRINTABLE: Final = re.compile(r"[^\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


class Severity(StrEnum):
    """Whether a policy with this problem is refused, or only remarked on."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a file: line and column count from 1, columns in code points. `text` is the line itself."""

    file: str
    line: int = 1
    column: int = 1
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, which kind, and what to do about it."""

    code: str
    place: Place
    message: str
    severity: Severity = Severity.ERROR

    @property
    def title(self) -> str:
        return TITLES[self.code]

    def __str__(self) -> str:
        warning = "warning: " if self.severity is Severity.WARNING else ""
        lines = [f"{self.place}: {self.code} {warning}{self.title}"]
        if self.place.text.strip():
            lines += _snippet(self.place)
        lines += [f"    {line}" for line in self.message.splitlines()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for programs. Keys are stable."""
        return {
            "code": self.code,
            "title": self.title,
            "severity": str(self.severity),
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "message": self.message,
        }


class PolicyError(Exception):
    """A policy cannot be used as it is. `problems` are all of its problems; `str()` shows every one with its place."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems: Sequence[Problem] = in_order(problems)
        super().__init__(render(self.problems))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems by place; what is said twice of one place is said once."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: (problem.place, problem.code)))


def render(problems: Iterable[Problem]) -> str:
    """Problems as text, one after the other."""
    return "\n".join(str(problem) for problem in problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` if something known looks like `word`, else nothing."""
    known = list(known)
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:80], folded, n=1, cutoff=0.6)
    return f"; did you mean `{folded[close[0]]}`?" if close else ""


def shown(value: object, longest: int = 40) -> str:
    """A value as it may stand in a sentence: on one line, shortened, without control characters."""
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, dict):
        text = "a mapping"
    elif isinstance(value, list | tuple):
        text = "a list"
    text = _UNPRINTABLE.sub(" ", text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _snippet(place: Place) -> list[str]:
    """The line and a caret under the column. The caret keeps its place under tabs and wide characters."""
    text, column = _UNPRINTABLE.sub("\ufffd", place.text), place.column - 1
    if len(text) > _LONGEST_LINE:
        start = max(0, column - _LONGEST_LINE // 2)
        text, column = text[start : start + _LONGEST_LINE], column - start
    indent = len(text) - len(text.lstrip(" "))
    text, column = text[min(indent, column) :].rstrip(), max(0, column - indent)
    pad = "".join(_blank(char) for char in text[:column])
    pad += " " * (column - len(text[:column]))
    return [f"    {text}", f"    {pad}^"]


def _blank(char: str) -> str:
    if char == "\t":
        return char
    if unicodedata.combining(char):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "
