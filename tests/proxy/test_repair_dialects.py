"""Repairs from end to end: engine, driver, and each dialect against a server that keeps the real one's rules."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from guard.backends.dialects import LLAMACPP, OLLAMA, SGLANG, TGI, VLLM, Dialect
from guard.backends.http import HttpBackend
from guard.contract import Channel
from guard.engine.plan import Hold
from guard.events import Cut, Repair
from guard.proxy.app import create_app
from tests.support.dialect_backend import MESSAGES, backend_on
from tests.support.engine import Words, plan_of
from tests.support.llamacpp_server import LlamacppServer
from tests.support.ollama_server import OllamaServer
from tests.support.proxy import FixedPolicy, gateway_of, read_stream
from tests.support.rule_server import ANSWER, MODEL, RuleServer
from tests.support.sglang_server import SglangServer
from tests.support.tgi_server import TgiServer
from tests.support.upstream import Received
from tests.support.vllm_server import VllmServer

pytestmark = pytest.mark.anyio

SERVERS: dict[str, tuple[Dialect, type[RuleServer]]] = {
    "vllm": (VLLM, VllmServer),
    "sglang": (SGLANG, SglangServer),
    "llamacpp": (LLAMACPP, LlamacppServer),
    "ollama": (OLLAMA, OllamaServer),
    "tgi": (TGI, TgiServer),
}
KEPT = "Canaries sing."
CONCLUDE = Repair("conclude", "last_sentence", phrase="Enough of that.", otherwise=Cut("Sorry."))
RESAMPLE = Repair("resample", "last_sentence", otherwise=Cut("Sorry."))


async def answer(backend: HttpBackend, repair: Repair, word: str) -> tuple[str, str, dict[str, Any]]:
    """Reasoning, content and what the last chunk with a finish says, where `word` is to be repaired."""
    channels = (Channel.REASONING, Channel.CONTENT)
    hold = {channel: Hold(step=1) for channel in channels}
    plan = plan_of(Words("word", [word]), actions={"word": repair}, channels=channels, hold=hold, keep_text=True)
    app = create_app(gateway=gateway_of(backend, FixedPolicy(plan)))
    body = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100, "stream": True}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        chunks = read_stream((await client.post("/v1/chat/completions", content=json.dumps(body))).content)
    parts = [part for chunk in chunks for part in chunk["choices"]]
    reasoning, content = (
        "".join(part["delta"].get(name) or "" for part in parts for name in names)
        for names in (("reasoning", "reasoning_content"), ("content",))
    )
    (last,) = (chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"])
    return reasoning, content, {"finish": last["choices"][0]["finish_reason"], **last.get("guard", {})}


@pytest.mark.parametrize("name", SERVERS)
async def test_a_thinking_that_goes_wrong_is_concluded(name: str) -> None:
    dialect, server = SERVERS[name]
    async with server() as upstream, backend_on(upstream, dialect) as backend:
        reasoning, content, told = await answer(backend, CONCLUDE, "small")
    assert reasoning.strip() == "Canaries sing. They are"
    assert content == ANSWER
    assert (told["finish"], told["action"], told["how"]) == ("stop", "repair", "conclude")


@pytest.mark.parametrize("name", SERVERS)
async def test_an_answer_that_goes_wrong_is_gone_on_with_and_cut_if_it_does_again(name: str) -> None:
    dialect, server = SERVERS[name]
    async with server() as upstream, backend_on(upstream, dialect) as backend:
        _, content, told = await answer(backend, RESAMPLE, "canaries")
    assert content.lstrip() == "Yes, \n\nSorry."
    assert (told["finish"], told["action"]) == ("content_filter", "cut")


async def test_a_thinking_is_ended_in_the_running_request_where_that_is_armed() -> None:
    async with (
        LlamacppServer(rambles=True) as upstream,
        backend_on(upstream, LLAMACPP, native={"reasoning_control": True}) as backend,
    ):
        _, content, told = await answer(backend, CONCLUDE, "sing. Can")
        asked: list[Received] = upstream.received
        assert [received.path for received in asked if received.method == "POST"][-1].endswith("/control")
    assert content == ANSWER
    assert (told["finish"], told["action"], told["how"]) == ("stop", "repair", "conclude")
