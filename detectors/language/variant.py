"""Chinese in the other of its two spellings: simplified where traditional is expected, or the other way round.

Told by characters that differ between the two. Many are written alike, and single ones of the other spelling occur in
names, so three within 24 characters are asked for, and more of them than of the expected spelling.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, TypeAlias

from detectors.language.evidence import Alarm, Word
from detectors.language.scripts import Script

Spelling: TypeAlias = Literal["simplified", "traditional"]

_PAIRS: Final = (
    "这這们們说說对對时時为為么麼吗嗎还還让讓给給谁誰现現实實际際种種样樣认認识識问問题題应應该該虽雖过過从從边邊买買卖賣东東"
    "车車马馬鸟鳥鱼魚贝貝见見计計设設证證词詞语語读讀谢謝谈談请請课課调調论論诉訴诗詩译譯试試详詳误誤议議护護报報换換损損挥揮"
    "拥擁择擇图圖园園围圍团團场場坏壞块塊坚堅处處备備复復头頭夺奪奋奮奖獎妇婦妈媽孙孫宁寧审審宽寬宾賓导導尘塵尝嘗层層岁歲岛島"
    "币幣师師带帶帮幫广廣庆慶库庫庙廟废廢开開异異张張归歸录錄彻徹总總恶惡悬懸惊驚惧懼惯慣愿願懒懶个個国國学學会會来來经經间間"
    "关關点點门門长長电電无無业業产產义義乐樂习習书書亚亞亲親亿億仅僅价價众眾优優伤傷体體侧側儿兒"
)
_SIMPLIFIED: Final = frozenset(_PAIRS[::2])
_TRADITIONAL: Final = frozenset(_PAIRS[1::2])
_LAST: Final = 24
_MARKS: Final = 3


def spelling_of(text: str) -> Spelling | None:
    """The spelling of the Chinese in `text`; None if it does not tell."""
    simplified = sum(char in _SIMPLIFIED for char in text)
    traditional = sum(char in _TRADITIONAL for char in text)
    if abs(simplified - traditional) < 2:
        return None
    return "simplified" if simplified > traditional else "traditional"


class Variant:
    """Evidence of the spelling that is not expected, in one lane whose language is Chinese."""

    __slots__ = ("_last", "_other", "_own", "peak", "switched")

    def __init__(self, expected: Spelling) -> None:
        simplified = expected == "simplified"
        self._own, self._other = (_SIMPLIFIED, _TRADITIONAL) if simplified else (_TRADITIONAL, _SIMPLIFIED)
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST)
        self.switched = False
        self.peak = 0.0
        """The most characters of the other spelling that counted, as a share of a finding, at most 1."""

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        return None if self.switched else next((start for start, kind in self._last if kind == "other"), None)

    def take(self, word: Word) -> list[Alarm]:
        """Take a Han character."""
        if word.weight < 1:
            return []
        kind = "other" if word.text in self._other else "own" if word.text in self._own else ""
        self._last.append((word.start, kind))
        kinds = [kind for _, kind in self._last]
        others = kinds.count("other")
        if kinds.count("own") >= others:
            self.switched = self.switched and others > 0
            return []
        self.peak = max(self.peak, min(1.0, others / _MARKS))
        if self.switched or others < _MARKS:
            return []
        self.switched = True
        start = next(start for start, kind in self._last if kind == "other")
        return [Alarm("script_variant", "zh", Script.HAN, start, word.end)]
