from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.harm import main
from bench.text import PROSE


def test_it_compares_with_fasttext(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "harm.json"
    assert main(["--characters", str(len(PROSE)), "--repetitions", "1", "--json", str(out)]) == 0
    assert "times" in capsys.readouterr().out
    figures = json.loads(out.read_text())
    assert set(figures) == {"harm", "fasttext_once", "fasttext_overlapping", "ratio_once", "ratio_overlapping"}
    assert figures["fasttext_once"] < figures["fasttext_overlapping"]
    assert figures["ratio_once"] == pytest.approx(figures["harm"] / figures["fasttext_once"])


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl.xz")]) == 2
    assert "none" in capsys.readouterr().err
