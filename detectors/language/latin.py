"""Latin words where no language that is written so is expected: a run of them is a switch.

Terms, names and commands stand in Latin letters in every language, so only lower-case words count, and only in a row.
"""

from __future__ import annotations

from typing import Final

from detectors.language.evidence import Alarm, Word
from detectors.language.identify import Identifier
from detectors.language.scripts import Script

_LETTERS: Final = 36


class Latin:
    """Evidence of a Latin-script language in one lane."""

    __slots__ = ("_identifier", "_letters", "_start", "_words", "switched")

    def __init__(self, identifier: Identifier) -> None:
        self._identifier = identifier
        self.switched = False
        self._words: list[str] = []
        self._letters = 0
        self._start = 0

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        return self._start if self._words and not self.switched else None

    def expected(self) -> None:
        """A word of an expected script: the run is over."""
        self._words.clear()
        self._letters = 0
        self.switched = False

    def take(self, word: Word) -> list[Alarm]:
        """Take a word in Latin letters."""
        if self.switched or word.weight < 1 or len(word.text) < 2 or not word.text.islower():
            return []
        if not self._words:
            self._start = word.start
        self._words.append(word.text)
        self._letters += len(word.text)
        if self._letters < _LETTERS:
            return []
        self.switched = True
        language = self._identifier.best(" ".join(self._words), 0.0)
        return [Alarm("switch", language or "en", Script.LATIN, self._start, word.end)]
