"""Finds personal data and secrets.

    raw text (a tool call's: with JSON's escapes undone)
             --> Seen (shadow text, case kept) --> Pieces -----> Presidio's recognizers, once a piece
                                                         '-----> what base64, hex and url-encoding in it say
                                               --> Cursor -----> secrets (`detectors.pattern`)
                                               --> Sentences --> a spaCy model, if one is set

Text is held from the start of the piece that may still become an entity: in prose the word that is being written, in
numbers at most 128 characters, in text without a space at most 512; from the start of a secret that is being written,
at most its longest form; with a model to the end of the sentence, at most 400. An entity that began in text that had to
leave (a settled lane taken up again) is reported for what has not left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple
from urllib.parse import unquote

from detectors._encoded import LAYERS, decoded
from detectors._matches import Match, Matches
from detectors._unescaped import for_lane
from detectors.pattern.matcher import Cursor, Matcher, expression
from detectors.pattern.settings import PatternSettings
from detectors.pattern.units import pattern_units
from detectors.pii.entities import ENTITIES, UNSPACED
from detectors.pii.pieces import Pieces, Sentences
from detectors.pii.settings import PiiSettings
from detectors.pii.view import Seen
from guard.contract import Context, DetectorError, Lane, Report, Scanner, Stability

if TYPE_CHECKING:
    from detectors.pii.model import Model
    from detectors.pii.recognizers import Recognizers

SECRET: Final = "SECRET"
SHORTEST: Final = 12
"""Code points of a stretch that is decoded: nine bytes in base64, six in hex."""
_STRETCH: Final = re.compile(rf"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_=-]{{{SHORTEST},{UNSPACED}}}(?![A-Za-z0-9+/_=-])")
_PERCENT: Final = re.compile(r"[\w.%+~-]*%[0-9a-fA-F]{2}[\w.%+~-]*")
_LEFT: Final = 24
"""Code points before a piece that a recognizer may look at."""
_BEFORE: Final = 104
"""Code points before a piece that are kept: those, and the words of the context."""


class Looks(NamedTuple):
    """What is looked for, loaded."""

    recognizers: Recognizers
    secrets: Matcher
    model: Model | None
    allow: frozenset[str]
    allow_patterns: tuple[Any, ...]

    def encoded(self, piece: str, layer: int = 1) -> Iterator[tuple[str, str, int, int, float]]:
        """Label, codec, start, end and score of the stretches of a piece that say something when they are decoded."""
        for start, end, codec, said in _stretches(piece):
            for hit in self.recognizers.look(said, 0, ""):
                yield hit.label, codec, start, end, hit.score
            for unit in self.secrets.units:
                found = unit.compiled.search(said)
                if found is not None and (unit.check is None or unit.check(found.group())):
                    yield SECRET, codec, start, end, unit.score
            for label, inner, _, _, score in self.encoded(said, layer + 1) if layer < LAYERS else ():
                yield label, f"{codec}/{inner}", start, end, score

    def allowed(self, value: str) -> bool:
        return bool(self.allow and _plain(value) in self.allow) or any(
            pattern.fullmatch(value) for pattern in self.allow_patterns
        )


def _stretches(piece: str) -> Iterator[tuple[int, int, str, str]]:
    """Start, end, codec and what they say of the stretches of a piece that look encoded."""
    for stretch in _PERCENT.finditer(piece) if "%" in piece else ():
        yield *stretch.span(), "url", unquote(stretch.group())
    for stretch in _STRETCH.finditer(piece):
        for codec, said in decoded(stretch.group()):
            yield *stretch.span(), codec, said


def _plain(value: str) -> str:
    return "".join(value.casefold().replace("-", "").split())


class Pii:
    """Personal data and secrets, under Presidio's names."""

    Settings: ClassVar[type] = PiiSettings
    labels: ClassVar[Mapping[str, str]] = {label: entity.meaning for label, entity in ENTITIES.items()}
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = True

    def __init__(self, name: str, settings: PiiSettings) -> None:
        self.name = name
        self.settings = settings
        self._looks: Looks | None = None
        self._allow_patterns = tuple(expression(each) for each in settings.allow_patterns)
        vars(self)["labels"] = settings.labels  # the contract lets an instance have labels of its own

    def load(self) -> None:
        """Import Presidio and make its recognizers: seconds. Raises `DetectorError` if it is not installed."""
        if self._looks is not None:
            return
        try:
            from detectors.pii.recognizers import Recognizers
        except ImportError as error:
            raise DetectorError(
                f"{self.name}: the detector `pii` needs the package presidio-analyzer ({error}): "
                "pip install 'qwq-guard[pii]', or remove it from the policy"
            ) from error
        settings = self.settings
        secrets = pattern_units(PatternSettings(secrets=True)) if SECRET in settings.patterns else ()
        model = None
        try:
            if settings.spacy_model:
                from detectors.pii.model import Model

                model = Model(settings)
            self._looks = Looks(
                Recognizers(settings),
                Matcher([unit for unit, _ in secrets]),
                model,
                frozenset(map(_plain, settings.allow)),
                self._allow_patterns,
            )
        except ValueError as error:
            raise DetectorError(f"{self.name}: {error}") from error

    def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
        looks = self._looks
        if looks is None:
            raise DetectorError(f"{self.name}: load() has not been called")
        return for_lane(lane, history, lambda history: PiiScanner(self.name, looks, self.labels, history))


