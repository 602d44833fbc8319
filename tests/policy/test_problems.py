from __future__ import annotations

import pytest

from guard.policy.problems import TITLES, Place, PolicyError, Problem, Severity, did_you_mean, in_order, render, shown

LINE = "  when: {detector: pii, label: CREDIT_CRAD}"


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    problem = Problem("P103", Place("house.yaml", 4, 32, LINE), "detector `pii` has no such label")
    assert str(problem) == (
        "house.yaml:4:32: P103 unknown label\n"
        "    when: {detector: pii, label: CREDIT_CRAD}\n"
        "                                 ^\n"
        "    detector `pii` has no such label"
    ).replace("                                 ^", " " * 4 + " " * 29 + "^")


@pytest.mark.parametrize(
    ("line", "column", "text", "caret"),
    [
        ("a: b", 1, "    a: b", "    ^"),
        ("a: b", 5, "    a: b", "        ^"),  # just after the line
        ("\ta: b", 5, "    \ta: b", "    \t   ^"),
        ("通知: 停止", 5, "    通知: 停止", "          ^"),  # wide characters take two cells
        ("e\u0301: x", 5, "    e\u0301: x", "       ^"),  # a combining one takes none
        ("    - x", 3, "      - x", "    ^"),  # inside the indentation
        ("a: \x1b[31m", 4, "    a: \ufffd[31m", "       ^"),  # nothing reaches the terminal as a command
    ],
)
def test_the_caret_stands_under_its_column(line: str, column: int, text: str, caret: str) -> None:
    shown_lines = str(Problem("P104", Place("f", 1, column, line), "m")).split("\n")
    assert shown_lines[1:3] == [text, caret]


def test_of_a_long_line_the_part_around_the_caret_is_shown() -> None:
    line = "x" * 5_000 + "!" + "x" * 5_000
    _, text, caret, _ = str(Problem("P104", Place("f", 1, 5_001, line), "m")).split("\n")
    assert len(text) < 200
    assert text[caret.index("^")] == "!"


def test_a_problem_without_a_line_shows_none() -> None:
    assert str(Problem("P106", Place("f"), "gone")) == "f:1:1: P106 cannot be read\n    gone"


def test_warnings_say_so() -> None:
    problem = Problem("P118", Place("f"), "m", Severity.WARNING)
    assert "P118 warning: watches nothing" in str(problem)
    assert problem.as_json()["severity"] == "warning"


def test_the_json_form_has_stable_keys() -> None:
    assert Problem("P103", Place("f", 4, 32, LINE), "m").as_json() == {
        "code": "P103",
        "title": "unknown label",
        "severity": "error",
        "file": "f",
        "line": 4,
        "column": 32,
        "message": "m",
    }


def test_an_error_shows_every_problem_in_order_and_once() -> None:
    second, first = Problem("P104", Place("f", 9, 1), "later"), Problem("P102", Place("f", 2, 7), "sooner")
    error = PolicyError([second, first, second])
    assert error.problems == (first, second) == in_order([first, second])
    assert str(error) == render([first, second])


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("lop", ["loop", "length"], "; did you mean `loop`?"),
        ("credit_card", ["CREDIT_CARD"], "; did you mean `CREDIT_CARD`?"),
        ("zebra", ["loop", "length"], ""),
        ("", ["loop"], ""),
        ("x" * 100_000, ["x" * 70], "; did you mean `" + "x" * 70 + "`?"),
        ("a", [], ""),
    ],
)
def test_suggestions(word: str, known: list[str], hint: str) -> None:
    assert did_you_mean(word, known) == hint


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (0.5, "0.5"),
        ([1], "a list"),
        ({}, "a mapping"),
        ("a\nb\x00", "a b "),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_values_in_a_sentence(value: object, text: str) -> None:
    assert shown(value) == text


def test_titles_are_short_and_codes_are_of_one_form() -> None:
    assert all(code.startswith("P1") and len(code) == 4 for code in TITLES)
    assert all(0 < len(title) < 30 for title in TITLES.values())
    assert len(set(TITLES.values())) == len(TITLES)
