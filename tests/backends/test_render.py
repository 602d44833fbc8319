"""Who renders a prompt, and what happens if they do not."""

from __future__ import annotations

import pytest

from guard.backends.base import ModelRequest
from guard.backends.client import UpstreamClient
from guard.backends.dialects import LLAMACPP, OLLAMA, SGLANG, TGI, VLLM, Dialect
from guard.backends.render import render_prompt
from guard.backends.templates import ChatTemplate
from guard.wire.errors import UpstreamError
from tests.support.dialect_backend import MESSAGES, asking
from tests.support.llamacpp_server import LlamacppServer
from tests.support.ollama_server import OllamaServer
from tests.support.rule_server import RuleServer, qwq_prompt
from tests.support.tgi_server import TgiServer
from tests.support.upstream import FakeUpstream, json_reply
from tests.support.vllm_server import VllmServer

pytestmark = pytest.mark.anyio
HOUSE = ModelRequest("chat", {"messages": MESSAGES}, model="house")


async def prompt(
    upstream: FakeUpstream, dialect: Dialect, request: ModelRequest, template: ChatTemplate | None = None
) -> str:
    client = UpstreamClient(upstream.url, "upstream")
    try:
        return await render_prompt(client, dialect, request, template)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("dialect", "server", "paths"),
    [
        (VLLM, VllmServer, ["/tokenize", "/detokenize"]),
        (LLAMACPP, LlamacppServer, ["/apply-template"]),
        (OLLAMA, OllamaServer, ["/api/chat"]),
        (TGI, TgiServer, ["/chat_tokenize"]),
    ],
)
async def test_servers_render_with_their_own_template(
    dialect: Dialect, server: type[RuleServer], paths: list[str]
) -> None:
    async with server() as upstream:
        assert await prompt(upstream, dialect, asking()) == qwq_prompt(MESSAGES)
        assert [received.path for received in upstream.received] == paths


async def test_the_operators_template_comes_first() -> None:
    async with VllmServer() as upstream:
        template = ChatTemplate("{{ messages[-1].content }}|{{ enable_thinking }}")
        request = asking(chat_template_kwargs={"enable_thinking": False})
        assert await prompt(upstream, VLLM, request, template) == "Can canaries sing?|False"
        assert upstream.received == []


async def test_a_template_that_refuses_the_messages_says_why() -> None:
    async with VllmServer() as upstream:
        template = ChatTemplate("{{ raise_exception('roles must alternate') }}", "house.jinja")
        with pytest.raises(UpstreamError, match=r"house\.jinja: roles must alternate"):
            await prompt(upstream, VLLM, asking(), template)


async def test_a_server_that_renders_nothing_is_passed_over() -> None:
    for answer in ({}, {"prompt": ""}, {"prompt": 7}):
        async with FakeUpstream(json_reply(answer)) as upstream:
            assert await prompt(upstream, LLAMACPP, asking()) == qwq_prompt(MESSAGES)
            with pytest.raises(UpstreamError, match="upstream_protocol"):
                await prompt(upstream, LLAMACPP, HOUSE)


async def test_a_dialect_without_an_endpoint_needs_a_known_model() -> None:
    async with FakeUpstream(json_reply({})) as upstream:
        assert await prompt(upstream, SGLANG, asking()) == qwq_prompt(MESSAGES)
        with pytest.raises(UpstreamError, match=r"set `upstream.chat_template`\.$"):
            await prompt(upstream, SGLANG, HOUSE)
        assert upstream.received == []
