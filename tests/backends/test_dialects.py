"""The table of upstreams."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.backends.dialects import DIALECTS, OPENAI, Dialect, Prefill
from guard.wire.choice import ABORTED, FINISH_REASONS

BOTH = frozenset({"conclude", "resample"})
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("name", "repairs", "chat_repairs"),
    [
        ("vllm", BOTH, BOTH),
        ("sglang", BOTH, BOTH),
        ("llamacpp", BOTH, NONE),
        ("ollama", BOTH, NONE),
        ("tgi", BOTH, NONE),
        ("transformers", BOTH, NONE),
        ("dashscope", NONE, NONE),
        ("openrouter", NONE, NONE),
        ("openai", NONE, NONE),
    ],
)
def test_what_each_can_repair(name: str, repairs: frozenset[str], chat_repairs: frozenset[str]) -> None:
    assert (DIALECTS[name].repairs, DIALECTS[name].chat_repairs) == (repairs, chat_repairs)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_every_word_for_an_end_is_understood(dialect: Dialect) -> None:
    idle = {"load", "unload"}  # Ollama's, of answers without text
    assert dialect.finishes - FINISH_REASONS.keys() - ABORTED <= idle


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_limits_are_never_among_the_knobs_that_are_copied(dialect: Dialect) -> None:
    limits = {"max_tokens", "max_completion_tokens", "num_predict", "max_new_tokens", "n", "stream", "logprobs"}
    assert not limits & {*dialect.knobs, *dialect.knobs.values()}
    assert dialect.repairs or not dialect.chat_repairs


def test_the_unknown_is_never_asked_to_go_on() -> None:
    assert not OPENAI.repairs
    assert not OPENAI.native
    assert {row.name for row in DIALECTS.values() if row.prefill is Prefill.REPLACES} == {"vllm"}


def test_the_page_has_a_row_for_each() -> None:
    page = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")
    for row in DIALECTS.values():
        assert f"| `{row.name}` |" in page
    for row in DIALECTS.values():
        assert all(f"`{name}`" in page for name in row.native)
