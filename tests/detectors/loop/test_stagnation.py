from __future__ import annotations

import random

import pytest

from detectors.loop.stagnation import Stagnation
from tests.support.loop_steps import read, words_for

SENTENCES = [
    f"{who} {does} the {what} once more. "
    for who in ("Ann", "Bob", "Cid")
    for does in ("moves", "checks", "counts")
    for what in ("red block", "long list", "other side")
]


def levels(text: str, prompt: str = "", *, protected: bool = False, patience: float = 1) -> list[float]:
    words = words_for(prompt)
    stagnation = Stagnation(words, patience)
    found = []
    for step in read(words, text, protected=protected):
        stagnation.take(step)
        found.append(stagnation.level())
    return found


def shuffled(copies: int) -> str:
    """The same sentences, each time in another order."""
    rng = random.Random(1)
    return "".join("".join(rng.sample(SENTENCES, len(SENTENCES))) for _ in range(copies))


def unlike(words: int) -> str:
    rng = random.Random(3)
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(words))


def test_the_same_sentences_in_any_order_stagnate() -> None:
    reached = levels(shuffled(12))
    assert reached[-1] >= 0.9
    assert reached == sorted(reached)


def test_new_words_do_not() -> None:
    assert max(levels(unlike(3_000))) == 0


def test_nothing_is_said_of_a_short_text() -> None:
    assert max(levels(shuffled(12)[:1_500])) == 0


def test_told_twice_warns_at_most() -> None:
    passage = unlike(600)
    assert 0.4 <= max(levels(passage + " " + passage)) <= 0.5


def test_new_words_end_it() -> None:
    assert levels(shuffled(12) + unlike(600))[-1] == 0


@pytest.mark.parametrize("how", [{"prompt": shuffled(2)}, {"protected": True}])
def test_the_prompt_and_code_are_neutral(how: dict[str, str]) -> None:
    assert max(levels(shuffled(12), **how)) < 0.5  # type: ignore[arg-type]


def test_patience() -> None:
    assert levels(shuffled(12), patience=8)[-1] < 0.9


def test_since_when() -> None:
    words = words_for()
    stagnation = Stagnation(words, 1)
    before = unlike(400)
    for step in read(words, before + " " + shuffled(12)):
        stagnation.take(step)
    assert len(before) - 64 <= stagnation.since <= len(before) + 2 * len("".join(SENTENCES))


def test_a_restart_forgets_the_suspicion() -> None:
    words = words_for()
    stagnation = Stagnation(words, 1)
    for step in read(words, shuffled(12)):
        stagnation.take(step)
    stagnation.restart()
    assert stagnation.level() == 0
