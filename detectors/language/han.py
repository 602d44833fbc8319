"""Chinese within Japanese: both are written in Han characters, so other signs have to tell.

Japanese is expected and Chinese is not. Among the last 24 characters, two that only simplified Chinese uses, with next
to no kana, mean that the text has become Chinese.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from detectors.language.evidence import Alarm, Word
from detectors.language.scripts import Script

MARKS: Final = frozenset(
    "这们说对时为么吗呢吧还让给你您她哪谁怎现实际种样认识问题应该虽过从边买卖东车马鸟鱼贝见计设证词语读谢谈请课调论诉诗译试详误"
    "议护报换损挥拥择图园围团场坏块坚坛处备复头夺奋奖妇妈孙宁审宽宾导尔尘尝层岁岛币师带帮广庆库庙废开异张归录彻总恶悬惊惧惯愿懒"
)
"""Frequent characters of simplified Chinese that Japanese does not use."""
_LAST: Final = 24
_FEWEST: Final = 8
_MARKS: Final = 2
_KANA: Final = 2


class ChineseInJapanese:
    """Evidence of Chinese in one lane whose language is Japanese."""

    __slots__ = ("_last", "switched")

    def __init__(self) -> None:
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST)
        self.switched = False

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        if self.switched:
            return None
        return next((start for start, kind in self._last if kind == "mark"), None)

    def take(self, word: Word) -> list[Alarm]:
        """Take a Han or kana character."""
        kind = "kana" if word.script is Script.KANA else "mark" if word.text in MARKS else ""
        self._last.append((word.start, kind))
        kinds = [kind for _, kind in self._last]
        chinese = len(kinds) >= _FEWEST and kinds.count("mark") >= _MARKS and kinds.count("kana") <= _KANA
        if not chinese:
            self.switched = self.switched and "mark" in kinds
            return []
        if self.switched:
            return []
        self.switched = True
        start = next(start for start, kind in self._last if kind == "mark")
        return [Alarm("switch", "zh", Script.HAN, start, word.end)]
