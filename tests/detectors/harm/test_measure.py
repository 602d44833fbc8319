from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.harm.corpus import Row, read_rows
from detectors.harm.measure import Judged, average_precision, judge, line, main, rates, score
from detectors.harm.model import shipped_model
from tests.support.harm_model import Told, rows
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
    assert rates(some, 0.5) == (0.5, 0.25, 0.5)
    assert line("some", some).startswith("| some | 2 / 4 | 0.583 | 0.50 / 25.0% / 0.50 |")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("r0.7", 0.7), ("r0.7" + "x" * 700, 0.1), ("x" * 300 + "r0.7" + "x" * 600, 0.7), ("r0.98" + "x" * 700, 0.98)],
)
def test_a_score_is_what_the_detector_reports(text: str, expected: float) -> None:
    assert score(Told(), text) == expected


def test_it_measures_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows()))
    assert main([str(file)]) == 0
    assert "| made-hate | 60 / 0 |" in capsys.readouterr().out
    assert main([str(file), "--left-out", str(file), "made-hate"]) == 0
    assert capsys.readouterr().out.startswith("| made-hate | 60 / 60 |")
    assert main([str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


def test_the_shipped_model_is_as_good_as_its_card_says() -> None:
    dev = judge(shipped_model(), read_rows(shared("harm/dev.jsonl.xz")))
    assert average_precision(dev) > 0.94
    assert rates(dev, 0.9)[1] <= 0.01
