"""The kinds of harm under which findings are reported, and what each guard model calls them.

The names are those of the embedded classifier (MLCommons hazards) and a few that only guard models tell. Where a model
has a name that is not listed here, it is `other_harm`: an unknown name is never taken for an all-clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from detectors.harm.categories import CATEGORIES

OTHER: Final = "other_harm"

LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **CATEGORIES,
        "sex_related_crimes": "trafficking, assault and harassment of a sexual kind",
        "intellectual_property": "copying of protected works",
        "political": "politically sensitive or false statements on elections and public affairs",
        "unethical": "bias, and acts that are wrong without being crimes",
        "profanity": "swearing",
        "jailbreak": "an attempt to talk the model out of its rules",
        OTHER: "harm of a kind that the guard model does not tell, or that has no name here",
    }
)

_QWEN3GUARD: Final = {
    "violent": "violent_crimes",
    "non_violent_illegal_acts": "non_violent_crimes",
    "sexual_content_or_sexual_acts": "sexual_content",
    "sexual_content": "sexual_content",
    "pii": "privacy",
    "personally_identifiable_information": "privacy",
    "suicide_self_harm": "suicide_self_harm",
    "unethical_acts": "unethical",
    "politically_sensitive_topics": "political",
    "political": "political",
    "copyright_violation": "intellectual_property",
    "copyright": "intellectual_property",
    "jailbreak": "jailbreak",
}
"""Qwen3Guard, Gen and Stream; they spell some of them differently."""

_LLAMA_GUARD: Final = {
    "s1": "violent_crimes",
    "s2": "non_violent_crimes",
    "s3": "sex_related_crimes",
    "s4": "child_sexual_exploitation",
    "s5": "misinformation",
    "s6": "specialized_advice",
    "s7": "privacy",
    "s8": "intellectual_property",
    "s9": "indiscriminate_weapons",
    "s10": "hate",
    "s11": "suicide_self_harm",
    "s12": "sexual_content",
    "s13": "political",
    "s14": "cyber_crimes",
}
"""Llama Guard 3 and 4: S5 is defamation, S13 elections, S14 abuse of a code interpreter."""

_OPENAI: Final = {
    "harassment": "harassment",
    "harassment_threatening": "harassment",
    "hate": "hate",
    "hate_threatening": "hate",
    "self_harm": "suicide_self_harm",
    "self_harm_intent": "suicide_self_harm",
    "self_harm_instructions": "suicide_self_harm",
    "sexual": "sexual_content",
    "sexual_minors": "child_sexual_exploitation",
    "violence": "violent_crimes",
    "violence_graphic": "violent_crimes",
    "illicit": "non_violent_crimes",
    "illicit_violent": "violent_crimes",
}

_OTHERS: Final = {
    "social_bias": "hate",
    "unethical_behavior": "unethical",
    "profanity": "profanity",
}
"""Risks of Granite Guardian that are not called the same elsewhere."""

_NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {**{label: label for label in LABELS}, **_QWEN3GUARD, **_LLAMA_GUARD, **_OPENAI, **_OTHERS}
)
_NOT_ALNUM: Final = re.compile(r"[^a-z0-9]+")
_GRAVEST: Final = {label: place for place, label in enumerate(LABELS)}
NONE: Final = frozenset({"", "none", "no_violation", "safe"})
"""What models write where there is no category."""


def label_of(name: str) -> str:
    """The label for a guard model's name of a category; `other_harm` for one that is not known."""
    return _NAMED.get(_plain(name), OTHER)


def labels_of(names: Iterable[str]) -> tuple[str, ...]:
    """The labels for several names, each once, in the order of `LABELS`. `other_harm` if there is none."""
    found = {label_of(name) for name in names if _plain(name) not in NONE}
    return tuple(sorted(found, key=_GRAVEST.__getitem__)) or (OTHER,)


def _plain(name: str) -> str:
    return _NOT_ALNUM.sub("_", name.lower().replace("&", " ")).strip("_")
