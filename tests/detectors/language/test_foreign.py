from __future__ import annotations

import pytest

from detectors._prose import QUOTED, Piece
from detectors.language.evidence import Alarm, words
from detectors.language.foreign import Foreign
from detectors.language.scripts import Script


def alarms(*pieces: str | Piece) -> list[Alarm]:
    """What is found in English pieces that stand in a row, each 100 code points after the last if it is a `Piece`."""
    foreign = Foreign()
    found: list[Alarm] = []
    at = 0
    for each in pieces:
        piece = Piece(each, at) if isinstance(each, str) else Piece(each.text, at, each.weight)
        for word in words(piece):
            found += foreign.expected(word) if word.script is Script.LATIN else foreign.foreign(word)
        at += len(piece.text)
        found += foreign.read(at)
    return found + foreign.close()


def told(found: list[Alarm]) -> list[tuple[str, str, int, int]]:
    return [(alarm.label, alarm.language, alarm.start, alarm.end) for alarm in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("is 12. 因此 the answer", [("leak", "zh", 7, 9)]),
        ("is 道 the answer", [("leak", "zh", 3, 4)]),
        ("this событие is", [("leak", "ru", 5, 12)]),
        ("a б is", []),
        ("此 the 彼 one", [("leak", "zh", 0, 1), ("leak", "zh", 6, 7)]),
        ("はい and so", [("leak", "ja", 0, 2)]),
        ("ends with 因此", [("leak", "zh", 10, 12)]),
        ("首先我们对函数求导", [("leak", "zh", 0, 8), ("switch", "zh", 0, 8)]),
        ("因此" + "." * 50 + "因此", [("leak", "zh", 0, 2), ("leak", "zh", 52, 54)]),
    ],
)
def test_leaks_and_switches(text: str, found: list[tuple[str, str, int, int]]) -> None:
    assert told(alarms(text)) == found


def test_a_quotation_is_no_leak() -> None:
    assert alarms("the sign ", Piece("道路", 0, QUOTED), " means way") == []


def test_a_long_quotation_is_a_switch_in_the_end() -> None:
    assert [alarm.label for alarm in alarms(Piece("然后我们计算总费用得到最终的答案" * 3, 0, QUOTED))] == [
        "leak",
        "switch",
    ]


def test_a_short_stretch_after_the_name_of_its_language_is_a_mention() -> None:
    foreign = Foreign()
    foreign.named({Script.HAN}, 20)
    assert [foreign.foreign(word) for word in words(Piece("道", 25))] == [[]]
    assert foreign.close() == []
    assert [foreign.foreign(word) for word in words(Piece("道", 300))] == [[]]
    assert [alarm.label for alarm in foreign.close()] == ["leak"]


def test_peaks_are_shares_of_what_is_reported() -> None:
    foreign = Foreign()
    for word in words(Piece("道可道非", 0, QUOTED)):
        foreign.foreign(word)
    assert foreign.switch_peak == 3 / 24
    assert [alarm.label for alarm in foreign.close()] == ["leak"]
    assert foreign.leak_peak == 1


def test_a_switch_is_told_once_until_expected_text_returns() -> None:
    switch = "首先我们对函数求导然后令导数等于零"
    assert [alarm.label for alarm in alarms(switch * 20)] == ["leak", "switch"]
    back = " and now we go on in English, " * 30
    assert [alarm.label for alarm in alarms(switch * 20, back, switch)] == ["leak", "switch"] * 2


def test_leaks_in_number_do_not_flood() -> None:
    assert len(alarms("因此 and so we know that it is what it is, and so on it goes, " * 200)) == 50


def test_undecided_evidence_has_a_place() -> None:
    foreign = Foreign()
    assert (foreign.idle, foreign.since) == (True, None)
    (word,) = words(Piece("道", 7))
    foreign.foreign(word)
    assert (foreign.idle, foreign.since) == (False, 7)
