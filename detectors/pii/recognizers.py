"""Presidio's recognizers, made to look at windows.

Each pattern is searched for by itself: where its checksum refuses a match, the search goes on one character later, so
that digits before a number do not hide it (Presidio goes on after the match). Context words raise a score by 0.35 to at
least 0.4, as in Presidio, if one of them is among the five words before.

No network: addresses are checked against tldextract's bundled snapshot of the public suffix list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import phonenumbers
import regex
import tldextract
from presidio_analyzer import PatternRecognizer, predefined_recognizers

from detectors.pii import forms
from detectors.pii.entities import ENTITIES, Entity
from detectors.pii.settings import PiiSettings

RAISED: Final = 0.35
"""What a context word adds to a score."""
RAISED_TO: Final = 0.4
_LEAST: Final = 0.001
"""What a recognizer has refused scores 0, and is no hit whatever the threshold."""
BEFORE: Final = 80
"""Code points before a window in which context words are looked for."""
_WORDS: Final = 5


class Hit(NamedTuple):
    label: str
    start: int
    end: int
    score: float


Found = Iterable[tuple[int, int, float]]


class Recognizer(NamedTuple):
    """Looks for one entity. `find` sees a text and where in it to begin."""

    label: str
    entity: Entity
    find: Callable[[str, int], Found]
    context: Any
    """A compiled expression for the words that raise a score; None if there are none."""


class Recognizers:
    """All that the settings ask for. Immutable."""

    def __init__(self, settings: PiiSettings) -> None:
        self._bars = {label: settings.bar(label) for label in settings.labels}
        self._all = [each for label in dict.fromkeys(settings.patterns) for each in _recognizers(label, settings)]
        self._fewest = min((each.entity.digits for each in self._all), default=0)
        self._marks = "".join({mark for each in self._all for mark in each.entity.mark})

    def look(self, text: str, first: int, before: str) -> list[Hit]:
        """What begins in `text` at `first` or later. `before` is the text from which context words are taken.

        Of two hits of which one lies in the other the more certain is kept, then the longer.
        """
        window = text[first:]
        digits = sum(window.count(digit) for digit in "0123456789")
        if digits < max(self._fewest, 1) and not any(mark in window for mark in self._marks):
            return []
        hits: list[Hit] = []
        words = None
        for label, entity, find, context in self._all:
            if digits < entity.digits or (entity.mark and not any(mark in window for mark in entity.mark)):
                continue
            for start, end, score in find(text, first):
                if 0 < score < 1 and context is not None:
                    if words is None or start > first:
                        words = _last_words(before + text[:start])
                    if context.search(words):
                        score = max(RAISED_TO, min(score + RAISED, 1.0))
                if start >= first and score >= max(self._bars[label], _LEAST):
                    hits.append(Hit(label, start, end, score))
        return _outermost(hits)


def _last_words(text: str) -> str:
    return " ".join(text[-BEFORE:].lower().split()[-_WORDS:])


def _outermost(hits: list[Hit]) -> list[Hit]:
    if len(hits) < 2:
        return hits
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (-hit.score, hit.start - hit.end, hit.label, hit.start)):
        if not any(other.start <= hit.start and hit.end <= other.end for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda hit: (hit.start, hit.end, hit.label))


def _recognizers(label: str, settings: PiiSettings) -> Iterator[Recognizer]:
    entity = ENTITIES[label]
    presidio: Any = predefined_recognizers
    match label:
        case "SECRET":
            return  # `detectors.pattern` knows their forms
        case "PHONE_NUMBER":
            yield Recognizer(label, entity, _phones(settings.phone_regions), _context(forms.PHONE_CONTEXT))
            if {"US", "CA"} & set(settings.phone_regions):
                made = PatternRecognizer(label, patterns=forms.NORTH_AMERICAN)
                yield Recognizer(label, entity, _patterns(made, forms.is_phone), _context(forms.PHONE_CONTEXT))
        case "CREDIT_CARD":
            made = presidio.CreditCardRecognizer(
                patterns=forms.CARDS, replacement_pairs=[(separator, "") for separator in "- ."]
            )
            yield Recognizer(label, entity, _patterns(made, forms.is_card), _context(made.context))
        case "EMAIL_ADDRESS":
            made = presidio.EmailRecognizer()
            yield Recognizer(label, entity, _patterns(made, judged=_under_a_suffix), _context(made.context))
        case "IBAN_CODE":
            made = presidio.IbanRecognizer()
            yield Recognizer(label, entity, _ibans(made), _context(made.context))
        case "US_SSN":
            made = presidio.UsSsnRecognizer()
            judged = _by_form(forms.is_social_security)
            yield Recognizer(label, entity, _patterns(made, forms.is_ssn, judged), _context(made.context))
        case _:
            made = getattr(presidio, entity.recognizer)()
            yield Recognizer(
                label,
                entity,
                _patterns(made, forms.is_address if label == "IP_ADDRESS" else None),
                _context(made.context),
            )


_SUFFIXES: Final = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True)


def _under_a_suffix(address: str, _score: float) -> float:
    """Presidio's check of addresses, which would fetch the public suffix list over the network."""
    found = _SUFFIXES(address.rpartition("@")[2])
    return 1.0 if found.domain and found.suffix else 0.0


