"""Letters of scripts that are not expected: a few are a leak, a sustained run is a switch.

    The answer is 12. 因此 the answer 然后我们需要考虑这个 ...
                      |--|            |-----------------|
                      stretch: leak   stretch: its score reaches `_SWITCH`

A stretch ends with the next word of an expected script, or with a gap. One Han, kana or hangul character, or two
letters of another script, make it a leak, which is reported when the stretch ends (so that its span is whole) or has
become long; within quotation marks and parentheses it takes four times as many. The score of a switch grows by 3 a CJK
character and 1 a letter, across stretches, and sinks with expected text.

A short stretch soon after the name of its language is a mention, not a leak: "the Chinese character 道".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from detectors.language.evidence import Alarm, Word
from detectors.language.scripts import CJK, Script, usual_language

_SWITCH: Final = 24.0
_MOST: Final = 2 * _SWITCH
"""The score is capped so that a long switch is over soon after expected text returns."""
_SINKS: Final = 0.15
"""How much of a letter's weight a letter of expected text takes back."""
_LETTERS_OF_A_LEAK: Final = 2
_GAP: Final = 40
"""Code points without a foreign letter that end a stretch."""
_LONG: Final = 16
_LONG_CJK: Final = 8
"""Code points at which a stretch is reported though it goes on."""
_MENTION: Final = 80
"""Code points after the name of a language in which a short stretch of it is a mention."""
_LEAKS: Final = 50
"""Leaks reported per lane. More say nothing new."""


class Foreign:
    """Evidence of unexpected scripts in one lane. `switched` is true while a switch lasts."""

    __slots__ = (
        "_end",
        "_leaks",
        "_letters",
        "_named",
        "_scored_from",
        "_scripts",
        "_start",
        "_told",
        "leak_peak",
        "score",
        "switch_peak",
        "switched",
    )

    def __init__(self) -> None:
        self.score = 0.0
        self.switched = False
        self.leak_peak = 0.0
        """The most letters of a stretch as a share of a leak, at most 2."""
        self.switch_peak = 0.0
        """The highest score as a share of a switch, at most 1."""
        self._scored_from = 0
        self._start = -1
        self._end = 0
        self._letters = 0.0
        self._scripts: dict[Script, float] = {}
        self._told = False
        self._leaks = 0
        self._named: dict[Script, int] = {}

    @property
    def idle(self) -> bool:
        """Nothing is remembered that expected text could change."""
        return self.score == 0 and self._start < 0

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        if self.switched:
            return None
        if self.score > 0:
            return self._scored_from
        return self._start if self._start >= 0 and not self._told else None

    def foreign(self, word: Word) -> list[Alarm]:
        """Take a word of a script that is not expected."""
        alarms = self.close() if self._start >= 0 and word.start - self._end > _GAP else []
        if self._start < 0:
            self._start = word.start
            self._told = False
            self._letters = 0.0
            self._scripts = {}
        self._end = word.end
        self._letters += word.weight * len(word.text) * (_LETTERS_OF_A_LEAK if word.script in CJK else 1)
        self._scripts[word.script] = self._scripts.get(word.script, 0) + len(word.text)
        if self.score == 0:
            self._scored_from = word.start
        self.score = min(_MOST, self.score + word.weight * len(word.text) * (3 if word.script in CJK else 1))
        self.switch_peak = max(self.switch_peak, min(1.0, self.score / _SWITCH))
        switches = self.score >= _SWITCH and not self.switched
        if switches or self._end - self._start >= (_LONG_CJK if word.script in CJK else _LONG):
            alarms += self._leak()
        if switches:
            self.switched = True
            alarms.append(self._alarm("switch", self._scored_from))
        return alarms

    def expected(self, word: Word) -> list[Alarm]:
        """Take a word of an expected script."""
        if self.score > 0:
            weight = 3 if word.script in CJK else 1
            self.score = max(0.0, self.score - _SINKS * len(word.text) * weight)
            if self.score == 0:
                self.switched = False
        return self.close() if self._start >= 0 else []

    def named(self, scripts: Iterable[Script], at: int) -> None:
        """The text has named, up to `at`, a language that is written in `scripts`."""
        for script in scripts:
            self._named[script] = at

    def read(self, end: int) -> list[Alarm]:
        """All words up to `end` have been taken."""
        return self.close() if self._start >= 0 and end - self._end > _GAP else []

    def close(self) -> list[Alarm]:
        """The stretch is over, or has to be decided on."""
        alarms = self._leak() if self._start >= 0 else []
        self._start = -1
        return alarms

    def _leak(self) -> list[Alarm]:
        if self._told or self.switched or self._is_mention():
            return []
        self.leak_peak = max(self.leak_peak, min(2.0, self._letters / _LETTERS_OF_A_LEAK))
        if self._letters < _LETTERS_OF_A_LEAK or self._leaks >= _LEAKS:
            return []
        self._told = True
        self._leaks += 1
        return [self._alarm("leak", self._start)]

    def _is_mention(self) -> bool:
        if not self._named or self._end - self._start > _LONG:
            return False
        return all(self._start - self._named.get(script, -_MENTION) < _MENTION for script in self._scripts)

    def _alarm(self, label: str, start: int) -> Alarm:
        script = max(self._scripts, key=lambda script: self._scripts[script])
        language = "ja" if Script.KANA in self._scripts else usual_language(script)
        return Alarm(label, language, script, start, self._end)
