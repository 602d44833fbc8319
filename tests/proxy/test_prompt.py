from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.schema import PromptSettings
from guard.proxy.prompt import KNOBS, MEDIA, STRUCTURE, check_media, reviewed_texts, with_texts
from guard.wire.errors import RequestError

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks.",
        "parameters": {"type": "object", "properties": {"at": {"type": "string", "description": "Where."}}},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}

TABLE: list[tuple[dict[str, Any], list[str]]] = [
    ({"messages": [{"role": "user", "content": "a"}]}, ["a"]),
    ({"messages": [{"role": "user", "name": "ann", "content": "a"}]}, ["ann", "a"]),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}]}, ["a"]),
    ({"messages": [{"role": "user", "content": [{**IMAGE, "text": "beside"}]}]}, ["beside"]),
    ({"messages": [{"role": "user", "content": [{"type": "poem", "lines": ["a", "b"]}]}]}, ["a", "b"]),
    ({"messages": [{"role": "user", "content": [{"type": ["x"], "text": "a"}]}]}, ["x", "a"]),
    ({"messages": [{"role": "pirate", "content": "a"}]}, ["pirate", "a"]),
    ({"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]}, ["look", '{"at": "sky"}']),
    ({"messages": [{"role": "assistant", "content": "a", "reasoning_content": "b", "refusal": "c"}]}, ["a", "b", "c"]),
    ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "blue"}]}, ["blue"]),
    ({"tools": [TOOL], "messages": [{"role": "user", "content": "a"}]}, ["a", "look", "Looks.", "Where."]),
    ({"prompt": "a", "suffix": "b"}, ["a", "b"]),
    ({"prompt": ["a"], "model": "m", "stop": ["x"], "user": "u"}, ["a"]),
    ({"prompt": [1, 2]}, []),
    ({"input": ["a", "b"], "encoding_format": "float"}, ["a", "b"]),
    ({"documents": [{"title": "a", "text": "b"}], "prompt": "c"}, ["c", "a", "b"]),
    ({"prompt": "", "suffix": ""}, []),
    ({"type": {"hidden": "a"}, "prompt": "b"}, ["b", "a"]),
    ({"type": "two words", "id": "no. 1", "prompt": "b"}, ["b", "two words", "no. 1"]),
    ({"messages": [{"role": ["a"], "content": "b"}]}, ["a", "b"]),
    # what looks like media is text where templates write it into the prompt as it is
    ({"tools": [{"type": "image", "image": "a"}]}, ["a"]),
    ({"tools": [{"type": "function", "function": {"parameters": {"type": "video", "video": "a"}}}]}, ["a"]),
    ({"messages": [{"role": "user", "type": "file", "file": "a", "content": "b"}]}, ["a", "b"]),
    ({"messages": [{"role": "tool", "content": [{"type": "x", "y": {"type": "file", "file": "a"}}]}]}, ["a"]),
    # some templates write a knob into the prompt; its values are single words
    ({"prompt": "a", "reasoning_effort": "high", "verbosity": "low"}, ["a"]),
    ({"prompt": "a", "reasoning_effort": "high, and also"}, ["a", "high, and also"]),
    ({"prompt": "a", "tool_choice": {"type": "function", "function": {"name": "look"}}}, ["a"]),
    ({"prompt": "a", "tool_choice": {"name": "look away"}}, ["a", "look away"]),
    # so are the names of properties
    ({"tools": [{"properties": {"ada@example.org": {}, "at": {}}}]}, ["ada@example.org"]),
    ({"a field": "b", "prompt": "c"}, ["c", "b", "a field"]),
]


@pytest.mark.parametrize(("body", "texts"), TABLE)
def test_what_a_model_may_read_is_reviewed(body: dict[str, Any], texts: list[str]) -> None:
    assert reviewed_texts(body) == texts


@pytest.mark.parametrize(("body", "texts"), TABLE)
def test_what_was_reviewed_is_put_back_in_its_place(body: dict[str, Any], texts: list[str]) -> None:
    before = json.dumps(body)
    assert with_texts(body, texts) is body
    masked = with_texts(body, [f"<{text}>" for text in texts])
    assert reviewed_texts(masked) == [f"<{text}>" for text in texts]
    assert json.dumps(body) == before


