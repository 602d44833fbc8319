"""From settings and files to what is looked for.

Every `ValueError` begins with the place in the settings: `patterns: ticket: ...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from detectors._shadow import shadow
from detectors.pattern.matcher import Unit, expression
from detectors.pattern.regex import bounded
from detectors.pattern.secrets import CHECKS, PRIVATE_KEY, SECRETS
from detectors.pattern.settings import PatternRule, PatternSettings, WordList
from detectors.pattern.words import words_of
from guard.contract import STOP

SECRET: Final = "secret"
"""The label of the setting `secrets`."""
SHIPPED: Final = ("prompt_injection",)
"""Lists that come with the guard, by the names of their files."""


def word_units(settings: PatternSettings) -> Iterator[tuple[Unit, bool]]:
    """Units for the listed words, each with whether it sees the shadow."""
    for label, listed in settings.words.items():
        words = listed if isinstance(listed, WordList) else WordList(words=listed)
        try:
            every = [*words.words, *(_lines(words.file) if words.file else ())]
            for some in words_of(
                every,
                see_shadow=words.shadow,
                whole=words.whole_words,
                ignore_case=words.ignore_case,
                rot13="rot13" in settings.decode,
            ):
                compiled = expression(some.piece.full)
                yield Unit(label, words.score, some.piece, 1, None, some.decoded, compiled), words.shadow
        except ValueError as error:
            raise ValueError(f"words: {label}: {error}") from None


def _lines(file: str) -> list[str]:
    """The lines of a file, or of a list that comes with the guard, without remarks and empty ones."""
    path = Path(__file__).parent / "lists" / f"{file}.txt" if file in SHIPPED else Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("# ")]
    lines = [line for line in lines if line != "#"]
    if not lines:
        raise ValueError(f"{file} lists nothing")
    return lines


def pattern_units(settings: PatternSettings) -> Iterator[tuple[Unit, bool]]:
    """Units for the expressions in the settings themselves, each with whether it sees the shadow."""
    for label, rule in _rules(settings):
        if rule.regex:
            with _told_of(f"patterns: {label}"):
                yield _unit(label, rule), rule.shadow
    for regex, max_length, check in SECRETS if settings.secrets else ():
        rule = PatternRule(regex, max_length=max_length, shadow=False, ignore_case=False, score=STOP)
        yield replace(_unit(SECRET, rule, check), goes_on=regex == PRIVATE_KEY), False


def file_units(settings: PatternSettings) -> Iterator[tuple[Unit, bool]]:
    """Units for the expressions in files."""
    for label, rule in _rules(settings):
        for line in _lines(rule.file) if rule.file else ():
            with _told_of(f"patterns: {label}: {rule.file}"):
                yield _unit(label, replace(rule, file="", regex=_spaced(line))), rule.shadow


def _spaced(line: str) -> str:
    return line.replace(" ?", r"\s{0,4}").replace(" ", r"\s{1,4}")


def _rules(settings: PatternSettings) -> Iterator[tuple[str, PatternRule]]:
    for label, listed in settings.patterns.items():
        for one in listed if isinstance(listed, tuple) else (listed,):
            yield label, PatternRule(one) if isinstance(one, str) else one


@contextmanager
def _told_of(place: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _unit(label: str, rule: PatternRule, check: str = "") -> Unit:
    if rule.shadow:
        for char in rule.regex:
            if not char.isascii() and shadow(char) != char:
                raise ValueError(
                    f"`{char}` never stands in the shadow text, where it reads `{shadow(char)}`; "
                    "list it under words, write what it reads as, or set shadow: false"
                )
    piece = bounded(rule.regex, max_length=rule.max_length, shadow=rule.shadow)
    if rule.ignore_case:
        piece = piece._replace(full=f"(?i:{piece.full})", opening=f"(?i:{piece.opening})")
    return Unit(label, rule.score, piece, 0, CHECKS.get(check or rule.check), "", expression(piece.full))
