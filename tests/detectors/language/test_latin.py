from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Alarm, words
from detectors.language.identify import load_identifier
from detectors.language.latin import Latin
from detectors.language.scripts import Script


def alarms(text: str, known: str = "") -> list[Alarm]:
    latin = Latin(load_identifier("language"), frozenset(known.split()))
    found: list[Alarm] = []
    for word in words(Piece(text, 0)):
        if word.script is Script.LATIN:
            found += latin.take(word)
        else:
            found += latin.expected()
    return found + latin.expected()


@pytest.mark.parametrize(
    "text",
    [
        "我们可以使用 Python 的 pandas 库来处理 DataFrame，然后调用 groupby 和 merge 函数。",
        "NASA and ESA, Apollo Program",
        "因此 is 这个 it 然后 we",
    ],
)
def test_terms_are_nothing(text: str) -> None:
    assert alarms(text) == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("这个。But then we should also consider the case where the number is negative.", "en"),
        ("这个。Entonces el costo total del viaje es la suma de los precios de cada uno.", "es"),
    ],
)
def test_a_run_is_a_switch_told_once(text: str, language: str) -> None:
    assert [(alarm.label, alarm.language) for alarm in alarms(text)] == [("leak", language), ("switch", language)]


def test_the_switch_is_over_when_expected_text_returns() -> None:
    found = alarms("and so we should consider another case here, 这个 " * 2)
    assert [alarm.label for alarm in found] == ["leak", "switch"] * 2


def test_a_word_of_a_language_is_a_leak() -> None:
    text = "全球 warming 对北极的影响"
    (alarm,) = alarms(text)
    assert (alarm.label, alarm.language, text[alarm.start : alarm.end]) == ("leak", "en", "warming")
    assert alarms(text, known="warming") == []


def test_a_word_in_two_scripts_is_named_by_its_latin_part() -> None:
    (alarm,) = alarms("подwriter 这个")
    assert (alarm.language, alarm.script) == ("en", Script.LATIN)


def test_leaks_in_number_do_not_flood() -> None:
    assert len(alarms("全球 warming 对北极的影响 " * 200)) == 50


def test_peaks_are_shares_of_what_is_reported() -> None:
    latin = Latin(load_identifier("language"))
    for word in words(Piece("buildings are", 0)):
        latin.take(word)
    assert latin.switch_peak == 12 / 36
    latin.expected()
    assert latin.leak_peak == 1
