"""A second opinion before a switch within one script is reported: lingua, an optional extra.

Its n-gram models are larger and more accurate on short text than the built-in one, about 0.3 ms a question, and take
some hundreds of megabytes; they are only asked where a switch would otherwise be reported.
"""

from __future__ import annotations

from typing import Any, Final

from detectors.language.evidence import Veto
from detectors.language.identify import LANGUAGES
from guard.contract import DetectorError

_CODES: Final = {"nb": "no", "nn": "no"}


def load_lingua(name: str) -> Veto:
    """Load lingua for the languages that are told apart. `name` is the detector's.

    Raises `DetectorError` if the package is missing.
    """
    try:
        import lingua
    except ImportError as error:
        raise DetectorError(
            f"{name}: the setting `veto: lingua` needs the package lingua-language-detector: "
            "pip install 'qwq-guard[lingua]', or remove the setting"
        ) from error
    known = [language for language in lingua.Language.all() if _code(language) in LANGUAGES]
    detector: Any = lingua.LanguageDetectorBuilder.from_languages(*known).with_preloaded_language_models().build()

    def veto(text: str, expected: frozenset[str]) -> bool:
        likeliest = detector.detect_language_of(text)
        return likeliest is not None and _code(likeliest) in expected

    return veto


def _code(language: Any) -> str:
    code: str = language.iso_code_639_1.name.lower()
    return _CODES.get(code, code)
