"""Everything one proxy process holds: configuration, policy, backend, metrics, and the streams that are open.

serving --drain()--> draining: refuses new streams, waits --grace--> ends the rest with a terminal event
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers

from guard.backends.base import Backend, Decoding, needs_chat
from guard.contract import Channel, Context
from guard.engine.stream import StreamGuard
from guard.observe.audit import AuditLog, StreamAudit
from guard.observe.interventions import Interventions
from guard.observe.metrics import Known, Metrics
from guard.observe.traces import TRACE_HEADERS, StreamTrace, Tracing
from guard.policy import CompiledPolicy
from guard.proxy.clocks import Clocks
from guard.proxy.identity import Identity, identify
from guard.proxy.pump import Pump
from guard.proxy.requests import ClientRequest
from guard.proxy.stream_counts import StreamCounts
from guard.proxy.summary import Summary
from guard.wire.errors import RequestError

FLUSH_SECONDS = 2.0

log = structlog.get_logger("guard")


@dataclass(slots=True)
class Gateway:
    """Shared by all requests of a process. Nothing in it belongs to one request but `live`."""

    policy: CompiledPolicy
    backend: Backend
    metrics: Metrics
    clocks: Clocks = field(default_factory=Clocks)
    max_streams: int = 512
    max_choices: int = 4
    max_body: int = 16 << 20
    models: Sequence[str] = ()
    """Models that may be asked for; empty for whatever upstream knows."""
    reasoning_field: str = ""
    """How reasoning is spelled to clients; empty for as upstream does."""
    pass_through: bool = False
    """Clients' credentials go to the upstream."""
    strip: bool = True
    """Request fields that would switch review off or harm the backend are taken out."""
    accept_request_ids: bool = True
    """Well-formed `x-request-id` headers are kept."""
    audit: AuditLog | None = None
    """Where decisions are recorded."""
    tracing: Tracing | None = None
    """Where requests are traced."""
    interventions: Interventions = field(default_factory=Interventions)
    """What rules did last."""
    ready: Callable[[], bool] = lambda: True
    known: Callable[[CompiledPolicy], Known] | None = None
    """The names that a policy brings into metrics."""
    counts: StreamCounts | None = None
    """Where workers tell each other how many streams they have open."""
    draining: bool = False
    live: set[Pump] = field(default_factory=set)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is left to wait for in a drain."""

    def identify(self, headers: Headers) -> Identity:
        """What a request with these headers is called."""
        return identify(headers, accept=self.accept_request_ids)

    def admit(self, model: str) -> None:
        """Raise `RequestError` if a new stream cannot be taken, or not for this model. Call `opened` before anything
        else can run, so that no stream is overlooked."""
        if self.draining:
            raise RequestError("The guard is shutting down; try again.", status=503, code="shutting_down")
        if (len(self.live) if self.counts is None else self.counts.total()) >= self.max_streams:
            raise RequestError(
                f"All {self.max_streams} streams are in use; try again in a moment.", status=503, code="overloaded"
            )
        if self.audit is not None and not self.audit.writable():
            message = "The guard cannot record its decisions, so it takes no new streams; try again in a moment."
            raise RequestError(message, status=503, code="audit_unavailable")
        self.check_model(model)

    def unready(self) -> str:
        """Why no new streams are taken, "" if they are."""
        if self.draining:
            return "draining"
        if not self.ready():
            return "the model is being loaded"
        return "" if self.audit is None or self.audit.writable() else "the audit cannot be written"

    def check_model(self, model: str) -> None:
        """Raise `RequestError` if models are configured and this is none of them."""
        if self.models and model and model not in self.models:
            known = ", ".join(self.models)
            message = f"The model `{model[:200]}` is not configured here; known are: {known}."
            raise RequestError(message, status=404, code="model_not_found", param="model")

    def review(self, request: ClientRequest) -> tuple[StreamGuard, bool, bool]:
        """The engine for a request; whether it must be kept off the event loop; whether prompts are watched."""
        plan = self.metrics.timed(self.policy.plan(request.model))
        context = Context(prompt=request.prompt, model=request.model, max_tokens=request.max_tokens)
        able = self.backend.capabilities
        guard = StreamGuard(
            plan,
            context,
            choices=request.choices,
            repairs=able.chat_repairs if request.route == "chat" and needs_chat(request.body) else able.repairs,
            structured=request.structured,
        )
        return guard, plan.slow, bool(plan.watch.get(Channel.PROMPT))

    def decoding(self) -> Decoding | None:
        """What the policy keeps an in-process model from writing."""
        kept = self.policy.in_process
        if not (kept.ban_scripts or kept.break_cycles):
            return None
        return Decoding(frozenset(kept.ban_scripts), kept.break_cycles)

    def headers(self, identity: Identity) -> dict[str, str]:
        """What every answer carries: nothing that depends on a verdict."""
        return {
            "x-request-id": identity.request_id,
            "x-guard-request-id": identity.stream_id,
            "x-guard-policy": f"{self.policy.name}@{self.policy.version}",
        }

    def told(self, identity: Identity) -> dict[str, str]:
        """The part of the `guard` object that is the same for every choice."""
        return {
            "policy": self.policy.name,
            "policy_version": self.policy.version,
            "request_id": identity.request_id,
        }

    def record(self, identity: Identity, route: str, model: str) -> StreamAudit | None:
        """The audit of a stream, if there is one."""
        if self.audit is None:
            return None
        policy = f"{self.policy.name}@{self.policy.version}"
        return self.audit.stream({**identity.told(), "route": route, "model": model, "policy": policy})

    def trace(self, identity: Identity, request: ClientRequest, headers: Headers) -> StreamTrace | None:
        """The trace of a stream, if there is one. `headers` may belong to a client's trace."""
        if self.tracing is None:
            return None
        # two headers of a name are none: they may come from two who do not know of each other
        once = {name: headers[name] for name in TRACE_HEADERS if len(headers.getlist(name)) == 1}
        told = {**identity.told(), "policy": f"{self.policy.name}@{self.policy.version}"}
        return self.tracing.stream(request.route, request.model, once, request.body, told)

    def refused(self, error: RequestError, identity: Identity, route: str, model: str = "") -> None:
        """A request was turned down before a stream was opened."""
        self.metrics.request_refused(error.code, route, model)
        log.info("refused", **identity.told(), route=route, model=model, status=error.status, error=error.code)

    def closed(self, summary: Summary, request: ClientRequest, identity: Identity, seconds: float) -> None:
        """One line for the log; no text of the model, no credentials."""
        log.info(
            "stream",
            **identity.told(),
            route=request.route,
            model=request.model,
            outcome=summary.outcome,
            backend=summary.backend,
            error=summary.error or None,
            seconds=round(seconds, 3),
            tokens={channel: round(count) for channel, count in summary.tokens.items()},
        )

    def adopt(self, policy: CompiledPolicy) -> None:
        """Put `policy`, which is loaded, in force for streams that open from now on."""
        self.policy = policy
        known = self.known(policy) if self.known else None
        self.metrics.policy_taken(policy.name, policy.version, mode=policy.mode, known=known)

    def opened(self, pump: Pump) -> None:
        self.live.add(pump)
        if self.counts is not None:
            self.counts.set(len(self.live))

    def gone(self, pump: Pump) -> None:
        self.live.discard(pump)
        if self.counts is not None:
            self.counts.set(len(self.live))
        if not self.live:
            self._idle.set()

    def hurry(self) -> None:
        """Whoever waits for the drain does not want to: end the open streams now."""
        self._idle.set()

    async def drain(self, grace: float, flush: float = FLUSH_SECONDS) -> None:
        """Refuse new streams, wait up to `grace` seconds for open ones, then end each with its terminal event and wait
        up to `flush` seconds for clients to take it."""
        self.draining = True
        await self._wait_idle(grace)
        for pump in tuple(self.live):
            pump.shut_down()
        await self._wait_idle(flush)

    async def _wait_idle(self, seconds: float) -> None:
        self._idle.clear()
        if self.live:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
