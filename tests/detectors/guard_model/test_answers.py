from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.guard_model.answers import Answer, Token, Unreadable, read_answer, word_probabilities
from tests.support.guard_models import chat

near: Any = pytest.approx

LEVELS = ("safe", "controversial", "unsafe")
QWEN = [
    Token("Safety", {"Safety": 1.0}),
    Token(":", {":": 1.0}),
    Token(" Un", {" Un": 0.6, " Safe": 0.25, " Cont": 0.1, " I": 0.05}),
    Token("safe", {"safe": 1.0}),
]


def test_a_completion_is_its_text_and_its_tokens() -> None:
    answer = read_answer(chat("safe", ("safe", {"safe": 0.75, "unsafe": 0.25})))
    assert answer.text == "safe"
    ((token, chances),) = answer.tokens
    assert token == "safe"
    assert chances == {"safe": near(0.75), "unsafe": near(0.25)}


def test_without_log_probabilities_there_are_no_tokens() -> None:
    assert read_answer(chat("safe")) == Answer("safe", ())


def test_the_token_itself_counts_where_it_is_not_among_the_top() -> None:
    data = chat("safe", ("safe", {"safe": 0.5}))
    data["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = []
    assert read_answer(data).tokens[0].probabilities == {"safe": near(0.5)}


@pytest.mark.parametrize("broken", [[{}], [{"token": "a", "logprob": "high"}], 7, {"a": 1}, [None]])
def test_log_probabilities_that_cannot_be_read_are_none(broken: Any) -> None:
    data = chat("safe")
    data["choices"][0]["logprobs"] = {"content": broken}
    assert read_answer(data) == Answer("safe", ())


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "safe",
        {},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {"content": None}}]},
        {"choices": [{"message": {"content": "  \n"}}]},
        {"choices": [{"message": {"content": ["safe"]}}]},
        {"error": {"message": "no"}},
    ],
)
def test_what_is_no_completion_is_unreadable(data: Any) -> None:
    with pytest.raises(Unreadable):
        read_answer(data)


def test_words_are_told_by_their_first_token() -> None:
    likely = word_probabilities(Answer("", QWEN), LEVELS, after="Safety:")
    assert likely == {
        "unsafe": near(0.6 / 0.95),
        "safe": near(0.25 / 0.95),
        "controversial": near(0.1 / 0.95),
    }


def test_white_space_before_the_word_is_no_word() -> None:
    tokens = [Token("\n\n", {"\n\n": 1.0}), Token("unsafe", {"unsafe": 0.9, "safe": 0.1})]
    likely = word_probabilities(Answer("", tokens), ("safe", "unsafe"))
    assert likely == {"safe": near(0.1), "unsafe": near(0.9)}


@pytest.mark.parametrize(
    ("tokens", "after"),
    [
        ([], ""),
        ([Token("\n", {"\n": 1.0})], ""),
        (QWEN, ""),  # the answer does not begin with a level
        (QWEN, "Verdict:"),
        ([Token("maybe", {"maybe": 1.0})], ""),
        ([Token("un", {"": 1.0})], ""),
    ],
)
def test_no_word_there_is_nothing_to_tell(tokens: list[Token], after: str) -> None:
    assert word_probabilities(Answer("", tokens), LEVELS, after=after) is None


@given(
    st.dictionaries(
        st.sampled_from(["yes", " yes", "Yes", "no", " No", "n", "ye", "maybe", ""]),
        st.floats(0, 1, allow_subnormal=False),
        min_size=1,
    )
)
def test_they_are_probabilities(top: dict[str, float]) -> None:
    likely = word_probabilities(Answer("", [Token("x", top)]), ("yes", "no"))
    if likely is not None:
        assert math.isclose(sum(likely.values()), 1.0)
        assert all(0 <= chance <= 1 for chance in likely.values())
