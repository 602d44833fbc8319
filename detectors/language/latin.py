"""Latin words where no language that is written so is expected: one that is a word is a leak, a run of them a switch.

    全球 warming 对北极的影响 ...            leak: a word of a language, says the model
    我们用 pandas 的 groupby 函数 ...        nothing: names of things, of which the model is not sure

Terms, names and commands stand in Latin letters in every language, so only lower-case words count, and not those of a
prompt that is itself in another script. A run ends with the next word of an expected script.
"""

from __future__ import annotations

from typing import Final

from detectors.language.evidence import Alarm, Word
from detectors.language.identify import Identifier
from detectors.language.scripts import Script, script_of, scripts_of

_SWITCH: Final = 36
"""Letters of lower-case words in a row that make a switch."""
_LONG: Final = 4
"""Letters that a word of a leak has at least."""
_SURE: Final = 0.4
_LEAKS: Final = 50
"""Leaks reported per lane. More say nothing new."""


class Latin:
    """Evidence of a Latin-script language in one lane. `known` are words that may stand anywhere."""

    __slots__ = (
        "_end",
        "_identifier",
        "_known",
        "_leaks",
        "_letters",
        "_start",
        "_words",
        "leak_peak",
        "switch_peak",
        "switched",
    )

    def __init__(self, identifier: Identifier, known: frozenset[str] = frozenset()) -> None:
        self._identifier = identifier
        self._known = known
        self.switched = False
        self.leak_peak = 0.0
        """The highest probability of a language over the one that makes a leak, at most 1."""
        self.switch_peak = 0.0
        """The longest run as a share of a switch, at most 1."""
        self._words: list[str] = []
        self._letters = 0
        self._start = 0
        self._end = 0
        self._leaks = 0

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        return self._start if self._words and not self.switched else None

    def expected(self) -> list[Alarm]:
        """A word of an expected script, or the end of what there is: the run is over."""
        if not self._words:
            return []
        alarms = [] if self.switched else self._leak()
        self._words.clear()
        self._letters = 0
        self.switched = False
        return alarms

    def take(self, word: Word) -> list[Alarm]:
        """Take a word in Latin letters."""
        text = word.text
        if self.switched or word.weight < 1 or len(text) < 2 or not text.islower() or not text.isalpha():
            return []
        if not text.isascii():
            text = "".join(char for char in text if script_of(char) is Script.LATIN)
        if text in self._known:
            return []
        if not self._words:
            self._start = word.start
        self._words.append(text)
        self._end = word.end
        self._letters += len(text)
        self.switch_peak = max(self.switch_peak, min(1.0, self._letters / _SWITCH))
        if self._letters < _SWITCH:
            return []
        self.switched = True
        return [*self._leak(), self._alarm("switch")]

    def _leak(self) -> list[Alarm]:
        if self._leaks >= _LEAKS or max(map(len, self._words)) < _LONG:
            return []
        probability = self._identifier.certainty(" ".join(self._words))
        self.leak_peak = max(self.leak_peak, min(1.0, probability / _SURE))
        if probability < _SURE:
            return []
        self._leaks += 1
        return [self._alarm("leak")]

    def _alarm(self, label: str) -> Alarm:
        language = self._identifier.best(" ".join(self._words), 0.0)
        if Script.LATIN not in scripts_of((language,)):
            language = ""
        return Alarm(label, language or "en", Script.LATIN, self._start, self._end)