def _context(words: Iterable[str] | None) -> Any:
    """Words that begin with one of `words`."""
    listed = sorted({word.strip().lower() for word in words or ()} - {""})
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, listed))})") if listed else None


def _patterns(
    made: Any,
    keep: Callable[[str, str, str], bool] | None = None,
    judged: Callable[[str, float], float] | None = None,
) -> Callable[[str, int], Found]:
    """Presidio's pattern recognizers.

    `keep` is asked about the match, the text before and the text after it; `judged` gives a match its score, instead of
    the recognizer's own checks.
    """
    compiled = [(regex.compile(each.regex, made.global_regex_flags), each.score) for each in made.patterns]
    judge = judged or _by(made)

    def find(text: str, first: int) -> Found:
        for expression, weight in compiled:
            at = first
            while (found := expression.search(text, at)) is not None:
                start, end = found.span()
                score = judge(found.group(), weight)
                if score > 0 and (keep is None or keep(found.group(), text[:start], text[end:])):
                    yield start, end, score
                    at = end
                else:
                    at = start + 1

    return find


def _by(made: Any) -> Callable[[str, float], float]:
    """The recognizer's own checks."""

    def judge(match: str, score: float) -> float:
        valid = made.validate_result(match)
        if valid is not None:
            score = 1.0 if valid else 0.0
        return 0.0 if score and made.invalidate_result(match) else score

    return judge


def _by_form(check: Callable[[str], bool]) -> Callable[[str, float], float]:
    return lambda match, score: score if check(match) else 0.0


_COUNTRY: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_UPPER: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _ibans(made: Any) -> Callable[[str, int], Found]:
    """Presidio's, from every place where one may begin, in lower case too."""

    def find(text: str, first: int) -> Found:
        for begun in _COUNTRY.finditer(text, first):
            for hit in made.analyze(text[begun.start() :].translate(_UPPER), ["IBAN_CODE"]):
                if hit.start == 0:
                    yield begun.start(), begun.start() + hit.end, hit.score

    return find


_INTERNATIONAL: Final = re.compile(r"(?<![\w+])(?:\+(?=[0-9(])|00 ?(?=[1-9]))(?:[ ().-]{0,2}[0-9]){7,15}(?![0-9])")
_DIGIT_BEFORE: Final = re.compile(r"[0-9](?=[^0-9])")


def _phones(regions: Iterable[str]) -> Callable[[str, int], Found]:
    """phonenumbers, as in Presidio's recognizer, scored by what stands around the number.

    Numbers with a country code are looked for by themselves: phonenumbers takes digits that follow one into it, and
    then refuses the whole.
    """

    def find(text: str, first: int) -> Found:
        for begun in _INTERNATIONAL.finditer(text, first):
            start = begun.start()
            ends = [begun.end(), *(start + each.end() for each in reversed([*_DIGIT_BEFORE.finditer(begun.group())]))]
            for end in ends:
                if _is_valid(text[start:end]):
                    yield start, end, forms.phone_score(text[start:end], text[:start], text[end:])
                    break
        for region in regions:
            for match in phonenumbers.PhoneNumberMatcher(text[first:], region, leniency=1):
                start, end = first + match.start, first + match.end
                yield start, end, forms.phone_score(match.raw_string, text[:start], text[end:])

    return find


def _is_valid(number: str) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse("+" + number.lstrip("+0"))))
    except phonenumbers.NumberParseException:
        return False
