"""Chinese within Japanese: both are written in Han characters, so other signs have to tell.

    まず式を立てます。然后我们需要考虑这个问题 ...    two characters that only simplified Chinese uses, no kana since
    本論文提出了一種新型的卷積神經網絡架構 ...         many for which Japanese has kana, and no kana

Japanese is expected and Chinese is not. Compounds of kanji alone (経済産業省資源エネルギー庁) hold neither kind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from detectors.language.evidence import Alarm, Word
from detectors.language.scripts import Script

MARKS: Final = frozenset(
    "这们说对时为么吗呢吧还让给你您她哪谁怎现实际种样认识问题应该虽过从边买卖东车马鸟鱼贝见计设证词语读谢谈请课调论诉诗译试详误"
    "议护报换损挥拥择图园围团场坏块坚坛处备复头夺奋奖妇妈孙宁审宽宾导尔尘尝层岁岛币师带帮广庆库庙废开异张归录彻总恶悬惊惧惯愿懒"
    "动务业严义习书亿仅优传伤众侧关兴养农决况减则创办劳势单卫厅历压县发变听启响员"
)
"""Frequent characters of simplified Chinese that Japanese does not use."""
PARTICLES: Final = frozenset("的了是在我他她你您們這那個就也都與於和或而把被讓將嗎呢吧什麼還為從對很没沒")
"""Characters for which Japanese has kana, or other words; seldom two of them in a compound."""
_LAST: Final = 24
_FEWEST: Final = 5
_KANA: Final = 8
"""One kana in so many characters does not speak against Chinese."""
_MARK: Final = 2
"""A mark says as much as so many particles."""
_SIGNS: Final = 4


class ChineseInJapanese:
    """Evidence of Chinese in one lane whose language is Japanese."""

    __slots__ = ("_last", "peak", "switched")

    def __init__(self) -> None:
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST)
        self.switched = False
        self.peak = 0.0
        """The most signs that counted, as a share of a switch, at most 1."""

    @property
    def since(self) -> int | None:
        """Where the evidence that is not decided yet starts."""
        if self.switched:
            return None
        return next((start for start, kind in self._last if kind == "mark"), None)

    def take(self, word: Word) -> list[Alarm]:
        """Take a Han or kana character."""
        if word.weight < 1:
            return []
        text = word.text
        kana = word.script is Script.KANA
        kind = "kana" if kana else "mark" if text in MARKS else "particle" if text in PARTICLES else ""
        self._last.append((word.start, kind))
        if not self.switched and kind not in ("mark", "particle"):
            return []
        start = self._chinese_since()
        if start is None:
            self.switched = self.switched and any(kind == "mark" or kind == "particle" for _, kind in self._last)
            return []
        if self.switched:
            return []
        self.switched = True
        return [Alarm("switch", "zh", Script.HAN, start, word.end)]

    def _chinese_since(self) -> int | None:
        kinds = [kind for _, kind in self._last]
        if "mark" in kinds:
            first = kinds.index("mark")
            rest = kinds[first:]
            if rest.count("kana") <= len(rest) // _KANA and self._enough(rest):
                return self._last[first][0]
        first = len(kinds) - kinds[::-1].index("kana") if "kana" in kinds else 0
        if self._enough(kinds[first:]):
            return self._last[first][0]
        return None

    def _enough(self, kinds: Sequence[str]) -> bool:
        signs = _MARK * kinds.count("mark") + kinds.count("particle")
        self.peak = max(self.peak, min(1.0, signs / _SIGNS))
        return len(kinds) >= _FEWEST and signs >= _SIGNS
