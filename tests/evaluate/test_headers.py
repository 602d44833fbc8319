from __future__ import annotations

import pytest

from guard.evaluate.headers import headers, restarted

PROMPT = "Stack blocks.\n\n[STATEMENT]\nAs initial ...\n\n[PLAN]\npick up\n[PLAN END]\n\nQuestion 1: why?\n"


def test_headers_are_lines_that_start_with_brackets_or_a_colon() -> None:
    text = "[STATEMENT] x\n  [PLAN END]\nQuestion 1: a\nQuestion 2: b\nFinal Answer: c\nnote: d\nAt 12:30 rain\nC:x\n"
    assert headers(text) == {"[STATEMENT]": 1, "[PLAN END]": 1, "Question :": 2, "Final Answer:": 1}


@pytest.mark.parametrize(
    ("prompt", "output", "expected"),
    [
        (PROMPT, "[STATEMENT]\nmore\n" * 4, ("[STATEMENT]", 4)),
        (PROMPT, "[STATEMENT]\nmore\n" * 3, None),
        (PROMPT, "[STATEMENT]\n[PLAN]\n" * 2 + "[PLAN]\n" * 3, ("[PLAN]", 5)),
        (PROMPT, "".join(f"Question {n}: so?\n" for n in range(5)), ("Question :", 5)),
        (PROMPT, "I said [STATEMENT] again\n" * 6, None),
        ("Why?", "[STATEMENT]\nmore\n" * 9, None),
        (PROMPT, "[OTHER]\n" * 9, None),
        (PROMPT, "", None),
    ],
)
def test_four_lines_with_a_header_of_the_prompt_are_a_restart(
    prompt: str, output: str, expected: tuple[str, int] | None
) -> None:
    assert restarted(prompt, output) == expected
