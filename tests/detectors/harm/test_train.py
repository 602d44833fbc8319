from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.harm.model import SHIPPED, parse_model
from detectors.harm.train import main, train
from tests.support.harm_model import rows
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


@pytest.mark.slow
def test_the_shipped_model_is_what_the_data_gives(tmp_path: Path) -> None:
    """Byte for byte, with the library versions it was made with; weights may differ in a last step with others."""
    out = tmp_path / "m.bin"
    assert main([str(shared("harm/train.jsonl.xz")), "--out", str(out)]) == 0
    made, ships = parse_model(out.read_bytes()), parse_model(SHIPPED.read_bytes())
    assert made.idfs == ships.idfs
    differing = sum(one != other for one, other in zip(made.risks, ships.risks, strict=True))
    assert differing < len(made.risks) / 1_000
