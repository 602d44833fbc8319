from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guard.backends.base import UpstreamError
from guard.backends.dialects import LLAMACPP, OPENAI, SGLANG
from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from guard.backends.scripted import ScriptedBackend
from guard.observe.metrics import Known, Metrics
from guard.proxy import backends
from guard.proxy.backends import IN_PROCESS, build_backend, start_backend, uses_embedded
from guard.settings import Settings, SettingsError
from guard.wire.think import ThinkStart
from tests.support.proxy import gateway_of
from tests.support.upstream import HANG, FakeUpstream, json_reply, raw

URL = "http://127.0.0.1:9"


def settings(**overrides: Any) -> Settings:
    return Settings.load(env={}, overrides=overrides)


@pytest.fixture
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "has_transformers", lambda: False)


def test_an_upstream_without_fallback_stands_alone() -> None:
    backend = build_backend(
        settings(upstream={"url": URL, "name": "vllm"}, fallback={"enabled": False}),
        Metrics(),
    )
    assert isinstance(backend, HttpBackend)
    assert backend.name == "vllm"


@pytest.mark.usefixtures("_no_torch")
def test_without_the_extra_there_is_no_fallback_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(build_backend(settings(upstream={"url": URL}), Metrics()), HttpBackend)
    assert "transformers" in capsys.readouterr().out


@pytest.mark.usefixtures("_no_torch")
def test_without_the_extra_and_without_upstream_there_is_a_way_out() -> None:
    with pytest.raises(SettingsError) as caught:
        build_backend(settings(), Metrics())
    (problem,) = caught.value.problems
    assert "upstream.url" in problem
    assert "qwq-guard[transformers]" in problem
    assert not uses_embedded(settings(upstream={"url": URL}))


def test_the_in_process_model_stands_behind_upstream() -> None:
    pytest.importorskip("transformers")
    metrics = Metrics(Known(backends=("vllm", IN_PROCESS), upstream_codes=("upstream_unreachable",)))
    given = settings(upstream={"url": URL, "name": "vllm"}, fallback={"failures": 2})
    backend = build_backend(given, metrics)
    assert isinstance(backend, FailoverBackend)
    assert (backend.first.name, backend.second.name) == ("vllm", IN_PROCESS)
    backend.on_failover("vllm", IN_PROCESS, "upstream_unreachable")
    value = metrics.registry.get_sample_value
    assert value("guard_failovers_total", {"from_backend": "vllm", "to_backend": IN_PROCESS}) == 1
    assert value("guard_upstream_errors_total", {"backend": "vllm", "code": "upstream_unreachable"}) == 1
    assert value("guard_backend_up", {"backend": "vllm"}) == 0
    assert value("guard_breaker_open", {"backend": "vllm"}) == 0
    backend.breaker.failed()
    backend.breaker.failed()
    assert value("guard_breaker_open", {"backend": "vllm"}) == 1


@pytest.mark.parametrize(
    ("overrides", "name", "embedded"),
    [
        ({}, "SmolLM2-135M-Instruct", True),
        ({"in_process": {"model": "org/some-model"}}, "org/some-model", False),
        ({"upstream": {"url": URL}, "fallback": {"model": "org/other"}}, "org/other", False),
        ({"upstream": {"url": URL}, "in_process": {"model": "org/one"}}, "org/one", False),
        ({"upstream": {"url": URL}}, "SmolLM2-135M-Instruct", True),
    ],
)
def test_which_model_runs_in_process(overrides: dict[str, Any], name: str, embedded: bool) -> None:
    pytest.importorskip("transformers")
    given = settings(**overrides)
    backend = build_backend(given, Metrics())
    local = backend.second if isinstance(backend, FailoverBackend) else backend
    assert asyncio.run(local.models()) == (name,)
    assert uses_embedded(given) is embedded


