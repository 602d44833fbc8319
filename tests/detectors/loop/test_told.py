from __future__ import annotations

import random

import pytest

from detectors.loop.tokens import codes_of, pairs_of
from detectors.loop.told import Told

PROMPT = "Ann is the mother of Bob. Bob is the father of Cid."


def held(told: Told, text: str) -> list[bool]:
    return told.holds(pairs_of(codes_of(text)))[1:]


def test_pairs_of_the_prompt_are_told() -> None:
    assert held(Told(PROMPT), "bob is the FATHER of") == [True] * 4


def test_other_pairs_are_not() -> None:
    assert held(Told(PROMPT), "of Ann the Cid is mother") == [False] * 5


def test_no_prompt_tells_nothing() -> None:
    assert held(Told(), "Ann is the mother") == [False] * 3


def test_words_are_known() -> None:
    assert set(codes_of("ann mother")) <= Told(PROMPT).words


def test_few_pairs_pass_that_are_not_told() -> None:
    rng = random.Random(1)
    told = Told(" ".join(f"{rng.randrange(10**9)}" for _ in range(5_000)))
    pairs = [rng.getrandbits(32) for _ in range(20_000)]
    assert sum(told.holds(pairs)) < 0.02 * len(pairs)


def test_a_huge_prompt_takes_bounded_memory() -> None:
    told = Told(" ".join(str(number) for number in range(100_000)))
    assert sum(told.holds(pairs_of(codes_of("5 6 7 8"), 0))[1:]) == 3


@pytest.mark.parametrize(
    ("prompt", "most"),
    [
        ("", 0),
        ("Say hello 100 times.", 100),
        ("Write it fifty times, in 2 columns.", 50),
        ("In 2021 it was 3.75 metres and 12,500 tons.", 0),
        ("from 1 to 20, then 7", 20),
    ],
)
def test_the_greatest_number_that_may_be_asked_for(prompt: str, most: int) -> None:
    assert Told(prompt).most == most
