"""Switches between languages of one script: a model's opinion of the last words, accumulated.

    words    ... so the answer is | entonces el costo total del viaje es |   the last 48 letters or so
    windows      |--------------------|                                       a new one every 12 letters
                         |--------------------|
    score[es]    0    0    1.4    3.1    4.6 >= 4: switch

Each window gives, for each language that is not expected, the log of its probability over that of the expected ones,
less a drift, clipped; a CUSUM per language adds them up and never sinks below zero (E. S. Page, "Continuous inspection
schemes", 1954). Close relatives of an expected language need almost twice the score.

Names, identifiers, acronyms, names of functions and loan phrases are left out of windows: a capitalised word counts
only if its neighbours are not capitalised, and an identifier (`total_cost`) empties the window. A window with two
English function words needs no model to be English: that, and not the model, is what most windows of an English text
cost. Where English is not expected, such words tell English sentences from English terms: a window that holds three of
them counts more than another.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from detectors.language.evidence import Alarm, Veto, Word
from detectors.language.identify import FAMILIES, LANGUAGES, Identifier
from detectors.language.loans import ends_loan, loan_length
from detectors.language.scripts import Script, scripts_of

_WINDOW: Final = 48
_SHORTEST: Final = 24
_STEP: Final = 12
_LONG: Final = 4
_LONG_WORDS: Final = 3
"""Words of four letters that a window must hold: debris of formulas has none, and looks like any language."""
_ALARM: Final = 4.0
_MOST: Final = 12.0
_RELATIVE_ALARM: Final = 1.8
_RELATIVE_DRIFT: Final = 1.0
_DRIFT: Final = 0.25
_CLIP: Final = 2.0
_SENTENCE_CLIP: Final = 4.0
_FLOOR: Final = 1e-3
_SURE: Final = 0.5
_RIVAL: Final = 0.25
"""Share of the likeliest language's probability below which a language gains nothing."""
_DECIDED: Final = 0.5
"""Probability below which a language gains in proportion: a model that wavers between strangers tells little."""
_RECENT: Final = 4
_SCRIPTS: Final = {language: scripts_of((language,)) for language in LANGUAGES}
_APOSTROPHE: Final = re.compile(r"^[^\W\d_]+['’][^\W\d_]+$")
_ENGLISH_WORDS: Final = (
    "the and that this with which because would should could there their they then when what where from have has does "
    "each between since let's means therefore however another about into only been being were while through how if "
    "it's is are of to we you your our can will not but also so after before first find given number answer all any "
    "both same other some two three let see equal value know think maybe check more than these those"
)
_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split())
"""Frequent English words. Single ones occur elsewhere ("is", "so", "will"), two in eight words do not."""
_SENTENCE_FORMS: Final = (
    "the and that this with which because would should could there their they then when what where from have has does "
    "here about into only been being were while through how it's i'm is are of to we you your our can not but for by "
    "after before these those than it as or be my was at a an in on"
)
_SENTENCE_WORDS: Final = frozenset(_SENTENCE_FORMS.split())
"""Words that make a sentence English, and that English terms in another language do not bring along."""
_FUNCTION_NAMES: Final = (
    "sin cos tan cot sec csc log ln exp lim mod gcd lcm max min det dim ker arg deg inf sup sqrt frac dx dy dt pi op "
    "sum prod int abs sgn cdot leq geq neq text mathrm"
)
_FUNCTIONS: Final = frozenset(_FUNCTION_NAMES.split())


class _Seen(NamedTuple):
    text: str
    start: int
    script: Script
    weight: float


