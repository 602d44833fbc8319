"""Traces: one span for each request, with OpenTelemetry's conventions for generative AI. Off unless asked for.

    chat qwq-32b                  SERVER    the request; findings and actions are its events
      ├─ chat qwq-32b             CLIENT    each call of a backend; its context goes upstream (W3C Trace Context)
      └─ review                   INTERNAL  each batch of events that detectors reviewed in a thread

No text of a model or a prompt is in any of them. Spans are sent in the background, by OTLP over HTTP as the standard
environment variables say; if nobody takes them, they are dropped.

Attributes: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans (in development there); the guard's own
begin with `guard.`. OpenTelemetry is imported only when tracing is on.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from guard import __version__
from guard.events import Command, FailStream, FinishChoice, Flag, RecordDecision, Resume, SendText, SendUsage
from guard.observe.logs import printable

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_SECONDS: Final = 2.0
"""How long the end of the process waits for spans that have not been sent."""
MAX_EVENTS: Final = 128
"""Findings that one span tells of; OpenTelemetry's own limit, which would drop the first ones instead."""
MAX_REVIEWS: Final = 128
"""Spans of reviews in one trace; a long answer has thousands."""
_PARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A version 00 `traceparent` (W3C Trace Context, 3.2.2)."""
_LONGEST_STATE: Final = 512
TRACE_HEADERS: Final = ("traceparent", "tracestate")
_OPERATIONS: Final = {"chat": "chat", "completions": "text_completion"}
_ASKED: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}


def asked_for(enabled: bool | None, env: Mapping[str, str]) -> bool:
    """Is tracing on? Where the setting does not say, the standard variables do."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if enabled is not None:
        return enabled
    return any(env.get(name) for name in ENDPOINTS) and env.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


def trusted_context(headers: Mapping[str, str], *, accept: bool = True) -> dict[str, str]:
    """The trace context of a request, as far as it is well-formed: no baggage, no `tracestate` without its parent."""
    parent = headers.get("traceparent", "")
    if not accept or not _PARENT.fullmatch(parent):
        return {}
    state = headers.get("tracestate", "")
    if not state or len(state) > _LONGEST_STATE or not state.isascii() or not state.isprintable():
        return {"traceparent": parent}
    return {"traceparent": parent, "tracestate": state}


class Tracing:
    """The traces of one process. Raises `ModuleNotFoundError` where OpenTelemetry is not installed."""

    def __init__(self, exporter: SpanExporter | None = None, *, accept: bool = True) -> None:
        """`accept` continues the traces of clients. Without an `exporter`, spans go where the environment says."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "qwq-guard"}
        resource = Resource.create({"service.version": __version__, **name})
        self._accept = accept
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("guard", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def stream(
        self, route: str, model: str, headers: Mapping[str, str], body: Mapping[str, Any], told: Mapping[str, str]
    ) -> StreamTrace:
        """Begin the trace of a request. `told` is what the guard calls it and its policy."""
        from opentelemetry.trace import SpanKind

        operation = _OPERATIONS[route]
        shown = printable(model)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.request.model": shown,
            "gen_ai.request.stream": body.get("stream") is True,
            **{f"guard.{name}": value for name, value in told.items()},
        }
        for name, attribute in _ASKED.items():
            value = body.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1 << 62:
                attributes[attribute] = value
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if isinstance(limit, int) and limit < 1 << 62:
            attributes["gen_ai.request.max_tokens"] = limit
        if (choices := body.get("n") or 1) != 1:
            attributes["gen_ai.request.choice.count"] = choices
        parent = self._propagator.extract(trusted_context(headers, accept=self._accept))
        name = f"{operation} {shown}".strip()
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        return StreamTrace(self, span, name, {"gen_ai.operation.name": operation, "gen_ai.request.model": shown})

    def flush(self) -> None:
        """Send what waits, now."""
        self._provider.force_flush()

    async def aclose(self) -> None:
        """Send what waits, for two seconds at most."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, daemon=True, name="tracing-end").start()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await done.wait()
        except TimeoutError:
            pass


