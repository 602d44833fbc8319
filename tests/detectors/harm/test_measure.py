from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.harm.corpus import Row, read_rows
from detectors.harm.measure import Judged, average_precision, figures, judge, line, main, rates, score
from detectors.harm.model import shipped_model
from tests.support.harm_model import Told, rows, senses_folders
from tests.support.shared import shared


def judged(*scores: tuple[float, bool]) -> list[Judged]:
    return [Judged(Row("", "", "prompt", "", harmful, ""), value, "hate") for value, harmful in scores]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([(0.9, True), (0.1, False)], 1.0),
        ([(0.9, False), (0.1, True)], 0.5),
        ([(0.5, True), (0.5, False)], 0.5),
        ([(0.9, True), (0.8, False), (0.7, True)], (1 + 2 / 3) / 2),
        ([(0.9, False)], 0.0),
    ],
)
def test_average_precision(scores: list[tuple[float, bool]], expected: float) -> None:
    assert average_precision(judged(*scores)) == pytest.approx(expected)


def test_rates_at_a_bar() -> None:
    some = judged((0.9, True), (0.4, True), (0.9, False), (0.1, False), (0.1, False), (0.1, False))
    at = rates(some, 0.5)
    assert (at.recall, at.false_alarms, at.f1) == (0.5, 0.25, 0.5)
    assert line(figures("some", some)).startswith("| some | 2 / 4 | 0.583 | 0.50 / 25.0% / 0.50 |")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r0.7", 0.7),
        ("r0.98 " + "x " * 350, 0.98),
        ("x " * 150 + "r0.7" + "x " * 300, 0.7),
        ("x " * 350, 0.1),
        ("x " * 350 + "r0.7", 0.1),
    ],
)
def test_a_score_is_what_the_detector_reports(text: str, expected: float) -> None:
    assert score(Told(), text)[0] == expected


def test_prompts_have_bars_of_their_own() -> None:
    text = "r0.98 " + "x " * 350
    assert score(Told(), text, "prompt")[0] == 0.98
    late = "x " * 350 + "r0.98"
    assert score(Told(), late)[0] == 0.98
    assert score(Told(), late, "prompt")[0] < 0.98


def test_it_measures_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, calm, out = tmp_path / "rows.jsonl", tmp_path / "calm.jsonl", tmp_path / "out.json"
    file.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows()))
    calm.write_text('{"output": "The lamp is the easy part."}\n')
    assert main([str(file), "--json", str(out), "--calm", str(calm)]) == 0
    said = capsys.readouterr().out
    assert "| made-hate | 60 / 0 |" in said
    assert "false alarms on 1 outputs: 0 at 0.5" in said
    data = json.loads(out.read_text())
    assert data["rows"][0]["harmful"] == 120
    assert data["calm"] == {"outputs": 1, "alarms": {"0.5": 0, "0.7": 0, "0.8": 0, "0.9": 0, "0.95": 0}}


def test_it_measures_sources_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows()))
    vectors, profanity = senses_folders(tmp_path)
    with_words = ["--vectors", str(vectors), "--profanity", str(profanity)]
    assert main([str(file), "--left-out", str(file), "made-hate", *with_words]) == 0
    assert "| made-hate | 60 / 60 |" in capsys.readouterr().out


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_the_shipped_model_is_as_good_as_its_card_says() -> None:
    dev = judge(shipped_model(), read_rows(shared("harm/dev.jsonl.xz")))
    assert average_precision(dev) > 0.94
    assert rates(dev, 0.9).false_alarms <= 0.01
