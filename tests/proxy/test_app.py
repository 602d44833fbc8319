from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

import guard
from guard.contract import Channel, Lane
from guard.events import ChoiceOpened, Deadline, TextReceived
from guard.policy import PolicyError
from guard.proxy.app import REFUSALS, UPSTREAM_CODES, create_app, create_gateway
from guard.settings import Settings
from guard.wire.failures import SENTENCES
from tests.support.metrics import total
from tests.support.proxy import (
    CHAT,
    answer_of,
    ask,
    content,
    nothing_policy,
    read_stream,
    script,
    scripted,
    words_policy,
)

pytestmark = pytest.mark.anyio

POLICY = """
policy_version: 1
name: house
detectors:
  loop: {}
  length: {content_tokens: {soft: 5, hard: 20}}
rules:
  - {id: loops, when: {detector: loop, score: 0.9}, do: {cut: {notice: It went in circles.}}}
  - {id: long, when: {detector: length, score: 0.9}, do: {cut: {notice: Too long., finish: length}}}
"""


def settings(**overrides: Any) -> Settings:
    return Settings.load(env={}, overrides=overrides)


@pytest.fixture
def house(tmp_path: Path) -> str:
    path = tmp_path / "house.yaml"
    path.write_text(POLICY)
    return str(path)


async def test_an_app_is_made_of_settings_and_a_backend(house: str) -> None:
    circles = [TextReceived(Lane(0, Channel.REASONING), "Wait, let me check that again. ") for _ in range(60)]
    backend = scripted(*script(ChoiceOpened(0), *circles), name="model")
    app = create_app(settings(policy=house, reasoning_field="reasoning"), backend=backend)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        answer = await client.post(CHAT, json=ask(stream=True, max_tokens=4_000))
    events = read_stream(answer.content)
    assert answer.headers["x-guard-policy"].startswith("house@")
    assert answer.headers["x-guard-backend"] == "model"
    assert events[1]["choices"][0]["delta"]["reasoning"]
    assert events[-2]["choices"][0]["delta"] == {"content": "It went in circles."}
    assert events[-1]["guard"]["rule"] == "loops"
    assert backend.closed == 1
    metrics = app.state.gateway.metrics.registry
    assert total(metrics, "guard_loops_total", channel="reasoning") == 1
    assert total(metrics, "guard_actions_total", rule="loops", action="cut", channel="reasoning") == 1
    assert total(metrics, "guard_backend_answers_total", backend="model") == 1
    assert total(metrics, "guard_tokens_saved_total") > 3_000


async def test_a_length_budget_ends_with_length(house: str) -> None:
    words = [content(f"word{number} and ") for number in range(100)]
    app = create_app(settings(policy=house), backend=scripted(*answer_of(*words)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        body = (await client.post(CHAT, json=ask())).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"].endswith("\n\nToo long.")
    assert body["guard"]["rule"] == "long"


async def test_what_is_configured_reaches_the_gateway() -> None:
    given = settings(
        upstream={
            "url": "http://127.0.0.1:9",
            "name": "vllm",
            "models": ["a"],
            "timeouts": {"first_byte": 1, "between_events": 2, "total": 3},
        },
        keep_alive=4,
        limits={"max_streams": 5, "max_choices": 6, "body_bytes": "7KiB"},
        strip_request_fields=False,
        fallback={"enabled": False},
    )
    gateway = create_gateway(given, policy=nothing_policy())
    clocks = gateway.clocks
    assert (clocks.first_byte, clocks.between_events, clocks.total, clocks.keep_alive) == (1, 2, 3, 4)
    assert (gateway.max_streams, gateway.max_choices, gateway.max_body) == (5, 6, 7 * 1_024)
    assert (gateway.models, gateway.reasoning_field) == (("a",), "")
    assert (gateway.pass_through, gateway.strip) == (True, False)
    assert gateway.backend.name == "vllm"
    await gateway.backend.aclose()


async def test_the_guards_own_key_keeps_the_clients_at_home() -> None:
    given = settings(upstream={"url": "http://127.0.0.1:9", "api_key": "sk-x"}, fallback={"enabled": False})
    gateway = create_gateway(given, policy=nothing_policy())
    assert not gateway.pass_through
    await gateway.backend.aclose()


async def test_a_policy_that_cannot_be_used_is_the_operators_to_mend() -> None:
    with pytest.raises(PolicyError, match="no_such_policy"):
        create_app(settings(policy="no_such_policy"), backend=scripted())


async def test_nothing_is_served_but_the_guarded_routes() -> None:
    app = create_app(settings(), policy=words_policy(), backend=scripted())
    paths = [route.path for route in app.router.routes if isinstance(route, Route)]
    assert len(paths) == len(app.router.routes)
    assert paths == [
        CHAT,
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model:path}",
        "/{path:path}",
    ]


def _codes(error: str) -> Iterator[str]:
    """The literal `code` of every `error` that the source raises."""
    for file in Path(guard.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == error:
                for keyword in node.keywords:
                    if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                        yield str(keyword.value.value)


def test_metrics_know_every_code_by_name() -> None:
    ours = {*_codes("UpstreamError"), *SENTENCES, *(f"deadline_{kind}" for kind in Deadline)}
    assert "upstream_reset" in ours
    assert sorted(ours - set(UPSTREAM_CODES)) == []
    refused = set(_codes("RequestError"))
    assert "overloaded" in refused
    assert sorted(refused - {*REFUSALS, "internal_error"}) == []
