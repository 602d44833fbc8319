"""Finds what an operator lists: words, phrases and regular expressions, however they are dressed up.

    raw text --+--> shadow text (`detectors._shadow`) --> words and patterns of most lists
               +--> the same without blank letters, from the first one on
               +--> as it stands -----------------------> lists with `shadow: false`, secrets
               +--> encoded stretches --> what they say --> all of the above, three layers deep

Of a tool call JSON's escapes are undone first. Text is held from the start of the earliest match that may still be
open, or of a stretch that looks encoded until it ends; what can no longer become a match is let go. A match that began
in text that had to leave (a settled lane taken up again) is reported for what has not left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, NamedTuple

from detectors._confusables import BLANKS
from detectors._encoded import LAYERS, Said, Stretches
from detectors._matches import Match, Matches
from detectors._shadow import Raw, Shadow, View
from detectors._unescaped import for_lane
from detectors.pattern.matcher import Cursor, Matcher
from detectors.pattern.settings import PatternSettings
from detectors.pattern.units import SECRET, file_units, pattern_units, word_units
from guard.contract import Context, DetectorError, Lane, Report, Scanner, Stability

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BLANK: Final = re.compile(f"[{BLANKS}]")


class Matchers(NamedTuple):
    """What is looked for in the shadow and in the raw text."""

    shadow: Matcher
    raw: Matcher
    decode: frozenset[str]


class Pattern:
    """Listed words, phrases and regular expressions. Its labels are those of its settings."""

    Settings: ClassVar[type] = PatternSettings
    labels: ClassVar[Mapping[str, str]] = {SECRET: "a key, token or private key (only with the setting `secrets`)"}
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = False

    def __init__(self, name: str, settings: PatternSettings) -> None:
        self.name = name
        self.settings = settings
        self._matchers: Matchers | None = None
        self._patterns = [*pattern_units(settings)]  # so that `guard check` tells what is wrong with one
        listed = {**dict.fromkeys(settings.words, "a listed word"), **dict.fromkeys(settings.patterns, "a pattern")}
        if settings.secrets:
            listed[SECRET] = self.labels[SECRET]
        if not listed:
            raise ValueError("words, patterns or secrets must be given, or there is nothing to look for")
        vars(self)["labels"] = listed  # the contract lets an instance have labels of its own

    def load(self) -> None:
        """Read files, build the automata. Raises `DetectorError` for a file or a list that cannot be used."""
        if self._matchers is None:
            try:
                units = [*word_units(self.settings), *file_units(self.settings), *self._patterns]
                self._matchers = Matchers(
                    Matcher([unit for unit, see_shadow in units if see_shadow]),
                    Matcher([unit for unit, see_shadow in units if not see_shadow]),
                    frozenset(self.settings.decode),
                )
            except ValueError as error:
                raise DetectorError(f"{self.name}: {error}") from error

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        matchers = self._matchers
        if matchers is None:
            raise DetectorError(f"{self.name}: load() has not been called")
        return for_lane(
            lane, history, lambda history: PatternScanner(self.name, matchers, history=history, labels=self.labels)
        )


class PatternScanner:
    """One lane, or what an encoded stretch of one says (`layer` 1 and more)."""

    __slots__ = (
        "_closed",
        "_fed",
        "_found",
        "_layer",
        "_looks",
        "_matchers",
        "_name",
        "_stretches",
    )

    def __init__(
        self,
        name: str,
        matchers: Matchers,
        *,
        history: str = "",
        labels: Mapping[str, str] | None = None,
        layer: int = 0,
    ) -> None:
        self._name = name
        self._matchers = matchers
        self._layer = layer
        looks: list[tuple[View, Matcher]] = [(Shadow(), matchers.shadow), (Raw(), matchers.raw)]
        self._looks = [(view, Cursor(matcher)) for view, matcher in looks if matcher.units]
        self._closed = not matchers.shadow.units
        self._stretches = Stretches() if matchers.decode - {"rot13"} and layer < LAYERS else None
        self._fed = 0
        self._found = Matches(name, labels or ())
        if history:
            self.feed(history)
            self._found.begin(len(history))

    def feed(self, delta: str) -> Report:
        self._fed += len(delta)
        if not delta.isascii():
            delta = _SURROGATE.sub("\ufffd", delta)  # RE2 reads UTF-8, which has none
        self._close(delta)
        settled = self._fed
        for view, cursor in self._looks:
            view.take(delta)
            self._look(view, cursor)
            settled = min(settled, view.raw(cursor.open))
        if self._stretches is not None:
            self._read(self._stretches.take(delta))
            settled = min(settled, self._stretches.open)
        return self._found.report(settled)

    def settle(self) -> Report:
        for view, cursor in self._looks:
            view.settle()
            self._look(view, cursor, settling=True)
        if self._stretches is not None:
            self._read(self._stretches.settle())
        return self._found.report(self._fed)

    def peaks(self) -> Mapping[str, float]:
        return self._found.peaks()

    def matches(self) -> Iterator[tuple[str, str, float]]:
        """Label, decoding and score of all that a whole text holds."""
        return ((label, decoded, score) for _, _, label, decoded, score in self._found)

    def _close(self, delta: str) -> None:
        """From the first blank letter on, look at the text without them too."""
        if self._closed or delta.isascii() or not _BLANK.search(delta):
            return
        self._closed = True
        view, cursor = self._looks[0]
        assert isinstance(view, Shadow)
        self._looks.append((view.closed(), cursor.copy()))

    def _look(self, view: View, cursor: Cursor, *, settling: bool = False) -> None:
        for unit, start, end in cursor.advance(view, settling=settling):
            self._found.add(Match(*view.source(start, end), unit.label, unit.decoded, unit.score))
        view.forget(cursor.needed)

    def _read(self, stretches: Iterator[Said]) -> None:
        for start, end, codec, text in stretches:
            if codec not in self._matchers.decode:
                continue
            inner = PatternScanner(self._name, self._matchers, layer=self._layer + 1)
            inner.keep(text)
            for label, decoded, score in inner.matches():
                self._found.add(Match(start, end, label, f"{codec}/{decoded}".rstrip("/"), score))

    def keep(self, text: str) -> None:
        """Look at the whole of a text, and report nothing."""
        self._fed += len(text)
        self._close(text)
        for view, cursor in self._looks:
            view.take(text)
            view.settle()
            self._look(view, cursor, settling=True)
        if self._stretches is not None:
            self._read(self._stretches.take(text))
            self._read(self._stretches.settle())
