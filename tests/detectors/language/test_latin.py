from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Alarm, words
from detectors.language.identify import load_identifier
from detectors.language.latin import Latin
from detectors.language.scripts import Script


def alarms(text: str) -> list[Alarm]:
    latin = Latin(load_identifier("language"))
    found: list[Alarm] = []
    for word in words(Piece(text, 0)):
        if word.script is Script.LATIN:
            found += latin.take(word)
        else:
            latin.expected()
    return found


@pytest.mark.parametrize(
    "text",
    [
        "我们可以使用 Python 的 pandas 库来处理 DataFrame，然后调用 groupby 和 merge 函数。",
        "NASA and ESA, Apollo Program",
        "因此 then we consider 这个 case where it 然后 is",
    ],
)
def test_terms_are_no_switch(text: str) -> None:
    assert alarms(text) == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("这个。But then we should also consider the case where the number is negative.", "en"),
        ("这个。Entonces el costo total del viaje es la suma de los precios de cada uno.", "es"),
    ],
)
def test_a_run_is_a_switch_told_once(text: str, language: str) -> None:
    (alarm,) = alarms(text)
    assert (alarm.label, alarm.language) == ("switch", language)


def test_the_switch_is_over_when_expected_text_returns() -> None:
    assert len(alarms("and so we should consider another case here, 这个 " * 2)) == 2