class Windows:
    """Evidence of languages that are not expected, though their script is. For one lane."""

    __slots__ = (
        "_english",
        "_expected",
        "_identifier",
        "_length",
        "_names",
        "_new",
        "_pending",
        "_recent",
        "_relatives",
        "_said",
        "_scores",
        "_veto",
        "_words",
        "peak",
    )

    def __init__(self, identifier: Identifier, expected: frozenset[str], veto: Veto | None = None) -> None:
        self._identifier = identifier
        self._expected = expected
        self._veto = veto
        self._english = "en" in expected
        self._relatives = frozenset().union(*(family for family in FAMILIES if family & expected))
        self._words: deque[_Seen] = deque()
        self._length = 0
        self._new = 0
        self._recent: deque[str] = deque(maxlen=_RECENT)
        self._pending: Word | None = None
        self._names = False
        self._scores: dict[str, tuple[float, int]] = {}
        self._said: set[str] = set()
        self.peak = 0.0
        """The highest share of an alarm that any language reached."""

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        starts = [start for language, (_, start) in self._scores.items() if language not in self._said]
        return min(starts) if starts else None

    def take(self, word: Word) -> list[Alarm]:
        """Take a word of prose in an alphabet that is expected."""
        text = word.text
        pending, self._pending = self._pending, None
        if "_" in text and not (text[0] == text[-1] == "_"):
            self._words.clear()
            self._length = 0
        elif text.islower():
            self._names = False
            if pending is not None:
                self._add(pending, pending.text.lower())
            if len(text) >= 2 and _is_plain(text):
                self._add(word, text)
        elif len(text) >= 2 and text[1:].islower() and _is_plain(text):
            if pending is None and not self._names:
                self._pending = word
            else:
                self._names = True
        if self._length < _SHORTEST or self._new < _STEP:
            return []
        self._new = 0
        return self._weigh(word.end)

    def _add(self, word: Word, text: str) -> None:
        if text in _FUNCTIONS or text in self._recent:
            return
        self._recent.append(text)
        self._words.append(_Seen(text, word.start, word.script, word.weight))
        self._length += len(text) + 1
        self._new += len(text) + 1
        if ends_loan(text):
            self._drop_loans()
        while len(self._words) > 1 and self._length - len(self._words[0].text) - 1 >= _WINDOW:
            self._length -= len(self._words.popleft().text) + 1

    def _drop_loans(self) -> None:
        for _ in range(loan_length([seen.text for seen in self._words][-_RECENT - 1 :])):
            self._length -= len(self._words.pop().text) + 1

    def _weigh(self, end: int) -> list[Alarm]:
        words = list(self._words)
        if self._english and sum(word.text in _ENGLISH for word in words) >= 2:
            self._sink_all()
            return []
        if sum(len(word.text) >= _LONG for word in words) < _LONG_WORDS:
            return []
        probabilities = self._identifier.probabilities(" ".join(word.text for word in words))
        likely = sum(probabilities.get(language, 0.0) for language in self._expected)
        if likely > _SURE:
            self._sink_all()
            return []
        return self._accumulate(words, probabilities, max(_FLOOR, likely), end)

    def _accumulate(
        self, words: Sequence[_Seen], probabilities: Mapping[str, float], likely: float, end: int
    ) -> list[Alarm]:
        alarms = []
        scripts = {word.script for word in words}
        weight = sum(word.weight for word in words) / len(words)
        best = max(probabilities.values(), default=0.0)
        sentence = len({word.text for word in words} & _SENTENCE_WORDS) >= 3
        for language in sorted((probabilities.keys() | self._scores.keys()) - self._expected - {""}):
            before, since = self._scores.get(language, (0.0, words[0].start))
            relative = language in self._relatives
            probability = max(_FLOOR, probabilities.get(language, 0.0))
            if _SCRIPTS[language] & scripts and probability >= _RIVAL * best:
                most = _SENTENCE_CLIP if language == "en" and sentence else _CLIP
                ratio = math.log(probability / likely) - _DRIFT
                gain = max(-_CLIP, min(most, ratio - _RELATIVE_DRIFT * relative)) * weight
                gain *= min(1.0, probability / _DECIDED)
            else:
                gain = -1.0
            score = min(_MOST, before + gain)
            self._keep(language, score, since)
            share = score / (_ALARM * (_RELATIVE_ALARM if relative else 1))
            self.peak = max(self.peak, min(1.0, share))
            if share >= 1 and language not in self._said:
                self._said.add(language)
                if self._veto is not None and self._veto(" ".join(word.text for word in self._words), self._expected):
                    self._keep(language, 0.0, since)
                    continue
                (script,) = _SCRIPTS[language]
                alarms.append(Alarm("switch", language, script, since, end))
        return alarms

    def _sink_all(self) -> None:
        if self._scores:
            for language, (score, since) in list(self._scores.items()):
                self._keep(language, score - _CLIP, since)

    def _keep(self, language: str, score: float, since: int) -> None:
        if score > 0:
            self._scores[language] = (score, since)
        else:
            self._scores.pop(language, None)
            self._said.discard(language)


def _is_plain(text: str) -> bool:
    return text.isalpha() or _APOSTROPHE.search(text) is not None