def test_a_folder_is_named_by_its_last_part(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert asyncio.run(build_backend(settings(in_process={"model": str(folder)}), Metrics()).models()) == ("my-model",)


def test_no_fallback_needs_no_embedded_model() -> None:
    assert not uses_embedded(settings(upstream={"url": URL}, fallback={"enabled": False}))


@pytest.mark.parametrize(
    ("model", "state"),
    [
        ("house-qwq", ThinkStart.NATIVE),
        ("HOUSE-x", ThinkStart.NATIVE),
        ("Qwen/QwQ-32B", None),
        ("other", None),
    ],
)
def test_where_output_begins_as_far_as_it_is_configured(model: str, state: ThinkStart | None) -> None:
    given = settings(upstream={"url": URL, "start_state": {"House-*": "native"}})
    assert given.upstream is not None
    assert backends._starts(given.upstream)(model) is state


class Local(ScriptedBackend):
    """A backend with a model to load."""

    def __init__(self, error: UpstreamError | None = None) -> None:
        super().__init__(lambda _request: [])
        self.ready = False
        self.closes = 0
        self.gate = asyncio.Event()
        self.error = error

    async def start(self) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.ready = True

    async def aclose(self) -> None:
        self.closes += 1


@pytest.mark.anyio
async def test_the_model_is_loaded_while_the_app_runs() -> None:
    backend = Local()
    gateway = gateway_of(backend)
    async with start_backend(gateway):
        assert not gateway.ready()
        backend.gate.set()
        async with asyncio.timeout(10):
            while not gateway.ready():  # noqa: ASYNC110 - what is waited for is no event
                await asyncio.sleep(0.001)
        assert backend.closes == 0
    assert backend.closes == 1


@pytest.mark.anyio
async def test_an_app_that_stops_does_not_wait_for_the_model() -> None:
    backend = Local()
    async with asyncio.timeout(10), start_backend(gateway_of(backend)):
        pass
    assert backend.closes == 1


@pytest.mark.anyio
async def test_a_model_that_cannot_be_loaded_is_told_and_never_ready(capsys: pytest.CaptureFixture[str]) -> None:
    backend = Local(UpstreamError("No such model.", code="model_unavailable"))
    gateway = gateway_of(backend)
    backend.gate.set()
    async with start_backend(gateway):
        for _ in range(5):
            await asyncio.sleep(0)
        assert not gateway.ready()
    assert "No such model." in capsys.readouterr().out
    assert backend.closes == 1


@pytest.mark.anyio
async def test_a_guard_with_an_upstream_is_ready_before_its_fallback() -> None:
    fallback = Local()
    gateway = gateway_of(FailoverBackend(Remote(lambda _request: []), fallback))
    async with start_backend(gateway):
        assert gateway.ready()
    assert fallback.closes == 1


def upstream_of(**upstream: Any) -> HttpBackend:
    given = settings(upstream={"url": URL, **upstream}, fallback={"enabled": False})
    backend = build_backend(given, Metrics())
    assert isinstance(backend, HttpBackend)
    return backend


def test_a_dialect_is_as_configured_or_not_known_yet() -> None:
    assert (upstream_of(dialect="sglang").dialect, upstream_of(dialect="sglang").recognised) == (SGLANG, True)
    unknown = upstream_of()
    assert (unknown.dialect, unknown.recognised, unknown.capabilities.repairs) == (OPENAI, False, frozenset())


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        (
            {"dialect": "sglang", "native": {"reasoning_control": True, "thinking_budget": 5}},
            "`sglang` does not know reasoning_control, thinking_budget: remove it",
        ),
        ({"chat_template": "/no/such/file.jinja"}, "upstream.chat_template: /no/such/file.jinja: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_runs(upstream: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        upstream_of(**upstream)


@pytest.mark.anyio
async def test_an_upstream_that_comes_up_late_is_recognised_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "FIRST_PAUSE", 0.01)
    loading = json_reply({"error": {"code": 503, "message": "Loading model"}}, status=503)
    models = json_reply({"object": "list", "data": [{"id": "qwq", "owned_by": "llamacpp"}]})
    props = json_reply({"default_generation_settings": {}, "build_info": "b7000-abc"})
    async with FakeUpstream(loading, models, props) as upstream:
        backend = upstream_of(url=upstream.url)
        async with start_backend(gateway_of(backend)):
            async with asyncio.timeout(10):
                while not backend.recognised:  # noqa: ASYNC110 - what is waited for is no event
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        assert backend.dialect is LLAMACPP
        assert [received.path for received in upstream.received] == ["/v1/models", "/v1/models", "/props"]
    logged = capsys.readouterr().out
    assert "b7000-abc" in logged
    assert "conclude" in logged


@pytest.mark.anyio
async def test_a_silent_upstream_delays_neither_start_nor_stop() -> None:
    async with (
        FakeUpstream(raw(HANG)) as upstream,
        asyncio.timeout(5),
        start_backend(gateway_of(upstream_of(url=upstream.url))),
    ):
        await upstream.arrived()


class Remote(ScriptedBackend):
    async def models(self) -> Sequence[str]:
        return ("remote",)


@pytest.mark.parametrize("model", ["/no/such/folder", "./nowhere", "../nowhere", "~/nowhere"])
@pytest.mark.parametrize("upstream", [None, {"url": URL}])
def test_a_model_in_a_folder_that_is_not_there_is_told_at_start(model: str, upstream: dict[str, str] | None) -> None:
    """A server that starts and refuses every request looks well to whoever started it."""
    with pytest.raises(SettingsError, match=r"in_process\.model: there is no folder"):
        build_backend(settings(in_process={"model": model}, upstream=upstream), Metrics())
