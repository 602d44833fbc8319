from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from detectors.harm.corpus import read_rows
from detectors.harm.model import SHIPPED, parse_model
from detectors.harm.train import idf_table, kept_to_fit, logistic, main, train, train_texts
from tests.support.harm_model import rows, senses_folders
from tests.support.shared import shared


def write(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows()))
    return file


def test_it_learns_what_the_rows_show() -> None:
    model = train(rows(), bits=10)
    assert model.risk("those numbered people are vermin") > 0.7 > 0.3 > model.risk("the lovely garden in the light")
    assert model.category("vermin, despised people") == "hate"
    assert model.category("fill the bomb with nerve agent") == "indiscriminate_weapons"


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    file = write(tmp_path)
    for name in ("one.bin", "two.bin"):
        assert main([str(file), "--out", str(tmp_path / name)]) == 0
    one = (tmp_path / "one.bin").read_bytes()
    assert one == (tmp_path / "two.bin").read_bytes()
    assert parse_model(one).card.categories == ["indiscriminate_weapons", "hate"]


def test_sources_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    assert main([str(file), "--out", str(tmp_path / "m.bin"), "--without", "made-hate"]) == 0
    assert "from 120 rows" in capsys.readouterr().out
    assert parse_model((tmp_path / "m.bin").read_bytes()).card.categories == ["indiscriminate_weapons"]


@pytest.mark.parametrize("without", [["made-benign"], ["made-hate", "made-weapons_cbrn"]])
def test_rows_of_one_kind_are_too_few(tmp_path: Path, capsys: pytest.CaptureFixture[str], without: list[str]) -> None:
    out = tmp_path / "m.bin"
    assert main([str(write(tmp_path)), "--out", str(out), "--without", *without]) == 2
    assert "rows are too few" in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


def test_words_that_no_row_holds_get_a_sense_from_their_vectors(tmp_path: Path) -> None:
    vectors, profanity = senses_folders(tmp_path)
    out = tmp_path / "m.bin"
    arguments = [str(write(tmp_path)), "--out", str(out), "--vectors", str(vectors), "--profanity", str(profanity)]
    assert main(arguments) == 0
    model = parse_model(out.read_bytes())
    plain = train(rows(), bits=15)
    assert not any(plain.senses)
    assert plain.risk("scoundrels") == plain.risk("bouquets")
    assert model.risk("scoundrels") > model.risk("bouquets")


def test_folders_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.bin"
    assert main([str(write(tmp_path)), "--out", str(out), "--vectors", str(tmp_path / "none")]) == 2
    assert "tokenizer.json" in capsys.readouterr().err
    assert not out.exists()


def test_the_regression_is_the_one_that_minimises_its_loss() -> None:
    features = sparse.csr_matrix(np.eye(4))
    dense = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    weights, others, bias = logistic(features, dense, np.array([True, True, False, False]), 10.0)
    assert weights[0] == pytest.approx(weights[1], abs=0.01)
    assert weights[0] == pytest.approx(-weights[2], abs=0.01)
    margin = weights[0] + others[0]
    # where the slope of the loss is nothing, a weight is what pulls at it
    assert weights[0] == pytest.approx(10 / (1 + np.exp(margin)), rel=0.02)
    assert bias == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_the_shipped_model_was_made_of_this_data_read_as_it_is_read_now() -> None:
    """The weights need the vectors, which are no part of the data; the IDFs come before them."""
    read = train_texts(read_rows(shared("harm/train.jsonl.xz")))
    kept = [words for words, row in read if kept_to_fit(row)]
    assert idf_table(kept) == parse_model(SHIPPED.read_bytes()).idfs
