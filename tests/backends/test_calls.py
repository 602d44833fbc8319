"""Continuations against servers that keep the real ones' rules: a request that breaks one fails the test, and a prompt
that is wrong by a character makes the scripted model lose its thread."""

from __future__ import annotations

from typing import Any

import pytest

from guard.backends.base import Continuation, ModelRequest
from guard.backends.dialects import (
    DASHSCOPE,
    LLAMACPP,
    OLLAMA,
    OPENAI,
    OPENROUTER,
    SGLANG,
    TGI,
    TRANSFORMERS,
    VLLM,
    Dialect,
)
from guard.contract import Channel
from guard.events import ChoiceFinished
from guard.wire.errors import UpstreamError
from guard.wire.think import ThinkStart
from tests.support.dialect_backend import MESSAGES, TOOLS, asking, backend_on, finish, read, said, usage
from tests.support.llamacpp_server import LlamacppServer
from tests.support.ollama_server import OllamaServer
from tests.support.rule_server import ANSWER, MODEL, OPENED, THOUGHT, RuleServer, qwq_prompt
from tests.support.sglang_server import SglangServer
from tests.support.tgi_server import TgiServer
from tests.support.upstream import FakeUpstream, reply
from tests.support.vllm_server import VllmServer

pytestmark = pytest.mark.anyio

KEPT = "Canaries sing."
PHRASE = "I am going in circles; time to answer."
SERVERS: dict[str, tuple[Dialect, type[RuleServer]]] = {
    "vllm": (VLLM, VllmServer),
    "sglang": (SGLANG, SglangServer),
    "llamacpp": (LLAMACPP, LlamacppServer),
    "ollama": (OLLAMA, OllamaServer),
    "tgi": (TGI, TgiServer),
}
CHAT_SERVERS = ["vllm", "sglang"]


def conclude(**more: Any) -> Continuation:
    given: dict[str, Any] = {"reasoning": KEPT, "phrase": PHRASE, "max_tokens": 50}
    return Continuation("conclude", Channel.CONTENT, **{**given, **more})


def resample(channel: Channel, **more: Any) -> Continuation:
    return Continuation("resample", channel, **{"max_tokens": 50, **more})


async def go_on(name: str, continuation: Continuation | None, **fields: Any) -> tuple[Any, RuleServer]:
    dialect, server = SERVERS[name]
    async with server() as upstream, backend_on(upstream, dialect) as backend:
        events = await read(backend, asking(continuation, **fields))
    return events, upstream


@pytest.mark.parametrize("name", SERVERS)
async def test_the_thinking_is_closed_and_the_answer_comes_as_content(name: str) -> None:
    events, upstream = await go_on(name, conclude())
    assert said(events) == ("", ANSWER)
    assert upstream.prompts == [f"{qwq_prompt(MESSAGES)}{KEPT}\n\n{PHRASE}\n</think>\n\n"]
    ended = finish(events)
    assert ended is not None
    assert ended.reason == "stop"
    assert usage(events) == 3


@pytest.mark.parametrize("name", SERVERS)
async def test_the_thinking_goes_on_and_ends_by_itself(name: str) -> None:
    events, upstream = await go_on(name, resample(Channel.REASONING, reasoning=KEPT))
    thought, answer = said(events)
    assert thought.rstrip("\n") == THOUGHT.removeprefix(KEPT)
    assert answer.lstrip("\n") == ANSWER
    assert upstream.prompts == [qwq_prompt(MESSAGES) + KEPT]


@pytest.mark.parametrize("name", SERVERS)
async def test_the_answer_goes_on_from_exactly_what_the_client_has(name: str) -> None:
    events, upstream = await go_on(name, resample(Channel.CONTENT, reasoning=f"{THOUGHT}\n", content="\n\nYes, can"))
    assert said(events) == ("", "aries sing.")
    assert upstream.prompts == [f"{qwq_prompt(MESSAGES)}{THOUGHT}\n</think>\n\nYes, can"]


@pytest.mark.parametrize("name", ["vllm", "sglang", "llamacpp"])
async def test_where_nothing_is_kept_the_request_is_made_again(name: str) -> None:
    events, upstream = await go_on(name, resample(Channel.REASONING, sampling={"temperature": 0.9}), temperature=0.6)
    assert said(events)[0].strip() == THOUGHT
    body = upstream.request.json
    assert (body["temperature"], body["max_tokens"], body["messages"]) == (0.9, 50, MESSAGES)
    assert "continue_final_message" not in body


