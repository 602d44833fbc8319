"""What an operator may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from detectors.pii.entities import COUNTRIES, ENTITIES, GENERAL, MODEL, NATIONAL, THRESHOLD


@dataclass(frozen=True, slots=True)
class PiiSettings:
    """What is looked for, and what is let pass."""

    entities: tuple[str, ...] = tuple(GENERAL)
    """Labels, as Presidio names them; `guard detectors pii` lists them. Those of `countries` and of a model come on
    top."""
    countries: tuple[str, ...] = ()
    """Countries whose identity and tax numbers are looked for too, such as [uk, de]."""
    threshold: float = THRESHOLD
    """Findings below this score are not made. 0.4 takes what a form alone, or a weak form after a word such as
    "phone", makes likely; 1.0 only what passes a checksum."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Label to a threshold of its own."""
    allow: tuple[str, ...] = ()
    """Values that are let pass, such as your own support address. Case, spaces and hyphens do not matter."""
    allow_patterns: tuple[str, ...] = ()
    """Regular expressions (RE2); a value that one of them matches as a whole is let pass."""
    phone_regions: tuple[str, ...] = ("US",)
    """Where numbers without a country code are from, as ISO 3166 codes. Numbers with one are found anywhere."""
    spacy_model: str = ""
    """An installed spaCy model or the folder of one, for names and places. It is never downloaded. Text is then held
    to the end of the sentence."""
    model_entities: tuple[str, ...] = ("PERSON",)
    """What the model is asked for: PERSON, LOCATION, ORGANIZATION, NRP."""

    def __post_init__(self) -> None:
        if not self.entities and not self.countries and not self.spacy_model:
            raise ValueError("entities, countries or a spacy_model must be given, or there is nothing to look for")
        pattern = [label for label in ENTITIES if label not in MODEL]
        for setting, given, known in (
            ("entities", self.entities, pattern),
            ("model_entities", self.model_entities, list(MODEL)),
            ("countries", self.countries, list(COUNTRIES)),
            ("thresholds", tuple(self.thresholds), list(ENTITIES)),
        ):
            for one in given:
                if one not in known:
                    told = " (set spacy_model, and list it under model_entities)" if one in MODEL else ""
                    raise ValueError(f"{setting}: there is no `{one}`{told}; there are {', '.join(known)}")
        for label, score in {"threshold": self.threshold, **self.thresholds}.items():
            if not 0 <= score <= 1:
                raise ValueError(f"{label}: a threshold is 0 to 1, not {score}")
        for region in self.phone_regions:
            if not (len(region) == 2 and region.isascii() and region.isupper()):
                raise ValueError(f"phone_regions: `{region}` is not an ISO 3166 code such as US or GB")

    @property
    def patterns(self) -> tuple[str, ...]:
        """The labels that no model is needed for."""
        return (*self.entities, *(label for label, entity in NATIONAL.items() if entity.country in self.countries))

    @property
    def labels(self) -> Mapping[str, str]:
        """Every label it can report, with what it means."""
        from_model = self.model_entities if self.spacy_model else ()
        return {label: ENTITIES[label].meaning for label in dict.fromkeys((*self.patterns, *from_model))}

    def bar(self, label: str) -> float:
        """The score from which on there is a finding."""
        return self.thresholds.get(label, self.threshold)
