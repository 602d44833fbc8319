from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from guard.policy.schema import PromptSettings
from guard.proxy.requests import (
    FORBIDDEN,
    MAX_DEPTH,
    STRIPPED,
    ClientRequest,
    check_embedded,
    parse_embeddings,
    parse_request,
)
from guard.wire.errors import RequestError

USER = [{"role": "user", "content": "Hi"}]
Route = Literal["chat", "completions"]


def parse(body: object, route: Route = "chat", **options: Any) -> ClientRequest:
    return parse_request(route, body if isinstance(body, bytes) else json.dumps(body).encode(), **options)


def chat(**fields: object) -> dict[str, object]:
    return {"messages": USER, **fields}


def nested(levels: int) -> bytes:
    return b'{"messages":[{"role":"user","content":"Hi"}],"x":' + b"[" * levels + b"]" * levels + b"}"


BAD_JSON: list[tuple[bytes, str]] = [
    (b"", "has no body"),
    (b" \r\n\t", "has no body"),
    (b"{", "not valid JSON"),
    (b"hello", "not valid JSON"),
    (b"\xff\xfe{}", "not valid JSON"),
    (b'{"messages":[{"role":"user","content":"\xff"}]}', "not valid JSON"),
    (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "not valid JSON"),
    (b'{"temperature": NaN}', "not valid JSON"),
    (b"{} {}", "not valid JSON"),
    (b"[]", "a JSON array"),
    (b'"text"', "a JSON string"),
    (b"3", "a JSON number"),
    (b"1.5", "a JSON number"),
    (b"true", "a JSON boolean"),
    (b"null", "a JSON null"),
    (nested(MAX_DEPTH), f"more than {MAX_DEPTH} levels"),
    (nested(100_000), "nested too deeply"),
]


@pytest.mark.parametrize(("body", "says"), BAD_JSON)
def test_what_is_no_json_object_is_refused_in_a_sentence(body: bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body)
    assert says in caught.value.message
    assert caught.value.message.endswith(".")
    assert caught.value.status == 400
    with pytest.raises(RequestError, match=says):
        parse_embeddings(body)


BAD_CHATS: list[tuple[dict[str, object], str]] = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
    ({"messages": [*USER, {"role": 1}]}, "messages[1].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
    (chat(model=3), "model"),
    (chat(stream="yes"), "stream"),
    (chat(stream=1), "stream"),
    (chat(stream_options=True), "stream_options"),
    (chat(stream_options={"include_usage": "yes"}), "stream_options.include_usage"),
    (chat(n="2"), "n"),
    (chat(n=True), "n"),
    (chat(n=0), "n"),
    (chat(n=-1), "n"),
    (chat(n=5), "n"),
    (chat(n=10**9), "n"),
    (chat(n=10**40), "n"),
    (chat(max_tokens=0), "max_tokens"),
    (chat(max_tokens=-5), "max_tokens"),
    (chat(max_tokens="many"), "max_tokens"),
    (chat(max_completion_tokens=0), "max_completion_tokens"),
    (chat(temperature="hot"), "temperature"),
    (chat(top_p=[]), "top_p"),
    (chat(stop=5), "stop"),
    (chat(stop=[5]), "stop[0]"),
    (chat(seed=1.5), "seed"),
    (chat(logprobs="all"), "logprobs"),
    (chat(tools={}), "tools"),
    (chat(tools=["f"]), "tools[0]"),
    (chat(response_format="json"), "response_format"),
    *((chat(**{name: "http://elsewhere"}), name) for name in sorted(FORBIDDEN)),
]


@pytest.mark.parametrize(("body", "param"), BAD_CHATS, ids=lambda value: str(value)[-40:])
def test_a_wrong_field_is_named(body: dict[str, object], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body)
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message
    assert caught.value.message.endswith(".")
    assert caught.value.status == 400


