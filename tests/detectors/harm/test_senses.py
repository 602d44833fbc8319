from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors.harm.senses import Senses
from tests.support.harm_model import senses_folders


def senses(folder: Path) -> Senses:
    return Senses.read(*senses_folders(folder))


def test_a_word_is_spelled_with_the_longest_pieces(tmp_path: Path) -> None:
    known = senses(tmp_path)
    assert known.spell("scoundrels") == [1, 2]
    assert known.spell("vermin") == [0]
    assert known.spell("rels") == known.spell("scoundx") == []


def test_words_that_mean_alike_have_features_alike(tmp_path: Path) -> None:
    known = senses(tmp_path)
    features, there = known.matrix(["vermin", "scoundrels", "bouquets", "lovely", "zzz"])
    assert there.tolist() == [True, True, True, True, False]
    vectors = features[:, :-2]
    assert vectors[0] @ vectors[1] > 0.5 > 0 > vectors[0] @ vectors[2]
    assert not vectors[4].any()
    assert features[:, -2].tolist() == [2, 0, 0, -1, 0]
    assert features[:, -1].tolist() == [2, 0, 0, 0, 0]


def test_the_profanity_checker_can_be_left_out(tmp_path: Path) -> None:
    known = senses(tmp_path)
    assert not known.without_profanity().profanity
    assert {"vermin", "lovely", "bouquets", "scound", "the"} <= set(known.vocabulary())
    assert not np.any(known.without_profanity().matrix(["vermin"])[0][:, -2:])


def test_a_file_without_embeddings_is_refused(tmp_path: Path) -> None:
    vectors, _ = senses_folders(tmp_path)
    head = b'{"other": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'
    (vectors / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(ValueError, match="holds no word embeddings"):
        Senses.read(vectors, None)