class StreamTrace:
    """The trace of one request. Safe to use from the event loop only."""

    def __init__(self, tracing: Tracing, span: Span, name: str, common: Mapping[str, Any]) -> None:
        from opentelemetry.trace import format_trace_id, set_span_in_context

        self.trace_id = format_trace_id(span.get_span_context().trace_id)
        self.sampled = span.get_span_context().trace_flags.sampled
        self._tracing = tracing
        self._span = span
        self._name = name
        self._common = common
        self._context = set_span_in_context(span)
        self._began = perf_counter()
        self._events = 0
        self._reviews = 0
        self._spoken = False
        self._finishes: dict[int, str] = {}

    def note(self, commands: Sequence[Command]) -> None:
        """Tell of what is about to happen."""
        for command in commands:
            if isinstance(command, SendText):
                if not self._spoken:
                    self._spoken = True
                    seconds = perf_counter() - self._began
                    self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
            elif isinstance(command, RecordDecision):
                self._decided(command)
            elif isinstance(command, Resume):
                self._event("guard.repair", {"guard.repair": command.repair.how, "guard.attempt": command.attempt})
            elif isinstance(command, FinishChoice):
                self._finishes[command.choice] = command.reason
            elif isinstance(command, SendUsage):
                self._used(command)
            elif isinstance(command, FailStream):
                self._event("guard.failed", {"error.type": command.code})

    @contextmanager
    def calling(self) -> Iterator[Call]:
        """A backend is called. `Call.headers` are for it."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        tracer = self._tracing._tracer
        span = tracer.start_span(self._name, self._context, SpanKind.CLIENT, attributes=self._common)
        headers: dict[str, str] = {}
        self._tracing._propagator.inject(headers, set_span_in_context(span))
        call = Call(span, headers)
        try:
            yield call
        finally:
            span.end()

    @contextmanager
    def reviewing(self, events: int) -> Iterator[None]:
        """Detectors review a batch of `events` in a thread."""
        self._reviews += 1
        if self._reviews > MAX_REVIEWS:
            yield
            return
        span = self._tracing._tracer.start_span("review", self._context, attributes={"guard.events": events})
        try:
            yield
        finally:
            span.end()

    def close(self, outcome: str, *, error: str = "", backend: str = "", response_id: str = "") -> None:
        """The stream is over."""
        from opentelemetry.trace import StatusCode

        span = self._span
        span.set_attribute("guard.outcome", outcome)
        span.set_attribute("gen_ai.provider.name", backend or "none")
        if response_id:
            span.set_attribute("gen_ai.response.id", response_id)
        if self._finishes:
            reasons = [self._finishes[choice] for choice in sorted(self._finishes)]
            span.set_attribute("gen_ai.response.finish_reasons", reasons)
        if self._reviews > MAX_REVIEWS:
            span.set_attribute("guard.reviews_not_shown", self._reviews - MAX_REVIEWS)
        if self._events > MAX_EVENTS:
            span.set_attribute("guard.events_not_shown", self._events - MAX_EVENTS)
        if error:
            span.set_attribute("error.type", error)
            span.set_status(StatusCode.ERROR, error)
        span.end()

    def _decided(self, command: RecordDecision) -> None:
        finding, decision = command.finding, command.decision
        attributes: dict[str, str | float] = {
            "guard.detector": finding.detector,
            "guard.label": finding.label,
            "guard.score": finding.score,
            "guard.channel": str(command.lane.channel),
            "guard.choice": command.lane.choice,
            "guard.rule": decision.rule,
            "guard.action": type(decision.action).__name__.lower(),
        }
        self._event("guard.finding" if isinstance(decision.action, Flag) else "guard.action", attributes)

    def _event(self, name: str, attributes: Mapping[str, str | float]) -> None:
        self._events += 1
        if self._events <= MAX_EVENTS:
            self._span.add_event(name, attributes)

    def _used(self, command: SendUsage) -> None:
        usage = command.usage
        self._span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        self._span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
        self._span.set_attribute("guard.usage_estimated", command.estimated)
        if usage.reasoning_tokens is not None:
            self._span.set_attribute("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens)


class Call:
    """One call of a backend."""

    def __init__(self, span: Span, headers: Mapping[str, str]) -> None:
        self.headers = headers
        """Trace context for the request."""
        self._span = span

    def answered(self, backend: str) -> None:
        """`backend` has accepted the request."""
        self._span.set_attribute("gen_ai.provider.name", backend)
        self._span.add_event("guard.answered")

    def failed(self, code: str) -> None:
        """It refused, or broke off."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", code)
        self._span.set_status(StatusCode.ERROR, code)
