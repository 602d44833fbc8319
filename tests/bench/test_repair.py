from __future__ import annotations

import pytest

from bench.repair import ACTIONS, NOTICE, PROMPTS, Answer, Row, policy, read, table
from guard.policy import compile_policy, parse_policy


@pytest.mark.parametrize("row", ACTIONS)
def test_each_row_is_a_policy(row: str) -> None:
    compiled = compile_policy(parse_policy(policy(row), row))
    assert compiled.rule_ids == ("loop_in_thinking", "loop_in_answer")


def test_there_are_fifty_prompts() -> None:
    prompts = PROMPTS.read_text(encoding="utf-8").splitlines()
    assert len(prompts) == len(set(prompts)) == 50


@pytest.mark.parametrize(
    ("text", "finish", "well"),
    [
        ("It rains.", "stop", True),
        ("It rains.", "length", False),
        ("It rains.", "content_filter", False),
        ("", "stop", False),
        (f"\n{NOTICE}\n", "stop", False),
        (f"It rains. {NOTICE}", "stop", True),
        ("It rains and rains and it rains. " * 30, "stop", False),
    ],
)
def test_an_answer_ends_well_if_it_says_something_and_stops(text: str, finish: str, well: bool) -> None:
    assert Answer(text, finish, 5, "").well is well


def test_an_answer_is_read_as_a_client_gets_it() -> None:
    body = {
        "choices": [{"message": {"content": None}, "finish_reason": "length"}],
        "usage": {"completion_tokens": 40},
        "guard": {"action": "repair"},
    }
    assert read(body) == Answer("", "length", 40, "repair")


def test_the_table_sets_each_row_against_the_first() -> None:
    rows = [
        Row("let it run", [Answer("", "length", 400, "")] * 2),
        Row("conclude", [Answer("Yes.", "stop", 100, "repair"), Answer(NOTICE, "content_filter", 200, "cut")]),
    ]
    lines = table(rows).splitlines()
    assert lines[2] == "| let it run | 0% | 0% | length 2 | 400 | 1.00 |"
    assert lines[3] == "| conclude | 50% | 50% | content_filter 1, stop 1 | 150 | 0.38 |"
