"""Which backend the settings ask for, and how it is started and stopped with the app.

upstream and fallback     FailoverBackend(HttpBackend, in-process)
upstream only             HttpBackend
no upstream               the in-process model
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.backends.base import Backend, UpstreamError
from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from guard.observe.metrics import Metrics
from guard.proxy.gateway import Gateway, log
from guard.settings import EMBEDDED, Settings, SettingsError, Upstream
from guard.wire.think import ThinkStart, start_state

if TYPE_CHECKING:
    from guard.backends.transformers import TransformersBackend

IN_PROCESS: Final = "in_process"
"""The configured name of the in-process model, in headers and metrics."""
EXTRA: Final = "pip install 'qwq-guard[transformers]'"


def build_backend(settings: Settings, metrics: Metrics) -> Backend:
    """The backend for `settings`. Raises `SettingsError` if it needs something that is not installed."""
    if settings.upstream is None:
        if not has_transformers():
            raise SettingsError(
                [f"no upstream is set, and the in-process model is not installed: set `upstream.url`, or {EXTRA}"]
            )
        return _in_process(settings, settings.in_process.model)
    first = _http(settings, settings.upstream)
    if not settings.fallback.enabled:
        return first
    if not has_transformers():
        log.warning("no fallback", reason=f"transformers is not installed; {EXTRA}, or set fallback.enabled: false")
        return first
    metrics.breaker(first.name, False)
    return FailoverBackend(
        first,
        _in_process(settings, settings.fallback_model),
        threshold=settings.fallback.failures,
        cool_down=settings.fallback.cool_down,
        patience=settings.upstream.timeouts.first_byte,
        on_failover=lambda first, second, code: _switched(metrics, first, second, code),
        on_breaker=lambda open: metrics.breaker(first.name, open),
    )


@contextlib.asynccontextmanager
async def start_backend(gateway: Gateway) -> AsyncIterator[None]:
    """Load the in-process model in the background while the app runs; close the backend when it stops."""
    backend = gateway.backend
    local = backend.second if isinstance(backend, FailoverBackend) else backend
    loading: asyncio.Task[None] | None = None
    start = getattr(local, "start", None)
    if start is not None:
        loading = asyncio.create_task(_load(start))
        if local is backend:
            gateway.ready = lambda: bool(getattr(local, "ready", True))
    try:
        yield
    finally:
        if loading is not None:
            loading.cancel()
            await asyncio.wait((loading,))
        await backend.aclose()


async def _load(start: Callable[[], Awaitable[None]]) -> None:
    try:
        await start()
    except UpstreamError as error:
        log.error("the in-process model cannot be loaded", error=error.message)


def _switched(metrics: Metrics, first: str, second: str, code: str) -> None:
    metrics.failed_over(first, second)
    metrics.upstream_failed(code, first)
    log.warning("failover", from_backend=first, to_backend=second, code=code)


def _http(settings: Settings, upstream: Upstream) -> HttpBackend:
    limits = settings.limits
    return HttpBackend(
        url=upstream.url,
        name=upstream.name,
        api_key=upstream.api_key.get_secret_value() if upstream.api_key else None,
        auth=upstream.auth,
        start=_starts(upstream),
        allow=frozenset(settings.allow_response_fields),
        connect_timeout=upstream.timeouts.connect,
        max_line=int(limits.sse_line_bytes),
        max_event=int(limits.sse_event_bytes),
        max_total=int(limits.sse_total_bytes),
    )


def _starts(upstream: Upstream) -> Callable[[str], ThinkStart]:
    """Where a model's output begins: as configured, else as known of its name."""

    def start(model: str) -> ThinkStart:
        for glob, state in upstream.start_state.items():
            if fnmatchcase(model.lower(), glob.lower()):
                return ThinkStart(state)
        return start_state(model)

    return start


def _in_process(settings: Settings, model: str) -> TransformersBackend:
    from guard.backends.smollm2 import MODEL_NAME, embedded_model
    from guard.backends.transformers import TransformersBackend

    local = settings.in_process
    folder = Path(model).expanduser()
    return TransformersBackend(
        (lambda progress: embedded_model(progress=progress))
        if model == EMBEDDED
        else folder
        if folder.is_dir()
        else model,
        name=IN_PROCESS,
        model_name=MODEL_NAME if model == EMBEDDED else folder.name if folder.is_dir() else model,
        queue_limit=local.queue,
        max_tokens=local.max_tokens,
        threads=local.torch_threads,
        trust_remote_code=local.trust_remote_code,
    )


def has_transformers() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def uses_embedded(settings: Settings) -> bool:
    """Will the embedded model be loaded?"""
    if settings.upstream is None:
        return settings.in_process.model == EMBEDDED
    return settings.fallback.enabled and settings.fallback_model == EMBEDDED and has_transformers()