@pytest.mark.parametrize("name", SERVERS)
async def test_the_continuation_ends_at_its_budget(name: str) -> None:
    events, _ = await go_on(name, conclude(max_tokens=2))
    assert said(events)[1] == "Yes, canaries"
    assert finish(events) in (ChoiceFinished(0, "length"), ChoiceFinished(0, "length", "length"))


@pytest.mark.parametrize("name", SERVERS)
async def test_the_instruction_joins_those_of_the_system(name: str) -> None:
    _, upstream = await go_on(name, conclude(instruction="Answer in English."))
    assert "<|im_start|>system\nYou know birds.\n\nAnswer in English.<|im_end|>" in upstream.prompts[0]


@pytest.mark.parametrize("name", CHAT_SERVERS)
@pytest.mark.parametrize(
    "fields",
    [{"tools": TOOLS}, {"response_format": {"type": "json_object"}}],
    ids=["tools", "response_format"],
)
async def test_what_only_the_chat_api_understands_goes_on_there(name: str, fields: dict[str, Any]) -> None:
    events, upstream = await go_on(name, conclude(), **fields)
    assert said(events) == ("", ANSWER)
    assert upstream.request.path == "/v1/chat/completions"
    assert upstream.request.json.items() >= fields.items()
    events, _ = await go_on(name, resample(Channel.REASONING, reasoning=KEPT), **fields)
    assert said(events)[0].rstrip("\n") == THOUGHT.removeprefix(KEPT)