BAD_PROMPTS: list[tuple[dict[str, object], str]] = [
    ({}, "`prompt` is missing"),
    ({"prompt": None}, "`prompt`"),
    ({"prompt": 5}, "`prompt`"),
    ({"prompt": {}}, "`prompt`"),
    ({"prompt": []}, "holds 0 prompts"),
    ({"prompt": [1, 2, 3]}, "token ids"),
    ({"prompt": [[1, 2, 3]]}, "token ids"),
    ({"prompt": ["a", [1]]}, "token ids"),
    ({"prompt": [{}]}, "`prompt`"),
    ({"prompt": ["a", None]}, "`prompt`"),
    ({"prompt": ["a", "b"]}, "holds 2 prompts"),
]


@pytest.mark.parametrize(("body", "says"), BAD_PROMPTS)
def test_a_prompt_must_be_one_text(body: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body, "completions")
    assert says in caught.value.message
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["Once", ["Once"]])
def test_a_text_prompt_is_one_part_and_keeps_its_form(prompt: object) -> None:
    request = parse({"prompt": prompt, "max_tokens": 3}, "completions")
    assert request.parts == ["Once"]
    assert request.body["prompt"] == prompt
    assert request.with_parts(["Twice"])["prompt"] == ("Twice" if isinstance(prompt, str) else ["Twice"])


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2, 3]]])
def test_a_policy_may_allow_prompts_of_token_ids(prompt: object) -> None:
    request = parse({"prompt": prompt}, "completions", settings=PromptSettings(token_ids="allow"))
    assert request.body["prompt"] == prompt
    assert (request.prompt, request.parts) == ("", [])
    with pytest.raises(RequestError, match="holds 2 prompts"):
        parse({"prompt": [[1], [2]]}, "completions", settings=PromptSettings(token_ids="allow"))


@pytest.mark.parametrize(("given", "refused"), [("x", False), (["x", "y"], False), ([1, 2], True), ([[1]], True)])
def test_what_cannot_be_reviewed_is_embedded_only_if_the_policy_allows_it(given: object, refused: bool) -> None:
    check_embedded({"input": given}, PromptSettings(token_ids="allow"))
    if refused:
        with pytest.raises(RequestError, match="`input` holds token ids"):
            check_embedded({"input": given}, PromptSettings())
    else:
        check_embedded({"input": given}, PromptSettings())


@pytest.mark.parametrize("name", sorted(STRIPPED - {"stream_options", "chat_template_kwargs"}))
def test_knobs_are_taken_out_and_counted(name: str) -> None:
    request = parse(chat(**{name: True, "top_k": 20}))
    assert name not in request.body
    assert request.stripped == {name: 1}
    assert request.body["top_k"] == 20


def test_the_switch_for_thinking_is_the_one_template_argument_that_is_kept() -> None:
    request = parse(chat(chat_template_kwargs={"enable_thinking": False, "chat_template": "x"}))
    assert request.body["chat_template_kwargs"] == {"enable_thinking": False}
    for arguments in ({"enable_thinking": "no"}, {}, "no", None):
        assert "chat_template_kwargs" not in parse(chat(chat_template_kwargs=arguments)).body


def test_stream_options_are_the_guards_own_business() -> None:
    request = parse(chat(stream=True, stream_options={"include_usage": True}))
    assert request.stream
    assert request.include_usage
    assert "stream_options" not in request.body
    assert not request.stripped


def test_an_operator_may_forward_knobs_but_not_stream_options() -> None:
    body = chat(store=True, chat_template_kwargs={"a": 1}, stream_options={"include_usage": True})
    request = parse(body, strip=False)
    assert request.body == {"messages": USER, "store": True, "chat_template_kwargs": {"a": 1}}
    assert not request.stripped


