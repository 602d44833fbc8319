"""A request is a span with its calls below it, at a real receiver; without tracing its machinery is not even loaded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.backends.scripted import ScriptedBackend, refuse
from guard.events import Cut
from guard.observe.audit import AuditLog
from guard.observe.traces import MAX_EVENTS, MAX_REVIEWS, Tracing, asked_for, trusted_context
from guard.proxy.app import create_app, create_gateway, open_tracing
from guard.proxy.gateway import Gateway
from guard.settings import Settings, SettingsError
from guard.wire.errors import UpstreamError
from guard.wire.record import RecordedEvent
from tests.support.audits import records
from tests.support.dialects import VLLM
from tests.support.engine import Words, plan_of
from tests.support.guarded import guarded
from tests.support.otlp import Receiver, receiver
from tests.support.proxy import (
    CHAT,
    FixedPolicy,
    answer_of,
    ask,
    content,
    gateway_of,
    read_stream,
    scripted,
    thought,
    words_policy,
)
from tests.support.upstream import RESET, FakeUpstream, reply, unused_port

pytestmark = pytest.mark.anyio

SERVER, CLIENT, INTERNAL = 2, 3, 1
OK, ERROR = 0, 2
CUT = answer_of(thought("A thought. "), content("So it begins. SECRET and STOP! and more"))
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def _nobody_elses_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_exporter_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that tries again in the background asks the `random` module how long to wait. A property that runs meanwhile
    takes that for its own doing, and Hypothesis calls it flaky."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    yield
    for thread in threading.enumerate():
        if thread.name == "tracing-end":
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        yield received


@asynccontextmanager
async def traced(gateway: Gateway, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose spans have all been sent when the block ends."""
    gateway.tracing = Tracing(**options)
    app = create_app(gateway=gateway)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://g") as client:
        yield client


def cutting(*events: RecordedEvent, **options: Any) -> Gateway:
    return gateway_of(scripted(*(events or CUT)), **options)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_is_a_span_with_its_call_below_it(got: Receiver, stream: bool) -> None:
    async with traced(cutting()) as client:
        asked = ask(stream=stream, model="qwq-32b", temperature=0.6, top_k=40, max_tokens=100, seed=7)
        answer = await client.post(CHAT, json=asked, headers={"x-request-id": "r-1"})
    (span,) = got.named("chat qwq-32b", SERVER)
    (call,) = got.named("chat qwq-32b", CLIENT)
    assert (call.trace_id, call.parent_id, span.parent_id) == (span.trace_id, span.span_id, "")
    own = answer.headers["x-guard-request-id"]
    assert 0 < span.attributes.pop("gen_ai.response.time_to_first_chunk") < 60
    input_tokens = span.attributes.pop("gen_ai.usage.input_tokens")
    output_tokens = span.attributes.pop("gen_ai.usage.output_tokens")
    assert min(input_tokens, output_tokens) > 0
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "qwq-32b",
        "gen_ai.request.stream": stream,
        "gen_ai.request.temperature": 0.6,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": f"chatcmpl-{own}",
        "gen_ai.response.finish_reasons": ["content_filter"],
        "guard.request_id": "r-1",
        "guard.stream_id": own,
        "guard.policy": "house@v1",
        "guard.outcome": "cut",
        "guard.usage_estimated": True,
    }
    assert span.status == OK
    assert span.resource["service.name"] == "qwq-guard"
    assert [name for name, _ in span.events] == ["guard.action", "guard.action"]
    assert span.events[0][1] == {
        "guard.detector": "stopper",
        "guard.label": "hit",
        "guard.score": 0.9,
        "guard.channel": "content",
        "guard.choice": 0,
        "guard.rule": "stopper",
        "guard.action": "cut",
    }
    assert call.attributes["gen_ai.provider.name"] == "scripted"
    for word in (b"SECRET", b"STOP!", b"thought", b"begins", b"Hello", b"Stopped"):
        assert not any(word in body for body in got.raw)