@pytest.mark.parametrize("name", ["llamacpp", "ollama", "tgi"])
async def test_or_not_at_all(name: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await go_on(name, conclude(), tools=TOOLS)
    assert (caught.value.code, caught.value.retry) == ("repair_unsupported", False)


@pytest.mark.parametrize("dialect", [OPENAI, OPENROUTER, DASHSCOPE], ids=lambda row: row.name)
async def test_hosted_services_are_never_asked(dialect: Dialect) -> None:
    async with FakeUpstream(reply("data: [DONE]\n\n")) as upstream, backend_on(upstream, dialect) as backend:
        assert not backend.capabilities.repairs
        with pytest.raises(UpstreamError, match="no way to"):
            await read(backend, asking(conclude()))
        assert upstream.received == []


# --- what survives of the client's request


async def test_vllm_keeps_the_sampling_in_a_raw_prompt() -> None:
    kept = {
        "seed": 7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "stop": ["\n\nQ:"],
        "logit_bias": {"5": 1.0},
        "presence_penalty": 0.5,
        "repetition_penalty": 1.1,
    }
    _, upstream = await go_on("vllm", conclude(sampling={"temperature": 0.9, "top_p": 0.8}), temperature=0.6, **kept)
    body = upstream.received[-1].json
    assert upstream.received[-1].path == "/v1/completions"
    assert body.items() >= {**kept, "temperature": 0.9, "top_p": 0.8, "max_tokens": 50}.items()


async def test_llamacpp_has_a_name_of_its_own_for_the_repetition_penalty() -> None:
    _, upstream = await go_on("llamacpp", conclude(), repetition_penalty=1.1, top_k=40)
    body = upstream.received[-1].json
    assert (body["repeat_penalty"], body["top_k"]) == (1.1, 40)
    assert "repetition_penalty" not in body


async def test_ollama_takes_them_as_options() -> None:
    _, upstream = await go_on("ollama", conclude(), stop="\n\nQ:", temperature=0, seed=3, min_p=0.1, logit_bias={})
    body = upstream.received[-1].json
    assert body["options"] == {"stop": ["\n\nQ:"], "temperature": 0, "seed": 3, "min_p": 0.1, "num_predict": 50}
    assert (body["raw"], body["think"]) == (True, False)


@pytest.mark.parametrize(
    ("fields", "parameters"),
    [
        ({"temperature": 0, "top_p": 1, "top_k": 0}, {"do_sample": False}),
        ({"temperature": 0.6, "top_p": 0.95}, {"do_sample": True, "temperature": 0.6, "top_p": 0.95}),
        ({"stop": "x", "min_p": 0.1}, {"do_sample": True, "stop": ["x"]}),
    ],
)
async def test_tgi_is_spared_the_values_it_refuses(fields: dict[str, Any], parameters: dict[str, Any]) -> None:
    _, upstream = await go_on("tgi", conclude(), **fields)
    assert upstream.received[-1].json["parameters"] == {**parameters, "max_new_tokens": 50}


async def test_an_unlimited_answer_does_not_go_on_for_sixteen_tokens_only() -> None:
    async with VllmServer() as upstream, backend_on(upstream, VLLM) as backend:
        body = {"model": MODEL, "messages": MESSAGES}
        limited = Continuation("conclude", Channel.CONTENT, reasoning=KEPT)
        with pytest.raises(UpstreamError) as caught:  # this server's context has no room for the default
            await read(backend, ModelRequest("chat", body, model=MODEL, continuation=limited))
        assert upstream.received[-1].json["max_tokens"] == 4096
        assert caught.value.code == "context_length_exceeded"


# --- templates


async def test_without_the_tokenizer_the_known_template_is_taken() -> None:
    async with VllmServer(tokenize=False) as upstream, backend_on(upstream, VLLM) as backend:
        assert said(await read(backend, asking(conclude()))) == ("", ANSWER)
        assert upstream.prompts == [f"{qwq_prompt(MESSAGES)}{KEPT}\n\n{PHRASE}\n</think>\n\n"]


async def test_an_unknown_template_is_an_error_that_names_the_way_out() -> None:
    async with LlamacppServer(templates=False) as upstream, backend_on(upstream, LLAMACPP) as backend:
        request = ModelRequest("chat", {"messages": MESSAGES}, model="house", continuation=conclude())
        with pytest.raises(UpstreamError, match=r"set `upstream.chat_template` \(/apply-template: model_not_found\)"):
            await read(backend, request)


async def test_a_conversation_that_ends_in_the_models_words_is_left_alone() -> None:
    async with VllmServer() as upstream, backend_on(upstream, VLLM) as backend:
        begun = asking(conclude(), messages=[*MESSAGES, {"role": "assistant", "content": "Well,"}])
        with pytest.raises(UpstreamError, match="the request began it"):
            await read(backend, begun)
        assert upstream.received == []


# --- servers that differ


async def test_an_older_vllm_calls_the_answer_reasoning_and_is_not_believed() -> None:
    """Before its parser looked back into the prompt, everything was reasoning until a closing tag came."""
    stream = reply(
        'data: {"choices":[{"index":0,"delta":{"reasoning":"Yes, canaries"},"finish_reason":null}]}\n\n',
        'data: {"choices":[{"index":0,"delta":{"reasoning":" sing."},"finish_reason":"stop"}]}\n\n',
        "data: [DONE]\n\n",
    )
    async with FakeUpstream(stream) as upstream, backend_on(upstream, VLLM) as backend:
        assert said(await read(backend, asking(conclude(), tools=TOOLS))) == ("", ANSWER)


async def test_a_model_without_tags_is_given_the_marker_of_a_final_answer() -> None:
    async with FakeUpstream(reply('data: {"choices":[]}\n\n', "data: [DONE]\n\n")) as upstream:
        async with backend_on(upstream, TRANSFORMERS) as backend:
            preview = {"model": "QwQ-32B-Preview", "messages": [{"role": "user", "content": "Hi"}]}
            kept = Continuation("conclude", Channel.CONTENT, content="Let me see. ", phrase="Enough.")
            await read(backend, ModelRequest("chat", preview, model="QwQ-32B-Preview", continuation=kept))
        body = upstream.request.json
        assert body["prompt"].endswith("assistant\nLet me see.\n\nEnough.\n\n**Final Answer**\n\n")
        assert "stream_options" not in body  # transformers serve refuses what it does not know


async def test_a_text_completion_goes_on_from_its_own_prompt() -> None:
    async with FakeUpstream(
        reply('data: {"choices":[{"index":0,"text":" three"}]}\n\n', "data: [DONE]\n\n")
    ) as upstream:
        async with backend_on(upstream, VLLM) as backend:
            kept = resample(Channel.CONTENT, content=" two", sampling={"temperature": 1.0})
            body = {"model": "m", "prompt": ["one"], "temperature": 0.1, "logprobs": 2}
            events = await read(backend, ModelRequest("completions", body, model="m", continuation=kept))
        sent = upstream.request.json
        assert (sent["prompt"], sent["temperature"], sent["max_tokens"]) == ("one two", 1.0, 50)
        assert said(events) == ("", " three")


async def test_ollama_puts_prompts_into_its_template_and_is_not_asked() -> None:
    async with OllamaServer() as upstream, backend_on(upstream, OLLAMA) as backend:
        kept = resample(Channel.CONTENT, content=" two")
        request = ModelRequest("completions", {"model": "m", "prompt": "one"}, model="m", continuation=kept)
        with pytest.raises(UpstreamError, match="does not take a prompt as it is"):
            await read(backend, request)


# --- native knobs


async def test_native_settings_go_along_as_far_as_the_server_has_them() -> None:
    native = {"thinking_token_budget": 800, "reasoning_budget_tokens": 900, "thinking_budget": 700}
    for name, expected in (("vllm", {"thinking_token_budget": 800}), ("llamacpp", {"reasoning_budget_tokens": 900})):
        dialect, server = SERVERS[name]
        async with server() as upstream, backend_on(upstream, dialect, native=native) as backend:
            await read(backend, asking())
            assert {key: value for key, value in upstream.request.json.items() if key in native} == expected


async def test_vllms_own_loop_stop_is_a_length_with_its_true_reason() -> None:
    detection = {"max_pattern_size": 20, "min_pattern_size": 2, "min_count": 4}
    async with (
        VllmServer(repeats=True) as upstream,
        backend_on(upstream, VLLM, native={"repetition_detection": detection}) as backend,
    ):
        assert finish(await read(backend, asking())) == ChoiceFinished(0, "length", "repetition")
        assert finish(await read(backend, asking(conclude()))) == ChoiceFinished(0, "length", "repetition")


async def test_a_thinking_budget_is_not_asked_for_where_the_thinking_is_closed() -> None:
    async with VllmServer() as upstream:
        async with backend_on(upstream, VLLM, native={"thinking_token_budget": 800}) as backend:
            await read(backend, asking(conclude(), tools=TOOLS))
            await read(backend, asking(resample(Channel.REASONING, reasoning=KEPT), tools=TOOLS))
        first, second = (received.json for received in upstream.received)
        assert "thinking_token_budget" not in first
        assert second["thinking_token_budget"] == 800


# --- live


async def test_the_thinking_of_a_running_answer_is_ended() -> None:
    async with (
        LlamacppServer(rambles=True) as upstream,
        backend_on(upstream, LLAMACPP, native={"reasoning_control": True}) as backend,
    ):
        events: list[Any] = []
        async with backend.stream(asking()) as model:
            assert model.end_thinking is not None
            assert not await model.end_thinking()  # nothing has been said, so the answer has no name yet
            async for batch in model.events:
                events += batch
                if len(said(events)[0]) > 20 and not said(events)[1] and len(upstream.received) == 2:
                    assert await model.end_thinking()
        assert said(events)[1] == ANSWER
        assert upstream.received[-1].path == "/v1/chat/completions/control"


@pytest.mark.parametrize("controls", [True, False])
async def test_an_order_that_is_not_taken_is_no_error(controls: bool) -> None:
    async with (
        LlamacppServer(controls=controls) as upstream,
        backend_on(upstream, LLAMACPP, native={"reasoning_control": True}) as backend,
        backend.stream(asking()) as model,
    ):
        async for _ in model.events:
            pass
        assert model.end_thinking is not None
        assert not await model.end_thinking()


async def test_what_is_not_armed_cannot_be_ordered() -> None:
    async with (
        LlamacppServer() as upstream,
        backend_on(upstream, LLAMACPP) as backend,
        backend.stream(asking()) as model,
    ):
        assert model.end_thinking is None


async def test_where_output_begins_is_as_configured_before_all_else() -> None:
    text = reply(
        'data: {"choices":[{"index":0,"delta":{"content":"Hm"},"finish_reason":"stop"}]}\n\n', "data: [DONE]\n\n"
    )
    for dialect, configured, expected in (
        (OPENAI, None, ("Hm", "")),
        (DASHSCOPE, None, ("", "Hm")),
        (OPENAI, ThinkStart.NATIVE, ("", "Hm")),
        (DASHSCOPE, ThinkStart.REASONING, ("Hm", "")),
    ):
        async with (
            FakeUpstream(text) as upstream,
            backend_on(upstream, dialect, start=lambda _model, state=configured: state) as backend,
        ):
            assert said(await read(backend, asking())) == expected


def test_the_scripted_servers_render_as_qwq_does() -> None:
    assert qwq_prompt(MESSAGES).endswith(f"Can canaries sing?<|im_end|>\n{OPENED}")
    assert "A greeting" not in qwq_prompt(MESSAGES)
