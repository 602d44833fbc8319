from __future__ import annotations

from detectors._grid import GridTail
from detectors.loop.prompt import Prompt
from detectors.loop.verbatim import Suspicion, Verbatim
from guard.contract import STOP, WARN

SENTENCE = "Let me check the sum of the two numbers again. "


def suspicions(text: str, *, fence: int = -1, patience: float = 1, prompt: str = "") -> list[Suspicion]:
    verbatim = Verbatim(16_000, patience, Prompt(prompt))
    tail = GridTail(step=64, keep=verbatim.window)
    return [found for end in tail.grow(text) if (found := verbatim.look(tail.text, end, fence))]


def test_the_level_rises_to_the_verdict_and_each_severity_is_said_once() -> None:
    found = suspicions(SENTENCE * 20)
    assert [one.score for one in found if one.score] == [WARN, STOP]
    levels = [one.level for one in found]
    assert levels == sorted(levels)
    assert found[-1].score == STOP


def test_text_is_held_from_half_the_bar_on() -> None:
    found = suspicions(SENTENCE * 20)
    assert [one.holds for one in found] == [one.level >= WARN for one in found]
    assert not found[0].holds


def test_labels() -> None:
    assert suspicions(SENTENCE * 20)[-1].label == "exact"
    assert suspicions("Wait, " * 60)[-1].label == "run"
    assert suspicions("重复" * 100)[-1].label == "run"


def test_code_and_the_prompt_raise_the_bar() -> None:
    assert max(one.level for one in suspicions(SENTENCE * 10, fence=0)) < WARN
    assert max(one.level for one in suspicions(SENTENCE * 10, prompt=SENTENCE * 3)) < WARN


def test_patience() -> None:
    assert suspicions(SENTENCE * 20, patience=5)[-1].level < STOP


def test_what_is_forgotten_may_be_said_again() -> None:
    verbatim = Verbatim(16_000, 1, Prompt(""))
    tail = GridTail(step=64, keep=verbatim.window)
    for end in tail.grow(SENTENCE * 20):
        verbatim.look(tail.text, end, -1)
    verbatim.forget()
    scores = [found.score for end in tail.grow(SENTENCE * 4) if (found := verbatim.look(tail.text, end, -1))]
    assert scores == [STOP]
