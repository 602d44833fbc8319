from __future__ import annotations

import pytest

from detectors.loop.sentences import Sentences
from tests.support.loop_steps import read, words_for

REFRAIN = "The sum of the two numbers must be even. "


def reached(text: str, *, protected: bool = False) -> float:
    words = words_for()
    sentences = Sentences()
    highest = 0.0
    for step in read(words, text + "Now on. " * 20, protected=protected):
        sentences.take(step)
        highest = max(highest, sentences.level())
    return highest


def among(times: int, sentence: str = REFRAIN) -> str:
    return "".join(sentence + f"Number {number} is another matter altogether. " for number in range(times))


@pytest.mark.parametrize(("times", "level"), [(6, 0.43), (7, 0.5), (30, 0.5)])
def test_seven_times_warn_and_no_more_than_that(times: int, level: float) -> None:
    assert reached(among(times)) == pytest.approx(level, abs=0.01)


def test_short_sentences_take_ten() -> None:
    assert reached(among(9, "This is not right. ")) < 0.5
    assert reached(among(10, "This is not right. ")) == 0.5


def test_very_short_ones_do_not_count() -> None:
    assert reached("Yes it is. " * 30) == 0


def test_they_have_to_be_near() -> None:
    apart = "".join(f"Number {number} has nothing to do with it. " for number in range(20))
    assert reached((REFRAIN + apart) * 12) < 0.5


def test_code_does_not_count() -> None:
    assert reached(among(20), protected=True) == 0


def test_a_restart_forgets_the_suspicion() -> None:
    words = words_for()
    sentences = Sentences()
    for step in read(words, among(20)):
        sentences.take(step)
    sentences.restart()
    assert sentences.level() == 0
