"""Genuine servers go on with an answer, and llama.cpp has the rules that the scripted one has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from guard.backends.base import Continuation, ModelRequest
from guard.backends.dialects import LLAMACPP, TRANSFORMERS
from guard.backends.http import HttpBackend
from guard.backends.templates import load_template
from guard.contract import Channel
from guard.events import UsageReported
from tests.support.dialect_backend import read, said, usage
from tests.support.llamacpp import llamacpp_server
from tests.support.llamacpp_server import NO_ID, NOT_RUNNING, TWO_AT_THE_END
from tests.support.transformers_serve import transformers_serve

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

QUESTIONS = (
    "List five animals with one sentence about each.",
    "Tell me a story about a lighthouse.",
    "What is the capital of France and why?",
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with llamacpp_server() as url:
        yield url


def asking(question: str, continuation: Continuation | None = None, **more: Any) -> ModelRequest:
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 60, **more}
    return ModelRequest("chat", body, model="m", continuation=continuation)


def test_it_is_recognised(upstream: str) -> None:
    async def ask() -> None:
        backend = HttpBackend(url=upstream, dialect=None)
        found = await backend.recognise()
        await backend.aclose()
        assert (found.dialect, found.reached) == (LLAMACPP, True)
        assert backend.capabilities.repairs == {"conclude", "resample"}

    anyio.run(ask)


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_that_is_taken_up_again_is_the_uninterrupted_one(upstream: str, question: str) -> None:
    async def ask() -> None:
        backend = HttpBackend(url=upstream, dialect=LLAMACPP)
        _, whole = said(await read(backend, asking(question)))
        for share in (0.3, 0.7):
            cut = whole.index(" ", int(len(whole) * share))
            kept = Continuation("resample", Channel.CONTENT, content=whole[:cut], max_tokens=60)
            _, rest = said(await read(backend, asking(question, kept)))
            assert rest[: len(whole) - cut] == whole[cut:]
        await backend.aclose()

    anyio.run(ask)


def test_a_continuation_keeps_to_its_budget_and_to_the_clients_stop(upstream: str) -> None:
    async def ask() -> None:
        backend = HttpBackend(url=upstream, dialect=LLAMACPP)
        kept = Continuation("resample", Channel.CONTENT, content="Once upon a time", max_tokens=7)
        assert usage(await read(backend, asking(QUESTIONS[1], kept))) == 7
        kept = Continuation("resample", Channel.CONTENT, content="One two three four one two three", max_tokens=20)
        _, rest = said(await read(backend, asking("Repeat: one two three four.", kept, stop=["four"])))
        assert "four" not in rest
        await backend.aclose()

    anyio.run(ask)


def test_thinking_that_is_closed_is_answered_as_content(upstream: str) -> None:
    async def ask() -> None:
        backend = HttpBackend(url=upstream, dialect=LLAMACPP)
        kept = Continuation(
            "conclude", Channel.CONTENT, reasoning="Paris. Paris.", phrase="Time to answer.", max_tokens=20
        )
        thought, answer = said(await read(backend, asking(QUESTIONS[2], kept)))
        assert thought == ""
        assert answer.strip()
        await backend.aclose()

    anyio.run(ask)


def test_the_scripted_server_speaks_as_the_genuine_one_does(upstream: str) -> None:
    user, assistant = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}
    with httpx.Client(base_url=upstream, trust_env=False, timeout=30) as client:
        refused = client.post("/v1/chat/completions", json={"messages": [user, assistant, assistant], "max_tokens": 1})
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, TWO_AT_THE_END)
        rendered = client.post("/apply-template", json={"messages": [user]}).json()["prompt"]
        assert rendered.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        control = "/v1/chat/completions/control"
        assert client.post(control, json={"id": "none", "action": "reasoning_end"}).json() == NOT_RUNNING
        assert client.post(control, json={}).json()["error"]["message"] == NO_ID


def test_transformers_serve_goes_on_with_an_answer() -> None:
    async def ask(url: str, folder: Path) -> None:
        template = load_template(folder / "chat_template.jinja")
        backend = HttpBackend(url=url, dialect=None, template=template)
        assert (await backend.recognise()).dialect is TRANSFORMERS
        first = await read(backend, asking(QUESTIONS[1], max_tokens=24, model=str(folder)))
        _, whole = said(first)
        cut = whole.index(" ", len(whole) // 2)
        kept = Continuation("resample", Channel.CONTENT, content=whole[:cut], max_tokens=8)
        again = await read(backend, asking(QUESTIONS[1], kept, model=str(folder)))
        _, rest = said(again)
        assert rest.split()[0] == whole[cut:].split()[0]
        assert usage(again) == 8
        prompts = [event.usage.prompt_tokens for event in (*first, *again) if isinstance(event, UsageReported)]
        assert prompts[-1] > prompts[0]
        await backend.aclose()

    with transformers_serve() as (url, folder):
        anyio.run(ask, url, folder)
