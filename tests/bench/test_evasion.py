from __future__ import annotations

from pathlib import Path

import pytest

from bench.evasion import DISGUISES, WORDS, detector, main, recall, strings

BEST_EFFORT = {"leetspeak", "spaces between letters", "full stops between letters", "one letter doubled"} | {
    "two letters swapped"
}
SHORT = {"rot13", "base64", "base64 twice", "url-encoded base64"}
"""The shortest words are not found in these."""


def test_two_hundred_strings_a_disguise() -> None:
    assert len(WORDS) == len(set(WORDS)) == 40
    for disguise in DISGUISES.values():
        assert sum(1 for _ in strings(disguise)) == 200


@pytest.mark.parametrize("name", [name for name in DISGUISES if name not in BEST_EFFORT | SHORT])
def test_what_the_shadow_undoes_is_found(name: str) -> None:
    assert recall(detector(plain=False), DISGUISES[name]) == 1


@pytest.mark.parametrize("name", sorted(SHORT))
def test_what_is_mostly_found(name: str) -> None:
    assert recall(detector(plain=False), DISGUISES[name]) >= 0.9


def test_the_documentation_shows_the_table_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    documented = (Path(__file__).parents[2] / "docs" / "detection.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() in documented
