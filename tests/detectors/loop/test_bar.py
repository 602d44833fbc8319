from __future__ import annotations

import pytest

from detectors.loop.bar import Bar, bar_for, base_bar
from detectors.loop.exact import Run


@pytest.mark.parametrize(
    ("period", "copies"), [(1, 60), (2, 60), (3, 20), (32, 8), (33, 5), (512, 3), (2_048, 2.25), (16_000, 2.06)]
)
def test_longer_periods_need_fewer_copies(period: int, copies: float) -> None:
    assert base_bar(period).copies == copies


def test_progress_is_the_lesser_of_copies_and_length() -> None:
    bar = Bar(copies=5, covered=256)
    assert bar.progress(Run(64, 0, 128)) == 0.5
    assert bar.progress(Run(10, 0, 128)) == 0.5
    assert bar.progress(Run(100, 0, 300)) == 0.75


SENTENCE = "Let me check the sum of the two numbers again. "
ROW = "| yes | no | yes |\n"


@pytest.mark.parametrize(
    ("block", "in_code", "prompt", "copies"),
    [
        (SENTENCE, False, "", 5),
        (SENTENCE, False, SENTENCE, 5),  # told once in the prompt: no repetition there
        (SENTENCE, False, SENTENCE * 2, 1 + 4 * 9),
        (SENTENCE, True, "", 8),
        ("0, 0, 0, 0\n", False, "", 1 + 7 * 4),
        ("--- --- ---\n", False, "", 1 + 7 * 2),
        (ROW, False, "", 1 + 7 * 2),
        ("\n\n", False, "", 2),
        ("🌊 ", False, "", 60),
    ],
)
def test_what_legitimately_repeats_has_a_higher_bar(block: str, in_code: bool, prompt: str, copies: float) -> None:
    bar = bar_for("x" + block * 20, len(block), in_code=in_code, prompt="".join(prompt.split()))
    assert bar.copies == copies


def test_white_space_in_between_does_not_hide_the_prompt() -> None:
    prompt = "".join((SENTENCE.replace(" ", "\n") * 3).split())
    assert bar_for(SENTENCE * 3, len(SENTENCE), in_code=False, prompt=prompt).copies > 5


@pytest.mark.parametrize(
    ("prompt", "asked", "copies"),
    [
        ("Write 'Let me check the sum of the two numbers again.' 50 times.", 50, 62.5),
        ("Check the sum of the two numbers. 50 times.", 50, 5),
        ("Write 'Let me check the sum of the two numbers again.' 3 times.", 3, 5),
    ],
)
def test_the_prompt_may_ask_for_copies(prompt: str, asked: int, copies: float) -> None:
    told = "".join(prompt.split())
    assert bar_for(SENTENCE * 9, len(SENTENCE), in_code=False, prompt=told, asked=asked).copies == copies
