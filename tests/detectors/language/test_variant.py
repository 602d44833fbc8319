from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Alarm, words
from detectors.language.variant import Spelling, Variant, spelling_of

SIMPLIFIED = "然后我们需要考虑这个问题的所有可能情况，因为它们之间的关系很复杂。"
TRADITIONAL = "我們需要考慮這個問題的所有可能情況，因為它們之間的關係非常複雜。"


def alarms(text: str, expected: Spelling) -> list[Alarm]:
    variant = Variant(expected)
    return [alarm for word in words(Piece(text, 0)) for alarm in variant.take(word)]


@pytest.mark.parametrize(
    ("text", "spelling"), [(SIMPLIFIED, "simplified"), (TRADITIONAL, "traditional"), ("水火", None)]
)
def test_characters_tell_the_spelling(text: str, spelling: Spelling | None) -> None:
    assert spelling_of(text) == spelling


def test_the_other_spelling_is_found_once_while_it_lasts() -> None:
    (alarm,) = alarms(SIMPLIFIED * 2 + TRADITIONAL * 3, "simplified")
    assert (alarm.label, alarm.language) == ("script_variant", "zh")
    assert len(SIMPLIFIED) * 2 <= alarm.start < alarm.end <= len(SIMPLIFIED) * 2 + 24
    assert len(alarms(TRADITIONAL * 2 + SIMPLIFIED * 3, "traditional")) == 1


def test_what_is_expected_and_a_name_are_not_found() -> None:
    assert alarms(SIMPLIFIED * 3, "simplified") == []
    assert alarms(TRADITIONAL * 3, "traditional") == []
    assert alarms("他的名字写作張偉，" + SIMPLIFIED, "simplified") == []


def test_evidence_has_a_place_and_a_peak() -> None:
    variant = Variant("simplified")
    assert (variant.since, variant.peak) == (None, 0)
    (word,) = words(Piece("這", 7))
    variant.take(word)
    assert (variant.since, variant.peak) == (7, 1 / 3)
