from __future__ import annotations

import pytest

from detectors._grid import GridTail
from detectors.loop.headers import Headers, headers_of

PROMPT = """Solve it.

[STATEMENT]
The red block is on the blue one.

[PLAN]
unstack red
[PLAN END]

[STATEMENT]
The blue block is on the red one.

[PLAN]
"""
PART = "\n[STATEMENT]\nThe red block is on the blue one.\n\n[PLAN]\nunstack red\n[PLAN END]\n"


def count(text: str, prompt: str = PROMPT, restarts: int = 4) -> Headers:
    headers = Headers(headers_of(prompt), restarts)
    tail = GridTail(step=64, keep=256)
    for end in tail.grow(text + "\n" * 64):
        headers.look(tail.text, end)
    return headers


def test_thresholds() -> None:
    assert count(PART * 2).level() < 0.5 <= count(PART * 3).level() < 0.9 <= count(PART * 4).level()


def test_where_the_first_one_stands() -> None:
    assert count("unstack blue\n" + PART * 4).since == len("unstack blue\n\n")


def test_the_header_of_the_answer_is_the_models_to_write() -> None:
    assert count("[PLAN]\nunstack blue\n" * 8).most == 0


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("Question: What is it?\nAnswer:", "Question: And now?\n"),
        ("Question 1: What is it?\nAnswer 1:", "Question 2: And now?\n"),
        ("User: hello\nAssistant: hi\nUser: and?\nAssistant:", "User: more\n"),
        ("  Q: what?\nA:", "Q: what else?\n"),
    ],
)
def test_headers_by_name(prompt: str, line: str) -> None:
    assert count(line * 5, prompt).most == 5


def test_only_the_prompts_headers_count() -> None:
    assert headers_of("What is two and two?") is None
    assert count("Question: And now?\n" * 8, "What is two and two?").level() == 0


def test_only_at_the_start_of_a_line() -> None:
    assert count("Here [STATEMENT] is a header. " * 8).most == 0


@pytest.mark.parametrize("before", range(64))
def test_a_header_is_counted_once_wherever_it_is_cut(before: int) -> None:
    assert count("x" * before + "\n" + PART).most == 1


def test_restarts_can_be_turned_off() -> None:
    assert count(PART * 20, restarts=0).level() == 0


def test_a_restart_counts_anew() -> None:
    headers = count(PART * 5)
    headers.restart()
    assert headers.level() == 0


@pytest.mark.parametrize("mark", ["### Problem", "**Question 1:", "# Input:"])
def test_headers_in_markdown(mark: str) -> None:
    assert count(f"{mark}\nWhat now?\n" * 5, f"Solve it.\n\n{mark}\nWhat is it?\n\nAnswer:").most == 5


def test_each_line_of_the_prompt_may_be_quoted_once() -> None:
    questions = "".join(f"Question {number}: What is {number} and one?\n" for number in range(1, 6))
    assert count(questions, questions).most == 0
    assert count(questions * 2, questions).most == 5


def test_a_line_is_read_to_its_end() -> None:
    assert count("Question: is this the end" + " or this" * 30 + "?\n", "Question: What is it?\nAnswer:").most == 1