def test_ten_thousand_parts_are_put_back_at_once() -> None:
    """Each part in a copy of its own list would be ten thousand lists of ten thousand."""
    made = 0

    class Counted(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal made
            made += 1
            return super().__iter__()

    parts = Counted({"type": "text", "text": f"part {number}"} for number in range(10_000))
    body = {"messages": [{"role": "user", "content": parts}]}
    texts = reviewed_texts(body)
    assert reviewed_texts(with_texts(body, [text.upper() for text in texts])) == [text.upper() for text in texts]
    assert made < 10


@pytest.mark.parametrize("count", [0, 2])
def test_as_many_texts_are_put_back_as_were_found(count: int) -> None:
    with pytest.raises(ValueError, match="texts"):
        with_texts({"prompt": "a"}, ["b"] * count)


keys = st.sampled_from(
    sorted({"messages", "content", "role", "text", "name", "x", *KNOBS, *STRUCTURE, *MEDIA, "file_id"})
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.integers(), st.sampled_from(["CANARY", "user", "text", *MEDIA]), st.lists(st.integers())),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=5))
def test_any_body_comes_back_with_all_its_texts_replaced(body: dict[str, Any]) -> None:
    texts = reviewed_texts(body)
    masked = with_texts(body, ["-"] * len(texts))
    assert json.dumps(masked).count("CANARY") == json.dumps(body).count("CANARY") - texts.count("CANARY")


@given(st.text("xyz", min_size=1), st.lists(st.sampled_from(["x", "messages", "deep", 0]), min_size=1, max_size=8))
def test_no_field_nobody_has_heard_of_is_a_way_past_the_review(name: str, path: list[str | int]) -> None:
    value: Any = "CANARY"
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}
    assert reviewed_texts({name: value}) == ["CANARY"]


@pytest.mark.parametrize("type", sorted(MEDIA))
def test_what_cannot_be_reviewed_goes_on_or_is_refused_as_the_policy_says(type: str) -> None:
    kind, held = MEDIA[type]
    body = {"messages": [{"role": "user", "content": [{"type": type, **dict.fromkeys(held, "data")}]}]}
    check_media(body, PromptSettings())
    assert reviewed_texts(body) == []
    with pytest.raises(RequestError) as caught:
        check_media(body, PromptSettings.model_validate({kind: "refuse"}))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "not_reviewable", "messages")
    assert f"`messages[0].content[0]` is of type `{type}`" in caught.value.message


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"image_url": {"url": "data:image/png;base64,AA=="}}, "image"),
        ({"type": None, "image_url": "data:image/png;base64,AA=="}, "image"),
        ({"type": "text", "text": "a", "video_url": {"url": "x"}}, "video"),
        ({"type": "image_embeds", "image_embeds": "AA=="}, "image"),
        ({"type": "image_pil", "image_pil": "AA=="}, "image"),
        ({"type": "audio_embeds", "audio_embeds": "AA=="}, "audio"),
        ({"input_audio": {"data": "AA=="}}, "audio"),
        ({"type": "odd", "file_data": "AA=="}, "file"),
    ],
)
def test_a_part_is_known_by_what_it_holds_as_well(part: dict[str, Any], kind: str) -> None:
    """vLLM takes a part without a type for what its keys say."""
    body = {"messages": [{"role": "user", "content": [part]}]}
    check_media(body, PromptSettings())
    with pytest.raises(RequestError, match="cannot be reviewed"):
        check_media(body, PromptSettings.model_validate({kind: "refuse"}))


def test_media_are_looked_for_in_messages_of_parts_only() -> None:
    refuse = PromptSettings(image="refuse")
    odd: list[Any] = [
        1,
        None,
        True,
        "image_url",
        ["image_url"],
        {"content": ["image_url", None, 1, []]},
        {"content": 5},
    ]
    bodies: list[dict[str, Any]] = [
        {},
        {"messages": [{"role": "user", "content": "image_url"}]},
        {"prompt": "x"},
        {"prompt": "x", "messages": odd},  # nobody reads the messages of a text completion
        *({"prompt": "x", "messages": each} for each in odd),
    ]
    for body in bodies:
        check_media(body, refuse)
