"""What an upstream is found to be, and what it takes to find out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from guard.backends import probe
from guard.backends.client import UpstreamClient
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
from guard.backends.probe import Found, find_dialect
from tests.support.llamacpp_server import LlamacppServer
from tests.support.ollama_server import OllamaServer
from tests.support.rule_server import RuleServer
from tests.support.sglang_server import SglangServer
from tests.support.tgi_server import TgiServer
from tests.support.upstream import HANG, FakeUpstream, Received, Reply, json_reply, raw, reply, unused_port
from tests.support.vllm_server import VllmServer

pytestmark = pytest.mark.anyio


class Paths(RuleServer):
    """Answers what it is told to by path, and 404 else."""

    def __init__(self, answers: Mapping[str, Reply]) -> None:
        super().__init__()
        self._answers = answers

    def answer(self, received: Received) -> Reply:
        return self._answers.get(received.path, json_reply({"detail": "Not Found"}, status=404))


async def found(url: str) -> Found:
    client = UpstreamClient(url, "upstream")
    try:
        return await find_dialect(client)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("server", "dialect", "version", "most"),
    [
        (VllmServer, VLLM, "0.33.0", 2),
        (SglangServer, SGLANG, "0.5.23", 2),
        (LlamacppServer, LLAMACPP, "b7000-abc", 2),
        (OllamaServer, OLLAMA, "0.34.0", 2),
        (TgiServer, TGI, "3.3.6", 5),
    ],
)
async def test_servers_are_known_by_what_they_say(
    server: type[RuleServer], dialect: Dialect, version: str, most: int
) -> None:
    async with server() as upstream:
        assert await found(upstream.url) == Found(dialect, version=version)
        assert len(upstream.received) <= most


LOCKED = json_reply({"error": "Unauthorized"}, status=401)


@pytest.mark.parametrize(
    ("path", "body", "dialect"),
    [
        ("/version", {"version": "0.33.0"}, VLLM),
        ("/get_server_info", {"internal_states": [], "version": "0.4.0"}, SGLANG),
        ("/props", {"default_generation_settings": {}}, LLAMACPP),
        ("/api/version", {"version": "0.34.0"}, OLLAMA),
        ("/openapi.json", {"openapi": "3.1.0", "paths": {"/load_model": {}}}, TRANSFORMERS),
        ("/openapi.json", {"openapi": "3.1.0", "paths": {"/v1/models": {}}}, None),
        ("/openapi.json", {"openapi": "3.1.0", "paths": None}, None),
        ("/version", {"version": "2", "commit": "abc"}, None),
        ("/info", {"model_id": "m"}, None),
    ],
)
async def test_a_locked_list_of_models_leaves_the_servers_own_endpoints(
    path: str, body: dict[str, Any], dialect: Dialect | None
) -> None:
    async with Paths({"/v1/models": LOCKED, path: json_reply(body)}) as upstream:
        answer = await found(upstream.url)
    assert (answer.dialect, answer.reached) == (dialect, True)


@pytest.mark.parametrize(
    ("host", "dialect"),
    [
        ("https://api.openai.com", OPENAI),
        ("https://house.openai.azure.com/openai/v1", OPENAI),
        ("https://openrouter.ai/api/v1", OPENROUTER),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", DASHSCOPE),
    ],
)
async def test_hosted_services_are_known_by_name_and_asked_nothing(host: str, dialect: Dialect) -> None:
    assert await found(host) == Found(dialect)


async def test_a_name_that_only_ends_alike_is_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.05)
    assert (await found("http://notopenai.com.invalid")).dialect is None


async def test_nobody_there_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.05)
    assert await found(f"http://127.0.0.1:{unused_port()}") == Found(None, reached=False)
    async with FakeUpstream(raw(HANG)) as upstream:
        assert await found(upstream.url) == Found(None, reached=False)
    async with FakeUpstream(json_reply({"error": {"message": "Loading model"}}, status=503)) as upstream:
        assert await found(upstream.url) == Found(None, reached=False)


@pytest.mark.parametrize(
    "answer",
    [
        reply("<html>no</html>", headers={"content-type": "text/html"}),
        json_reply({"data": "x" * (probe.LONGEST + 1)}),
        json_reply([1]),
        json_reply({"data": [7]}),
        json_reply({"data": [{"owned_by": ["vllm"]}]}),
        json_reply({"version": "1.0"}, status=500),
    ],
    ids=["html", "giant", "list", "number", "owners", "error"],
)
async def test_nonsense_is_an_unknown_server(answer: Reply) -> None:
    async with FakeUpstream(answer) as upstream:
        assert await found(upstream.url) == Found(None)
