from __future__ import annotations

import pytest

from detectors._prose import Piece
from detectors.language.evidence import Alarm, words
from detectors.language.han import MARKS, ChineseInJapanese

JAPANESE = "まず問題を整理します。次に式を立てます。"
CHINESE = "然后我们需要考虑这个问题的所有可能情况，因为它们之间的关系很复杂。"


def alarms(text: str) -> list[Alarm]:
    han = ChineseInJapanese()
    return [alarm for word in words(Piece(text, 0)) for alarm in han.take(word)]


@pytest.mark.parametrize(
    "text",
    [
        JAPANESE * 5,
        "東京都千代田区霞が関にある経済産業省資源エネルギー庁は、新しい再生可能エネルギー政策を発表しました。",
        "国際連合安全保障理事会常任理事国",
        "中国語では这と書きます。" + JAPANESE,
    ],
)
def test_japanese_is_not_chinese(text: str) -> None:
    assert alarms(text) == []


def test_chinese_is_found_once_while_it_lasts() -> None:
    (alarm,) = alarms(JAPANESE + CHINESE * 3)
    assert (alarm.label, alarm.language) == ("switch", "zh")
    assert len(JAPANESE) <= alarm.start < alarm.end <= len(JAPANESE) + 24
    assert len(alarms((JAPANESE * 3 + CHINESE) * 2)) == 2


def test_traditional_chinese_is_told_by_its_particles() -> None:
    (alarm,) = alarms("本論文提出了一種新型的卷積神經網絡架構，名為深度對齊網絡，用於動作認別和分段。")
    assert alarm.label == "switch"
    assert alarms("積極的な政策と経済的な支援、社会的な責任、国際的な協力を得て、我々は前進する。") == []


def test_undecided_evidence_has_a_place() -> None:
    han = ChineseInJapanese()
    (word,) = words(Piece("这", 3))
    han.take(word)
    assert han.since == 3


def test_marks_are_single_characters() -> None:
    assert all(len(mark) == 1 for mark in MARKS)
    assert not MARKS & set("国学声対実然它東")
