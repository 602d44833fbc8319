"""docs/integrations.md: the configurations of model servers load, and serve what such a server says."""

from __future__ import annotations

import asyncio
import re
import shlex
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from guard.proxy.app import create_gateway
from guard.settings import Settings
from tests.support.dialects import OLLAMA, OPENAI, SGLANG, VLLM, Dialect
from tests.support.guard_process import guard_serve
from tests.support.integrations import PAGE, snippet, snippets
from tests.support.llamacpp import llamacpp_server
from tests.support.proxy import MESSAGES, Exchange, exchange, serving
from tests.support.upstream import FakeUpstream, reply

SERVERS = {"vLLM": "vllm", "SGLang": "sglang", "Ollama": "ollama", "llama.cpp": "llamacpp"}
BEHIND = "LiteLLM behind the guard"


def config(heading: str, folder: Path) -> Path:
    """The guard's configuration that a section shows, as a file."""
    (text,) = [text for text in snippets(heading, "yaml") if "upstream:" in text]
    file = folder / "guard.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def ask(url: str, model: str) -> Exchange:
    return exchange(url, "/v1/chat/completions", {"model": model, "messages": MESSAGES, "max_tokens": 8})


@pytest.mark.parametrize("heading", SERVERS)
def test_a_configuration_is_for_the_server_that_is_started(heading: str, tmp_path: Path) -> None:
    upstream = Settings.load(config(heading, tmp_path), env={}).upstream
    assert upstream is not None
    assert upstream.dialect == SERVERS[heading]
    words = shlex.split(snippet(heading, "sh").replace("\\\n", " "))
    given = dict(pairwise(words))
    # Ollama is told neither: its port is 11434, and the model's name is what is pulled.
    assert urlsplit(upstream.url).port == int(given.get("--port", "11434"))
    assert upstream.models == (given.get("--served-model-name") or given.get("--alias") or given["pull"],)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("heading", "dialect"), [("vLLM", VLLM), ("SGLang", SGLANG), ("Ollama", OLLAMA), (BEHIND, OPENAI)]
)
async def test_what_a_server_says_comes_through(heading: str, dialect: Dialect, tmp_path: Path) -> None:
    said = dialect.answer("Hello ", "there.", thoughts=["They greet ", "me."])
    async with FakeUpstream(reply(*said)) as upstream:
        settings = Settings.load(config(heading, tmp_path), env={"GUARD_UPSTREAM__URL": upstream.url})
        assert settings.upstream is not None
        (model,) = settings.upstream.models

        def run() -> Exchange:
            with serving(lambda: create_gateway(settings)) as url:
                return ask(url, model)

        answer = await asyncio.to_thread(run)
    message = answer.json["choices"][0]["message"]
    assert (message["content"], message[dialect.reasoning_field]) == ("Hello there.", "They greet me.")
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert answer.headers["x-guard-backend"] == settings.upstream.name
    assert answer.headers["x-guard-policy"].startswith("reasoning@")


@pytest.mark.real
@pytest.mark.xdist_group("real")
def test_llamacpp_for_real(tmp_path: Path) -> None:
    with llamacpp_server() as upstream:
        file = config("llama.cpp", tmp_path)
        with guard_serve("--config", str(file), env={"GUARD_UPSTREAM__URL": upstream}) as guard:
            answer = ask(guard.url, "qwq-32b")
            assert answer.status == 200, answer.body
            assert answer.headers["x-guard-backend"] == "llamacpp"
            message = answer.json["choices"][0]["message"]
            # A model that is called QwQ begins inside its thinking, and this one, which is none, does not end it.
            assert message["reasoning_content"]
            assert answer.json["choices"][0]["finish_reason"] == "length"
            assert ask(guard.url, "another").status == 404


def test_open_webui_is_told_where_the_guard_is() -> None:
    command = shlex.split(snippet("Open WebUI", "sh").replace("\\\n", " "))
    told = dict(word.split("=", 1) for flag, word in pairwise(command) if flag == "--env")
    where = urlsplit(told["OPENAI_API_BASE_URL"])
    assert (where.port, where.path) == (Settings.load(env={}).port, "/v1")
    assert told["ENABLE_OLLAMA_API"] == "False"


def test_no_configuration_is_left_out() -> None:
    shown = re.findall(r"^upstream:", PAGE, re.MULTILINE)
    assert len(shown) == len(SERVERS) + 1
