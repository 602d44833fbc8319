"""The composition root: settings in, two ASGI apps out. Everything a process holds is made here and nowhere else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from fastapi import FastAPI

from guard.backends.base import Backend
from guard.events import Deadline
from guard.observe.audit import AuditLog
from guard.observe.known import Known, known_of
from guard.observe.metrics import Metrics
from guard.observe.traces import Tracing, asked_for
from guard.policy import CompiledPolicy, load_policy
from guard.proxy.backends import IN_PROCESS, build_backend, start_backend
from guard.proxy.clocks import Clocks
from guard.proxy.gateway import Gateway
from guard.proxy.requests import FORBIDDEN, STRIPPED
from guard.proxy.routes import guarded_routes
from guard.settings import Settings, SettingsError
from guard.wire.chunks import COUNTED
from guard.wire.failures import SENTENCES

REFUSALS = (
    "audit_unavailable",
    "body_too_large",
    "body_too_slow",
    "encoded_body",
    "invalid_json",
    "invalid_request",
    "model_not_found",
    "not_guarded",
    "not_reviewable",
    "not_supported",
    "overloaded",
    "shutting_down",
)
UPSTREAM_CODES = (
    *SENTENCES,
    *(f"deadline_{kind}" for kind in Deadline),
    "breaker_open",
    "generation_failed",
    "model_unavailable",
    "not_recorded",
    "queue_full",
    "repair_unsupported",
    "shut_down",
    "upstream_empty",
    "upstream_encoding",
    "upstream_error",
    "upstream_incomplete",
    "upstream_protocol",
    "upstream_redirect",
    "upstream_reset",
    "upstream_timeout",
    "upstream_too_large",
    "upstream_unreachable",
)


def create_gateway(
    settings: Settings, *, policy: CompiledPolicy | None = None, backend: Backend | None = None
) -> Gateway:
    """What the apps share. Raises `PolicyError` for a policy that cannot be used, `AuditError` for an audit that cannot
    be written."""
    policy = policy or load_policy(settings.policy)
    policy.load()
    upstream = settings.upstream

    def known(policy: CompiledPolicy) -> Known:
        return replace(
            known_of(policy),
            backends=[upstream.name if upstream else "", IN_PROCESS, backend.name if backend else ""],
            models=upstream.models if upstream else (),
            fields=[*COUNTED, *STRIPPED, *FORBIDDEN, "logprobs"],
            reasons=REFUSALS,
            upstream_codes=UPSTREAM_CODES,
        )

    metrics = Metrics(known(policy), policy=policy.name, policy_version=policy.version, mode=policy.mode)
    times = upstream.timeouts if upstream else None
    clocks = Clocks(keep_alive=settings.keep_alive)
    if times is not None:
        # a fallback is given as much time again as the upstream that it stands in for
        first_byte = times.first_byte * (2 if settings.fallback.enabled else 1)
        clocks = Clocks(first_byte, times.between_events, total=times.total, keep_alive=settings.keep_alive)
    return Gateway(
        policy=policy,
        backend=backend or build_backend(settings, metrics),
        metrics=metrics,
        known=known,
        clocks=clocks,
        max_streams=settings.limits.max_streams,
        max_choices=settings.limits.max_choices,
        max_body=int(settings.limits.body_bytes),
        models=upstream.models if upstream else (),
        reasoning_field="" if settings.reasoning_field == "upstream" else settings.reasoning_field,
        pass_through=upstream is not None and upstream.auth == "pass_through",
        strip=settings.strip_request_fields,
        accept_request_ids=settings.log.request_ids == "accept",
        audit=open_audit(settings, metrics),
        tracing=open_tracing(settings, os.environ),
    )


def open_audit(settings: Settings, metrics: Metrics) -> AuditLog | None:
    """The audit that the settings ask for. Raises `AuditError` if it cannot be written."""
    wanted = settings.audit
    if wanted.folder is None:
        return None
    audit = AuditLog(
        wanted.folder,
        on_error=wanted.on_error,
        fsync=wanted.fsync,
        max_bytes=int(wanted.max_bytes),
        excerpt_chars=wanted.excerpt_chars,
        key=wanted.key,
        metrics=metrics,
    )
    audit.open()
    return audit


def open_tracing(settings: Settings, env: Mapping[str, str]) -> Tracing | None:
    """The tracing that the settings, or the standard variables in `env`, ask for. Raises `SettingsError`."""
    if not asked_for(settings.tracing.enabled, env):
        return None
    try:
        return Tracing(accept=settings.tracing.accept)
    except ModuleNotFoundError as error:
        says = f"tracing is asked for, but {error.name} is not installed: pip install 'qwq-guard[otel]'"
        raise SettingsError([f"{says}, or set tracing.enabled: false"]) from error


def create_app(
    settings: Settings | None = None,
    *,
    policy: CompiledPolicy | None = None,
    backend: Backend | None = None,
    gateway: Gateway | None = None,
) -> FastAPI:
    """The app that clients reach. `app.state.gateway` is what it holds.

    Nothing is documented or served but the guarded routes. On start the backend's model is loaded in the background;
    on stop the backend is closed.
    """
    held = gateway or create_gateway(settings or Settings.load(env={}), policy=policy, backend=backend)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            async with start_backend(held):
                yield
        finally:
            if held.audit is not None:
                await held.audit.aclose()
            if held.tracing is not None:
                await held.tracing.aclose()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, routes=guarded_routes(held))
    app.state.gateway = held
    return app
