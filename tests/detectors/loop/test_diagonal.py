from __future__ import annotations

import random

import pytest

from detectors.loop.diagonal import Diagonal, Repeat
from tests.support.loop_steps import read, words_for

VOCABULARY = [
    f"{one}{two}{three}" for one in "bcdfgklmnprstv" for two in "aeiou" for three in ("ler", "nt", "sh", "rm")
]


def passage(words: int, seed: int = 1) -> list[str]:
    return random.Random(seed).choices(VOCABULARY, k=words)


def edited(words: list[str], share: float, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(words) if rng.random() < share else word for word in words]


def copies(number: int, words: int, share: float) -> str:
    original = passage(words)
    return " ".join(word for seed in range(number) for word in edited(original, share, seed)) + " "


def repeats(text: str, prompt: str = "", *, protected: bool = False) -> list[Repeat]:
    words = words_for(prompt)
    diagonal = Diagonal(words, 1)
    return [found for step in read(words, text, protected=protected) if (found := diagonal.take(step))]


def most(text: str, label: str, **how: object) -> float:
    return max((found.level for found in repeats(text, **how) if found.label == label), default=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "share"), [(40, 0), (40, 0.05), (100, 0.05), (100, 0.1), (400, 0.05)])
def test_copies_with_changes_are_near(words: int, share: float) -> None:
    assert most(copies(12, words, share), "near") >= 0.9


def test_three_copies_are_not_enough() -> None:
    assert most(copies(3, 100, 0.05), "near") < 0.9


def test_prose_has_none() -> None:
    assert repeats(" ".join(passage(5_000))) == []


def test_period_and_copies_and_where_the_first_repeated_copy_starts() -> None:
    before = " ".join(passage(300, seed=9)) + " "
    text = before + copies(12, 100, 0.03)
    found = repeats(text)[-1]
    period = len(copies(1, 100, 0))
    assert found.period == pytest.approx(period, rel=0.1)
    assert 9 <= found.copies <= 12.5
    assert abs(found.since - len(before) - period) < 150


NUMBERED = "".join(
    f"Step {number}: I should check case {number} again because it might fail.\n" for number in range(600)
)
LISTED = "".join(f"- The {name} is an animal found in many parts of the world.\n" for name in passage(200))


@pytest.mark.parametrize("text", [NUMBERED, LISTED])
def test_counts_and_lists_are_counters(text: str) -> None:
    assert most(text, "near") == 0
    assert most(text[:1_000], "counter") < 0.5
    assert most(text[:3_000], "counter") == 0.5
    assert most(text, "counter") >= 0.9


def test_a_count_may_go_on_as_far_as_the_prompt_says() -> None:
    words = words_for()
    diagonal = Diagonal(words, 1, asked=600)
    assert max(found.level for step in read(words, NUMBERED) if (found := diagonal.take(step))) == pytest.approx(
        0.72, abs=0.03
    )
    assert diagonal.listing


def test_a_list_is_known_as_one_while_it_goes_on() -> None:
    words = words_for()
    diagonal = Diagonal(words, 1)
    listing = []
    for step in read(words, NUMBERED[:3_000] + " ".join(passage(300))):
        diagonal.take(step)
        listing.append(diagonal.listing)
    assert listing[40]
    assert not listing[-1]


def test_a_chain_of_names_is_a_list_even_if_the_names_are_known() -> None:
    names = passage(60)
    text = " ".join(names) + ". " + "".join(f"who is a descendant of {name}, " for name in names)
    assert most(text, "near") == 0


def test_single_letters_say_nothing() -> None:
    rows = "".join(f'["b","b","x","{"x" * (number % 3 + 1)}","l","n","a","z","f","z"],' for number in range(60))
    assert most(rows, "near") == 0


def test_the_prompt_is_neutral() -> None:
    assert repeats(copies(12, 40, 0), prompt=copies(2, 40, 0)) == []


def test_code_takes_more() -> None:
    text = copies(6, 100, 0.05)
    assert most(text, "near", protected=True) < most(text, "near")


def test_scripts_that_do_not_part_words() -> None:
    passage_ = "我们需要重新考虑这个问题因为条件不满足所以结论可能是错的让我再看一遍题目的要求然后计算总和"
    text = "".join(passage_.replace(passage_[number % 40], "新", 1) for number in range(40))
    assert most(text, "near") >= 0.9


def test_a_restart_forgets_the_candidates() -> None:
    words = words_for()
    diagonal = Diagonal(words, 1)
    steps = read(words, copies(12, 100, 0.03))
    for _ in range(60):
        diagonal.take(next(steps))
    diagonal.restart()
    assert diagonal.take(next(steps)) is None
