from __future__ import annotations

from typing import Any

import pytest

from detectors.pattern import Pattern, PatternRule, PatternSettings, WordList
from guard.registry import SettingsError, build, read_settings


@pytest.mark.parametrize("label", ["error", "", "two words", "1st", "x" * 65])
def test_labels_fit_metrics(label: str) -> None:
    with pytest.raises(ValueError, match="cannot be a label"):
        PatternSettings(words={label: ("bad",)})
    with pytest.raises(ValueError, match="cannot be a label"):
        PatternSettings(patterns={label: "bad"})


def test_contradictions_are_told() -> None:
    with pytest.raises(ValueError, match="set shadow: false too"):
        WordList(words=("bad",), ignore_case=False)
    with pytest.raises(ValueError, match="set shadow: false too"):
        PatternRule("bad", ignore_case=False)
    with pytest.raises(ValueError, match="score must be 0 to 1"):
        PatternRule("bad", score=2.0)
    with pytest.raises(ValueError, match="max_length must be 1"):
        PatternRule("bad", max_length=0)
    with pytest.raises(ValueError, match="give words or a file"):
        WordList()


def test_are_read_from_yaml_in_every_form() -> None:
    values: dict[str, Any] = {
        "words": {"plain": ["bad"], "more": {"words": ["Bad"], "shadow": False, "ignore_case": False, "score": 0.5}},
        "patterns": {"short": "a{3}", "long": {"regex": "a+", "max_length": 9}, "both": ["b{2}", {"regex": "c{3}"}]},
        "decode": [],
    }
    settings = read_settings("pattern", Pattern, values)
    assert settings.words["more"] == WordList(words=("Bad",), shadow=False, ignore_case=False, score=0.5)
    assert settings.patterns["both"] == ("b{2}", PatternRule("c{3}"))
    assert list(build("house", "pattern", values).labels) == ["plain", "more", "short", "long", "both"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "nothing to look for"),
        ({"patterns": {"key": r"key=\S+"}}, r"patterns: key: .*give max_length"),
        ({"patterns": {"key": "(?:a{600}){60}"}}, "patterns: key: .*more than 4000"),
        ({"patterns": {"word": "ж{3}é"}}, "patterns: word: `é` never stands in the shadow text, where it reads `e`"),
        ({"patterns": {"word": {"regex": "a", "max_lenght": 3}}}, "max_lenght"),
        ({"decode": ["morse"]}, "decode"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        build("pattern", "pattern", values)
