"""Does a response start over the sections of its prompt?

A model that runs on past its answer often goes on writing the prompt: `[STATEMENT]`, a new task, `[PLAN]`, an answer,
`[STATEMENT]`, ... Each round is new text, so it is a matter of taste whether that is a loop. A header is a line that
begins with capitals in square brackets, or with up to three words and a colon, the first of them capitalised; numbers
in it do not count, so that `Question 1:` and `Question 2:` are one header.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

TIMES: Final = 4
"""Output lines that start with the same header of the prompt, from which on it is a restart."""

_HEADER: Final = re.compile(r"^[ \t]*(\[[A-Z][A-Z _]{2,30}\]|[A-Z][A-Za-z]*(?: [A-Za-z]+){0,2} ?\d*:(?!\S))", re.M)


def headers(text: str) -> Counter[str]:
    """How many lines of `text` start with each header."""
    return Counter("".join(char for char in found if not char.isdigit()) for found in _HEADER.findall(text))


def restarted(prompt: str, output: str) -> tuple[str, int] | None:
    """The prompt's header that starts most lines of `output`, and how many, if they are `TIMES` or more."""
    wanted = headers(prompt)
    if not wanted:
        return None
    header, count = max(
        ((header, count) for header, count in headers(output).items() if header in wanted),
        key=lambda each: each[1],
        default=("", 0),
    )
    return (header, count) if count >= TIMES else None
