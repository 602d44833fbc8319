from __future__ import annotations

import pytest

from detectors.loop.fence import Fence


def opened(text: str, step: int) -> int:
    fence = Fence()
    for end in range(step, len(text) + step, step):
        end = min(end, len(text))
        fence.look(text[max(0, end - 500) : end], end)
    return fence.opened


@pytest.mark.parametrize("step", [1, 2, 3, 64])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no fence here, `code` only", -1),
        ("see:\n```python\nx = 1\n", 5),
        ("see:\n```python\nx = 1\n```\nand so on", -1),
        ("```\na\n```\n```\nb", 10),
        ("- item:\n  ```\n  code", 10),
        ("1. ```\n  code", 3),
        ("> ```\n> code", 2),
        ("````\n```\nstill", -1),
        ("the mark ``` in a line of prose", -1),
        ("``` \n" + "x" * 900, 0),
    ],
)
def test_knows_whether_a_fence_is_open(text: str, expected: int, step: int) -> None:
    assert opened(text, step) == expected
