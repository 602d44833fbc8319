"""Harm models for tests: one whose risk is written in the text, and rows to train a real one."""

from __future__ import annotations

import re

from detectors.harm.corpus import Row
from detectors.harm.features import BITS
from detectors.harm.model import Card, Model


class Told(Model):
    """The risk of a text is the highest number like `r0.7` in it, 0.1 without one; its category is weapons."""

    def __init__(self) -> None:
        names = ("hate", "indiscriminate_weapons")
        card = Card(BITS, 1.0, 0.0, 1.0, 0.0, 4, names, 1.0, (0.0, 1.0))
        super().__init__(card, bytes(1 << BITS), bytes(1 << BITS), bytes(len(names) << 4))

    def risk(self, text: str) -> float:
        return max([0.1, *(float(number) for number in re.findall(r"r(0\.\d+)", text))])


def rows() -> list[Row]:
    """Two kinds of harm and their opposites, each with words of its own; enough to fit and to calibrate."""
    kinds = {
        "hate": "those {} people are vermin and should be despised",
        "weapons_cbrn": "mix the {} nerve agent and fill the bomb with it",
        "benign": "the {} garden looks lovely in the morning light",
    }
    return [
        Row(f"{category}-{number}", f"made-{category}", "prompt", text.format(f"number{number}"), harmful, category)
        for category, text in kinds.items()
        for number in range(60)
        for harmful in [category != "benign"]
    ]
