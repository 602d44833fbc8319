"""Harm models for tests: one whose risk is written in the text, and rows to train a real one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np

from detectors.harm.corpus import Row
from detectors.harm.features import BITS
from detectors.harm.model import Card, Model


class Told(Model):
    """The risk of a text is the highest number like `r0.7` in it, 0.1 without one; its category is weapons."""

    def __init__(self) -> None:
        names = ("hate", "indiscriminate_weapons")
        card = Card(BITS, 1.0, 0.0, 1.0, 1.0, 0.0, 4, names, 1.0, (0.0, 1.0))
        super().__init__(card, bytes(1 << BITS), bytes(1 << BITS), bytes(1 << BITS), bytes(len(names) << 4))

    def weigh(self, text: str) -> float:
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


def senses_folders(folder: Path) -> tuple[Path, Path]:
    """Word vectors and a profanity checker as training reads them: `vermin` and `scoundrels` are alike, and so are
    `lovely` and `bouquets`."""
    vectors, profanity = folder / "vectors", folder / "profanity"
    vectors.mkdir()
    profanity.mkdir()
    pieces = ["vermin", "scound", "##rels", "lovely", "bouquets", "the"]
    table = np.array([[1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [-1, 0, 0], [-1, 0.1, 0], [0, 0.5, 1]], "<f4")
    (vectors / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": {piece: number for number, piece in enumerate(pieces)}}})
    )
    entry = {"dtype": "F32", "shape": [6, 3], "data_offsets": [0, table.nbytes]}
    head = json.dumps({"embeddings.word_embeddings.weight": entry}).encode()
    (vectors / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + table.tobytes())
    part = SimpleNamespace(estimator=SimpleNamespace(coef_=np.array([[2.0, -1.0]])))
    joblib.dump(SimpleNamespace(vocabulary_={"vermin": 0, "lovely": 1}), profanity / "vectorizer.joblib")
    joblib.dump(SimpleNamespace(calibrated_classifiers_=[part, part]), profanity / "model.joblib")
    return vectors, profanity
