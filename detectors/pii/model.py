"""A spaCy model, for what has no form: names and places.

Presidio would download a model that is not installed; this one is looked for first, and never fetched.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import SpacyRecognizer

from detectors.pii.recognizers import Hit
from detectors.pii.settings import PiiSettings

_LANGUAGE: Final = "en"
"""What Presidio is told; a model of any language may be given, and there is only one."""


class Model:
    """Thread-safe, as spaCy's pipelines are for reading."""

    def __init__(self, settings: PiiSettings) -> None:
        """Raises `ValueError` if there is no such model."""
        import spacy

        name = str(Path(settings.spacy_model).expanduser())
        if not (spacy.util.is_package(name) or Path(name).is_dir()):
            raise ValueError(
                f"spacy_model: {settings.spacy_model} is neither an installed model nor a folder; "
                "install it with pip, or remove the setting"
            )
        self._engine: Any = SpacyNlpEngine(models=[{"lang_code": _LANGUAGE, "model_name": name}])
        self._engine.load()
        self._labels = list(settings.model_entities)
        self._recognizer: Any = SpacyRecognizer(supported_entities=self._labels)
        self._bars = {label: settings.bar(label) for label in self._labels}

    def look(self, text: str) -> Iterable[Hit]:
        """What the model finds in a sentence."""
        if not text.strip():
            return
        seen = self._engine.process_text(text, _LANGUAGE)
        for hit in self._recognizer.analyze(text, self._labels, seen):
            if hit.score >= self._bars.get(hit.entity_type, 2.0):
                yield Hit(hit.entity_type, hit.start, hit.end, hit.score)
