from __future__ import annotations

import pytest

from detectors.loop.circling import Circling
from detectors.loop.told import Told
from tests.support.loop_steps import read, words_for

THINGS = ("a river", "a bridge", "a check", "a bank account", "money", "a note")
STARTS = ("Alternatively, maybe the answer is", "Wait, perhaps it is", "Hmm, it could be", "Actually, they mean")
CIRCLES = "".join(f"{start} {thing}. " for start in STARTS for thing in THINGS)
"""24 turns."""


def levels(text: str, prompt: str = "", patience: float = 1) -> list[float]:
    words = words_for(prompt)
    circling = Circling(Told(prompt), patience)
    found = []
    for step in read(words, text):
        circling.take(step)
        found.append(circling.level())
    return found


def test_turning_without_anything_new_is_circling() -> None:
    reached = levels(CIRCLES * 3)
    assert reached[-1] >= 0.9
    assert max(levels(CIRCLES)) < 0.5


def test_turning_to_something_new_is_not() -> None:
    assert max(levels("".join(f"Wait, what about {number}? " for number in range(2_000, 2_400)))) < 0.1


def test_what_the_prompt_names_is_not_new() -> None:
    numbers = " ".join(str(number) for number in range(2_000, 2_100))
    text = "".join(f"Wait, what about {number}? " for number in range(2_000, 2_100))
    assert max(levels(text, prompt=numbers)) >= 0.9


def test_going_on_without_turns_is_not_circling() -> None:
    assert max(levels("The answer is a river, and maybe it is a bridge. " * 200)) == 0


def test_only_sentences_that_begin_so_are_turns() -> None:
    assert max(levels("You should wait, or alternatively hold it. " * 200)) < 0.1


def test_ordinary_sentences_in_between_end_it() -> None:
    assert levels(CIRCLES * 3 + "The answer is a river, and maybe it is a bridge. " * 800)[-1] == 0


@pytest.mark.parametrize(("patience", "stops"), [(0.5, True), (1, True), (4, False)])
def test_patience(patience: float, stops: bool) -> None:
    assert (levels(CIRCLES * 3, patience=patience)[-1] >= 0.9) is stops


def test_since_when_and_restart() -> None:
    before = " ".join(str(number) for number in range(1_000)) + ". "
    words = words_for()
    circling = Circling(Told(), 1)
    for step in read(words, before + CIRCLES * 3):
        circling.take(step)
    assert len(before) <= circling.since <= len(before + CIRCLES)
    circling.restart()
    assert circling.level() == 0