def test_content_parts_are_reviewed_one_by_one_in_order() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, image, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]
    request = parse({"messages": messages})
    assert request.parts == ["Be brief.", "Look:", "What?", "42"]
    assert request.prompt == "Be brief.\nLook:\nWhat?\n42"
    assert request.with_parts(request.parts) is request.body
    masked = request.with_parts(["1", "2", "3", "4"])["messages"]
    assert masked[0] == {"role": "system", "content": "1"}
    assert masked[1]["content"] == [{"type": "text", "text": "2"}, image, {"type": "text", "text": "3"}]
    assert masked[2] == messages[2]
    assert masked[3] == {"role": "tool", "content": "4", "tool_call_id": "c"}
    assert request.body["messages"] == messages


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (False, False, 1, None, False, "")),
        ({"stream": True, "n": 3}, (True, False, 3, None, False, "")),
        ({"stream": None, "n": None, "model": None, "max_tokens": None}, (False, False, 1, None, False, "")),
        ({"max_tokens": 7}, (False, False, 1, 7, False, "")),
        ({"max_tokens": 7, "max_completion_tokens": 5}, (False, False, 1, 5, False, "")),
        ({"response_format": {"type": "json_object"}, "model": "m"}, (False, False, 1, None, True, "m")),
        ({"response_format": {"type": "json_schema"}}, (False, False, 1, None, True, "")),
        ({"response_format": {"type": "text"}}, (False, False, 1, None, False, "")),
    ],
)
def test_what_the_guard_needs_is_read(fields: dict[str, object], expected: tuple[object, ...]) -> None:
    read = parse(chat(**fields))
    assert (
        read.stream,
        read.include_usage,
        read.choices,
        read.max_tokens,
        read.structured,
        read.model,
    ) == expected


def test_a_key_given_twice_goes_on_once() -> None:
    request = parse(b'{"messages":[{"role":"user","content":"safe","content":"evil"}]}')
    assert request.parts == ["evil"]
    assert request.body == {"messages": [{"role": "user", "content": "evil"}]}


@pytest.mark.parametrize("best_of", [0, 5, 10**9])
@pytest.mark.parametrize("route", ["chat", "completions"])
def test_candidates_are_counted_like_choices(route: Route, best_of: int) -> None:
    with pytest.raises(RequestError) as caught:
        parse({**chat(best_of=best_of), "prompt": "Once"}, route)
    assert caught.value.param == "best_of"
    assert "`best_of`" in caught.value.message
    assert parse({**chat(best_of=4), "prompt": "Once"}, route).body["best_of"] == 4


def test_as_many_choices_as_configured() -> None:
    assert parse(chat(n=9), max_choices=9).choices == 9
    with pytest.raises(RequestError, match="1 to 2 choices"):
        parse(chat(n=3), max_choices=2)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": "x", "model": 5}, "model"),
        ({"input": "x", "api_base": "http://elsewhere"}, "api_base"),
    ],
)
def test_a_wrong_field_of_an_embeddings_request_is_named(body: dict[str, object], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_embeddings(json.dumps(body).encode())
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message


@pytest.mark.parametrize("given", ["x", ["x", "y"], [1, 2], [[1], [2]]])
def test_an_embeddings_request_goes_on_as_it_is(given: object) -> None:
    body = {"model": "m", "input": given, "dimensions": 64}
    assert parse_embeddings(json.dumps(body).encode()) == (body, "m")


@pytest.mark.parametrize("name", ["input_embeds", "input_ids", "prompt_embeds", "prompt_token_ids"])
@pytest.mark.parametrize("body", [chat(), {"prompt": "Hi"}], ids=["chat", "completions"])
def test_a_prompt_beside_the_prompt_is_refused_as_token_ids_are(name: str, body: dict[str, object]) -> None:
    route: Route = "completions" if "prompt" in body else "chat"
    with pytest.raises(RequestError, match="cannot be reviewed") as caught:
        parse({**body, name: [[1, 2]]}, route)
    assert (caught.value.code, caught.value.param) == ("not_reviewable", name)
    allowed = parse({**body, name: [[1, 2]]}, route, settings=PromptSettings(token_ids="allow"))
    assert allowed.body[name] == [[1, 2]]