async def test_a_clients_trace_goes_on_and_goes_upstream(got: Receiver) -> None:
    gateway = cutting()
    headers = {"traceparent": PARENT, "tracestate": "vendor=opaque", "baggage": "user=ann"}
    async with traced(gateway) as client:
        await client.post(CHAT, json=ask(), headers=headers)
    (span,) = got.named("chat scripted", SERVER)
    (call,) = got.named("chat scripted", CLIENT)
    _, trace_id, parent_id, _ = PARENT.split("-")
    assert (span.trace_id, span.parent_id) == (trace_id, parent_id)
    sent = gateway.backend.requests[0].trace_context  # type: ignore[attr-defined]
    assert sent == {"traceparent": f"00-{trace_id}-{call.span_id}-01", "tracestate": "vendor=opaque"}


@pytest.mark.parametrize("accept", [True, False])
async def test_what_is_sent_upstream_over_http(got: Receiver, accept: bool) -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hello."))) as upstream, guarded(upstream) as proxy:
        proxy.gateway.tracing = Tracing(accept=accept)
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{proxy.port}{CHAT}"
            await client.post(url, json=ask(), headers={"traceparent": PARENT, "x-request-id": "theirs"})
        await proxy.idle()
        await proxy.gateway.tracing.aclose()
        sent = upstream.request
    (call,) = got.named("chat scripted", CLIENT)
    assert (sent.header("traceparent") or "").startswith(f"00-{call.trace_id}-{call.span_id}-")
    assert (call.trace_id == PARENT.split("-")[1]) is accept
    (span,) = got.named("chat scripted", SERVER)
    assert sent.header("x-request-id") == span.attributes["guard.stream_id"] != "theirs"


async def test_a_client_may_ask_not_to_be_traced(got: Receiver) -> None:
    async with traced(cutting()) as client:
        answer = await client.post(CHAT, json=ask(), headers={"traceparent": PARENT[:-2] + "00"})
    assert answer.status_code == 200
    assert got.spans == []


@pytest.mark.parametrize(
    ("headers", "context"),
    [
        ({}, {}),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"traceparent": PARENT.upper()}, {}),
        ({"traceparent": PARENT + "-x"}, {}),
        ({"traceparent": "ff" + PARENT[2:]}, {}),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, {}),
        ({"traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01"}, {}),
        ({"traceparent": PARENT + "\n"}, {}),
        ({"traceparent": PARENT + "\r\nx: y"}, {}),
        ({"tracestate": "a=b"}, {}),
        ({"traceparent": PARENT, "tracestate": "a=b"}, {"traceparent": PARENT, "tracestate": "a=b"}),
        ({"traceparent": PARENT, "tracestate": "a=" + "b" * 600}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "a=\x1b[31m"}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "a=é"}, {"traceparent": PARENT}),
    ],
)
def test_what_is_taken_of_a_clients_headers(headers: Mapping[str, str], context: Mapping[str, str]) -> None:
    assert trusted_context(headers) == context
    assert trusted_context(headers, accept=False) == {}


async def test_an_upstream_that_fails_is_an_error(got: Receiver) -> None:
    error = UpstreamError("no", code="upstream_unreachable")
    gateway = gateway_of(ScriptedBackend(refuse(error)))
    async with traced(gateway) as client:
        assert (await client.post(CHAT, json=ask())).status_code == 502
    for kind in (SERVER, CLIENT):
        (span,) = got.named("chat scripted", kind)
        assert (span.status, span.attributes["error.type"]) == (ERROR, "upstream_unreachable")


async def test_an_upstream_that_breaks_off_is_an_error(got: Receiver) -> None:
    async with FakeUpstream(reply(*VLLM.answer("Hello.")[:2], RESET)) as upstream, guarded(upstream) as proxy:
        proxy.gateway.tracing = Tracing()
        await proxy.ask(stream=True)
        await proxy.idle()
        await proxy.gateway.tracing.aclose()
    (call,) = got.named("chat m", CLIENT)
    assert (call.status, call.attributes["error.type"]) == (ERROR, "upstream_reset")


async def test_slow_detectors_are_spans_but_not_thousands(got: Receiver) -> None:
    slow = Words("stopper", ["STOP!"])
    slow.slow = True  # type: ignore[misc]
    policy = FixedPolicy(plan_of(slow, actions={"stopper": Cut()}), ["stopper"])
    texts = [content(f"word{number} ") for number in range(MAX_REVIEWS + 50)]
    async with traced(gateway_of(scripted(*answer_of(*texts)), policy)) as client:
        await client.post(CHAT, json=ask())
    (span,) = got.named("chat scripted", SERVER)
    reviews = got.named("review")
    assert len(reviews) == MAX_REVIEWS
    assert {review.parent_id for review in reviews} == {span.span_id}
    assert {review.kind for review in reviews} == {INTERNAL}
    assert span.attributes["guard.reviews_not_shown"] >= len(texts) - MAX_REVIEWS


