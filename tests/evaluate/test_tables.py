from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from guard.evaluate.labels import Subject, Truth
from guard.evaluate.report import Report, build_report
from guard.evaluate.rows import rows_of
from guard.evaluate.tables import FIGURES, WIDTH, cells, console, percent, render
from tests.evaluate.test_report import report
from tests.support.measured import case, measured, result


def shown(report: Report) -> str:
    out = Console(width=WIDTH)
    with out.capture() as captured:
        for piece in render(report):
            out.print(piece)
    return captured.get()


def test_a_row_in_cells() -> None:
    row = rows_of([case(True, at=60, onset=40, period=20, leaked=3, saved=25), case(False)], 0.9)[0]
    assert dict(zip(FIGURES, cells(row), strict=True)) == {
        "labelled": "1",
        "alarm": "1",
        "recall": "100.0 %",
        "clean": "1",
        "false": "0",
        "FAR": "0.00 %",
        "95 % interval": "0.00 - 79.35 %",
        "per Mtok": "0.00",
        "agree": "100.0 %",
        "delay p10/50/90": "20/20/20",
        "copies": "1.0/1.0/1.0",
        "early": "0 %",
        "leaked": "3",
        "saved": "25 %",
    }


def test_figures_that_do_not_exist_stay_empty() -> None:
    assert set(cells(rows_of([], 0.9)[0])) == {""}
    assert percent(None) == ""


def test_the_report_says_everything() -> None:
    told = shown(report())
    for line in (
        "some.jsonl: 7 records",
        "loop: alarm = a finding of 0.9 or more; 2.00 us per token",
        "at 0.5 or more: recall 66.7 % (2 of 3), false 50.00 % (1 of 2)",
        "1 grey",
        "1 without a label on it, 1 of them with an alarm",
        "ended by any rule: 1 of 3 labelled loop, 1 of 2 clean of it",
        "loop: missed (2)",
        "loop: false alarms (1)",
        "only exact 0.50 (period 7) at content:90",
        "who knows",
    ):
        assert line in told


def test_without_labels_there_is_no_table() -> None:
    assert "recall" not in shown(report(None))


def test_harm_has_its_own_figures() -> None:
    truth = {Subject.HARM: Truth(positive=True, kind="hate")}
    record = msgspec.structs.replace(measured(1, None, harm=result(5)), truths=truth)
    made = build_report([record], file="", policy="", policy_version="", subjects={"harm": Subject.HARM}, costs={})
    assert "AUPRC 1.000, F1 at 0.9 1.000, F1 at 0.5 1.000" in shown(made)


@pytest.mark.parametrize(("columns", "width"), [("80", WIDTH), ("300", 300)])
def test_tables_are_never_squeezed(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width
