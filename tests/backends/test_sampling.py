from __future__ import annotations

from typing import Any

import pytest

from guard.backends.base import Continuation, ModelRequest, UpstreamError
from guard.backends.sampling import Sampling, asked, continued, read_messages, read_prompt, read_sampling
from guard.contract import Channel


def read(defaults: dict[str, Any] | None = None, **body: Any) -> Sampling:
    return read_sampling(ModelRequest("chat", body), defaults or {})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, Sampling()),
        ({"temperature": 0, "top_p": 0.5, "top_k": 40, "min_p": 0.1}, Sampling(0, 0.5, 40, 0.1)),
        ({"temperature": None, "stop": None, "n": None, "tools": None}, Sampling()),
        ({"max_tokens": 7, "max_completion_tokens": 9}, Sampling(max_tokens=9)),
        ({"stop": "END", "n": 2, "seed": 5}, Sampling(stop=("END",), choices=2, seed=5)),
        ({"tools": [], "logprobs": False, "response_format": {"type": "text"}, "user": "someone"}, Sampling()),
    ],
)
def test_a_request_is_read(body: dict[str, Any], expected: Sampling) -> None:
    assert read(**body) == expected


def test_the_models_recommendation_stands_for_what_is_left_open() -> None:
    assert read({"temperature": 0.6, "top_p": 0.95}, top_p=0.5) == Sampling(temperature=0.6, top_p=0.5)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"tools": [{"type": "function"}]}, "`tools`"),
        ({"logprobs": True}, "`logprobs`"),
        ({"logprobs": 0}, "`logprobs`"),
        ({"response_format": {"type": "json_object"}}, "`response_format`"),
        ({"n": 5}, "`n` is 5; the in-process model takes 1 to 4"),
        ({"n": True}, "`n` must be a whole number, not bool"),
        ({"temperature": "hot"}, "`temperature` must be a number, not str"),
        ({"temperature": float("nan")}, "`temperature` is nan"),
        ({"max_tokens": 0}, "`max_tokens` is 0"),
        ({"top_k": 1.5}, "`top_k` must be a whole number"),
        ({"stop": ""}, "`stop` must be"),
        ({"stop": [1]}, "`stop` must be"),
        ({"stop": ["x"] * 17}, "`stop` has 17 strings"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(body: dict[str, Any], says: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        read(**body)
    assert says in caught.value.message
    assert (caught.value.status, caught.value.retry) == (400, False)


def test_messages_become_role_and_text() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"},
        {"role": "assistant", "content": None},
    ]
    assert read_messages({"messages": messages}) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (None, "`messages` must be a list"),
        ([], "`messages` must be a list"),
        (["hello"], "`messages[0]` must be an object"),
        ([{"content": "x"}], "`messages[0]` must be an object with a `role`"),
        ([{"role": "user", "content": 5}], "`messages[0].content`"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "text parts only"),
        ([{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}], "`messages[1]`"),
        ([{"role": "assistant", "tool_calls": [{}]}], "tool calls"),
    ],
)
def test_messages_that_a_text_model_cannot_take_are_refused(messages: Any, says: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        read_messages({"messages": messages})
    assert says in caught.value.message


def test_a_prompt_is_one_string() -> None:
    assert read_prompt({"prompt": "Once"}) == read_prompt({"prompt": ["Once"]}) == "Once"


@pytest.mark.parametrize("prompt", [None, 5, [], ["a", "b"], [[1, 2]]])
def test_other_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(UpstreamError, match="`prompt` must be one string"):
        read_prompt({"prompt": prompt})


def test_a_continuation_changes_the_sampling_and_leaves_what_is_left() -> None:
    body = {"prompt": "Hi", "n": 2, "max_completion_tokens": 90, "temperature": 0, "top_k": 5}
    kept = Continuation("resample", Channel.CONTENT, sampling={"temperature": 0.9}, max_tokens=40)
    changed = continued(ModelRequest("completions", body, continuation=kept))
    assert changed.body == {"prompt": "Hi", "max_tokens": 40, "temperature": 0.9, "top_k": 5}
    assert continued(ModelRequest("completions", body)).body is body


def test_what_was_asked_is_all_the_text_of_a_request() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": parts}]
    assert asked(ModelRequest("chat", {"messages": messages})) == "a\nbc"
    assert asked(ModelRequest("completions", {"prompt": ["d"]})) == "d"