async def test_findings_are_events_but_not_thousands(got: Receiver) -> None:
    texts = [content("SECRET SECRET and ") for _ in range(MAX_EVENTS)]
    async with traced(cutting(*answer_of(*texts))) as client:
        await client.post(CHAT, json=ask())
    (span,) = got.named("chat scripted", SERVER)
    assert len(span.events) == MAX_EVENTS
    assert span.attributes["guard.events_not_shown"] == MAX_EVENTS


async def test_the_trace_is_named_in_the_audit_and_in_exemplars(
    got: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **fields: Any) -> None:
            lines.append({"event": event, **fields})

    monkeypatch.setattr("guard.proxy.gateway.log", Log())
    gateway = cutting()
    gateway.audit = AuditLog(tmp_path / "audit")
    async with traced(gateway) as client:
        await client.post(CHAT, json=ask())
    (span,) = got.named("chat scripted", SERVER)
    assert {record["trace_id"] for record in records(tmp_path / "audit")} == {span.trace_id}
    assert [line["trace_id"] for line in lines] == [span.trace_id]
    assert span.trace_id in gateway.metrics.render("application/openmetrics-text; version=1.0.0")[1].decode()


async def test_a_hostile_model_name_is_a_short_safe_name(got: Receiver) -> None:
    async with traced(cutting()) as client:
        await client.post(CHAT, json=ask(model="evil\x1b[2J\n" + "x" * 5_000))
    (span,) = [span for span in got.spans if span.kind == SERVER]
    assert span.name.startswith("chat evil\\x1b[2J\\x0ax")
    assert len(span.name) < 400


# --- a receiver that does not take them


async def answers(gateway: Gateway, count: int = 5) -> None:
    async with traced(gateway) as client:
        for _ in range(count):
            answer = await client.post(CHAT, json=ask(stream=True))
            assert read_stream(answer.content)[-1]["guard"]["rule"] == "stopper"


@pytest.mark.parametrize("status", [400, 500])
async def test_a_receiver_that_refuses_disturbs_no_stream(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with receiver(status) as refusing:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", refusing.url)
        monkeypatch.setattr("guard.observe.traces.FLUSH_SECONDS", 0.2)
        await asyncio.wait_for(answers(cutting()), 10)


async def test_a_receiver_that_is_down_disturbs_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setattr("guard.observe.traces.FLUSH_SECONDS", 0.2)
    await asyncio.wait_for(answers(cutting()), 10)


# --- on and off


@pytest.mark.parametrize(
    ("enabled", "env", "on"),
    [
        (None, {}, False),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (True, {}, True),
        (True, {"OTEL_SDK_DISABLED": "true"}, False),
        (False, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_when_it_is_on(enabled: bool | None, env: Mapping[str, str], on: bool) -> None:
    assert asked_for(enabled, env) is on


def test_without_it_neither_sdk_nor_exporter_is_loaded() -> None:
    code = (
        "import sys, asyncio; from guard.proxy.app import create_app; from guard.settings import Settings;"
        "create_app(Settings.load(env={}, overrides={'upstream': {'url': 'http://127.0.0.1:9'},"
        " 'fallback': {'enabled': False}})); print([name for name in sys.modules if 'sdk' in name or 'otlp' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


async def test_settings_and_environment_open_it(got: Receiver) -> None:
    given = Settings.load(env={}, overrides={"upstream": {"url": "http://127.0.0.1:9"}, "fallback": {"enabled": False}})
    gateway = create_gateway(given, policy=words_policy())
    assert gateway.tracing is not None
    await gateway.tracing.aclose()
    await gateway.backend.aclose()
    assert open_tracing(given, {}) is None


def test_an_extra_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'qwq-guard\[otel\]', or set tracing.enabled: false"):
        open_tracing(Settings.load(env={}, overrides={"tracing": {"enabled": True}}), {})
