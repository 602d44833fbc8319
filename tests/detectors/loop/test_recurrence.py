from __future__ import annotations

import random

from detectors.loop.recurrence import Recurrence
from tests.support.loop_steps import read, words_for

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
PHRASES = [" ".join(random.Random(number).choices(WORDS, k=30)) + ". " for number in range(12)]


def levels(text: str, prompt: str = "", *, protected: bool = False, patience: float = 1) -> list[float]:
    words = words_for(prompt)
    recurrence = Recurrence(words, patience)
    found = []
    for step in read(words, text, protected=protected):
        recurrence.take(step)
        found.append(recurrence.level())
    return found


def again(copies: int) -> str:
    rng = random.Random(2)
    return "".join("".join(rng.sample(PHRASES, len(PHRASES))) for _ in range(copies))


def test_phrases_count_from_the_fourth_time_on() -> None:
    assert max(levels(again(3))) == 0
    assert max(levels(again(4))) >= 0.5


def test_on_and_on_is_a_loop() -> None:
    assert levels(again(12))[-1] >= 0.9


def test_the_prompt_is_neutral() -> None:
    assert max(levels(again(12), prompt=again(1))) == 0


def test_code_takes_more() -> None:
    assert max(levels(again(6), protected=True)) < max(levels(again(6)))


def test_patience() -> None:
    assert max(levels(again(12), patience=10)) < 0.9


def test_other_text_ends_it() -> None:
    other = " ".join(str(number) for number in range(4_000))
    assert levels(again(12) + other)[-1] == 0


def test_copies_that_overlap_count_once() -> None:
    # A phrase of twelve words comes again with every line of seven, and counts every other time.
    lines = [" ".join(random.Random(number).choices(WORDS, k=7)) + " " for number in range(20)]
    assert max(levels("".join(line * 6 for line in lines))) == 0
    assert max(levels("".join(line * 30 for line in lines))) > 0


def test_a_restart_forgets_the_suspicion() -> None:
    words = words_for()
    recurrence = Recurrence(words, 1)
    for step in read(words, again(12)):
        recurrence.take(step)
    recurrence.restart()
    assert recurrence.level() == 0