class PiiScanner:
    """One lane."""

    __slots__ = (
        "_cursor",
        "_fed",
        "_found",
        "_looks",
        "_pieces",
        "_sentences",
        "_view",
    )

    def __init__(self, name: str, looks: Looks, labels: Mapping[str, str], history: str) -> None:
        self._looks = looks
        self._view = Seen()
        self._pieces = Pieces()
        self._cursor = Cursor(looks.secrets)
        self._sentences = Sentences() if looks.model is not None else None
        self._fed = 0
        self._found = Matches(name, labels)
        if history:
            self.feed(history)
            self._found.begin(len(history))

    def feed(self, delta: str) -> Report:
        self._fed += len(delta)
        view = self._view
        view.take(delta)
        self._look()
        held = [self._pieces.open, self._cursor.open]
        if self._sentences is not None:
            held.append(self._sentences.open)
        first = min(held)
        settled = min(view.raw(first), self._fed)
        view.forget(min(self._pieces.open - _BEFORE, self._cursor.needed, first))
        return self._found.report(settled)

    def settle(self) -> Report:
        self._view.settle()
        self._look(settling=True)
        return self._found.report(self._fed)

    def peaks(self) -> Mapping[str, float]:
        return self._found.peaks()

    def _look(self, *, settling: bool = False) -> None:
        view, looks = self._view, self._looks
        text, base = view.text, view.base
        windows = [*self._pieces.cut(text, base)]
        if settling:
            windows += self._pieces.rest(view.end)
        for start, upto, end in windows:
            left = max(start - _LEFT, base)
            before = text[max(start - _BEFORE - base, 0) : left - base]
            for label, first, last, score in looks.recognizers.look(
                text[left - base : end - base], start - left, before
            ):
                if left + first < upto:
                    self._keep(label, left + first, left + last, score)
            if end - start >= SHORTEST:
                for label, codec, first, last, score in looks.encoded(text[start - base : end - base]):
                    if start + first < upto:
                        self._keep(label, start + first, start + last, score, codec)
        for unit, first, last in self._cursor.advance(view, settling=settling) if looks.secrets.units else ():
            self._keep(SECRET, first, last, unit.score)
        if self._sentences is not None and looks.model is not None:
            sentences = [*self._sentences.cut(text, base)]
            if settling:
                sentences += self._sentences.rest(view.end)
            for start, _, end in sentences:
                for label, first, last, score in looks.model.look(text[start - base : end - base]):
                    self._keep(label, start + first, start + last, score)

    def _keep(self, label: str, start: int, end: int, score: float, decoded: str = "") -> None:
        value = self._view.text[start - self._view.base : end - self._view.base]
        if not self._looks.allowed(value):
            self._found.add(Match(*self._view.source(start, end), label, decoded, score))
