from __future__ import annotations

from detectors.loop.prompt import Prompt
from detectors.loop.tokens import codes_of, pairs_of


def test_a_prompt_is_read_for_all_statistics() -> None:
    prompt = Prompt("Question: What is it?\nAnswer:")
    assert prompt.text == "Question: What is it?\nAnswer:"
    assert prompt.headers is not None
    assert all(prompt.told.holds(pairs_of(codes_of("what is it"))[1:]))


def test_no_prompt() -> None:
    prompt = Prompt("")
    assert prompt.headers is None
    assert prompt.told.words == frozenset()
