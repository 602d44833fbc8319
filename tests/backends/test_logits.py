from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

pytest.importorskip("torch", reason="the in-process model needs pip install 'qwq-guard[transformers]'")

import torch

from guard.backends.logits import Banned, processors
from guard.backends.sampling import Sampling


class After:
    """Forbids the token after the last one that was written."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def written(self, token: int) -> None:
        self.seen.append(token)

    def now(self) -> Collection[int]:
        return [self.seen[-1] + 1] if self.seen else []


PROMPT = torch.tensor([[7, 8]])
EVEN = torch.zeros(1, 6)


def left(scores: Any) -> list[int]:
    """The tokens that can still come."""
    return [index for index, score in enumerate(scores[0].tolist()) if score != float("-inf")]


def test_a_ban_sees_what_was_generated_and_takes_tokens_away() -> None:
    ban = After()
    banned = Banned(2, ban, always={0})
    assert left(banned(PROMPT, EVEN)) == [1, 2, 3, 4, 5]
    assert left(banned(torch.tensor([[7, 8, 3]]), EVEN)) == [1, 2, 3, 5]
    assert left(banned(torch.tensor([[7, 8, 3, 1]]), EVEN)) == [1, 3, 4, 5]
    assert ban.seen == [3, 1]
    assert left(EVEN) == [0, 1, 2, 3, 4, 5]


def test_where_nothing_would_be_left_nothing_is_taken() -> None:
    assert left(Banned(2, After(), always=range(6))(PROMPT, EVEN)) == [0, 1, 2, 3, 4, 5]


def test_bans_come_before_the_draw() -> None:
    sampling = Sampling(temperature=1.0, seed=3)
    for seed in range(20):
        steps = processors(sampling, seed, PROMPT, [Banned(2, After(), always={0, 1, 2, 3})])
        assert left(steps(PROMPT, EVEN))[0] in (4, 5)
    assert left(processors(Sampling(temperature=0), 0, PROMPT)(PROMPT, EVEN)) == [0, 1, 2, 3, 4, 5]
