from __future__ import annotations

import pytest

from detectors.guard_model.categories import LABELS, OTHER, label_of, labels_of
from detectors.harm.categories import CATEGORIES
from guard.contract import ERROR_LABEL


def test_the_embedded_classifiers_labels_are_among_them() -> None:
    assert CATEGORIES.items() <= LABELS.items()
    assert ERROR_LABEL not in LABELS


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Violent", "violent_crimes"),
        ("Non-violent Illegal Acts", "non_violent_crimes"),
        ("Sexual Content or Sexual Acts", "sexual_content"),
        ("PII", "privacy"),
        ("Suicide & Self-Harm", "suicide_self_harm"),
        ("Unethical Acts", "unethical"),
        ("Politically Sensitive Topics", "political"),
        ("Copyright Violation", "intellectual_property"),
        ("Jailbreak", "jailbreak"),
        ("S1", "violent_crimes"),
        ("s4", "child_sexual_exploitation"),
        (" S14 ", "cyber_crimes"),
        ("sexual/minors", "child_sexual_exploitation"),
        ("self-harm/intent", "suicide_self_harm"),
        ("illicit/violent", "violent_crimes"),
        ("hate", "hate"),
        ("social_bias", "hate"),
        ("S15", OTHER),
        ("something new", OTHER),
        ("", OTHER),
    ],
)
def test_what_models_call_them(name: str, label: str) -> None:
    assert label_of(name) == label


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ([], (OTHER,)),
        (["None"], (OTHER,)),
        (["", " none "], (OTHER,)),
        (["None", "PII"], ("privacy",)),
        (["Jailbreak", "Violent", "violence"], ("violent_crimes", "jailbreak")),
        (["new", "S9"], ("indiscriminate_weapons", OTHER)),
    ],
)
def test_several_are_told_once_each_and_in_one_order(names: list[str], labels: tuple[str, ...]) -> None:
    assert labels_of(names) == labels
    assert labels_of(reversed(names)) == labels
