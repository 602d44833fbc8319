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
from guard.backends.dialects import DIALECTS
from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from guard.backends.templates import TemplateFault, load_template
from guard.observe.metrics import Metrics
from guard.proxy.gateway import Gateway, log
from guard.settings import EMBEDDED, Settings, SettingsError, Upstream
from guard.wire.think import ThinkStart

if TYPE_CHECKING:
    from guard.backends.transformers import TransformersBackend

IN_PROCESS: Final = "in_process"
"""The configured name of the in-process model, in headers and metrics."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between attempts to find out what an upstream is that does not answer; each pause is twice the last."""
EXTRA: Final = "pip install 'qwq-guard[transformers]'"


def build_backend(settings: Settings, metrics: Metrics) -> Backend:
    """The backend for `settings`. Raises `SettingsError` if it needs what is not installed, a model's folder
    that is not there, or a chat template that cannot be used."""
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
    """Load the in-process model and find out what upstream is, both in the background while the app runs; close the
    backend when it stops."""
    backend = gateway.backend
    remote, local = (backend.first, backend.second) if isinstance(backend, FailoverBackend) else (backend, backend)
    tasks: list[asyncio.Task[None]] = []
    if isinstance(remote, HttpBackend) and not remote.recognised:
        tasks.append(asyncio.create_task(_recognise(remote)))
    start = getattr(local, "start", None)
    if start is not None:
        tasks.append(asyncio.create_task(_load(start)))
        if local is backend:
            gateway.ready = lambda: bool(getattr(local, "ready", True))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await backend.aclose()


async def _load(start: Callable[[], Awaitable[None]]) -> None:
    try:
        await start()
    except UpstreamError as error:
        log.error("the in-process model cannot be loaded", error=error.message)


async def _recognise(upstream: HttpBackend) -> None:
    """Ask until somebody answers. Nothing waits for it, and nothing fails by it."""
    pause = FIRST_PAUSE
    while not (found := await upstream.recognise()).reached:
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    log.info(
        "upstream recognised" if found.dialect else "upstream not recognised; set upstream.dialect to have repairs",
        upstream=upstream.name,
        dialect=upstream.dialect.name,
        version=found.version,
        repairs=sorted(upstream.dialect.repairs),
    )


def _switched(metrics: Metrics, first: str, second: str, code: str) -> None:
    metrics.failed_over(first, second)
    metrics.upstream_failed(code, first)
    log.warning("failover", from_backend=first, to_backend=second, code=code)


def _http(settings: Settings, upstream: Upstream) -> HttpBackend:
    limits = settings.limits
    dialect = DIALECTS.get(upstream.dialect)
    native = upstream.native.asked_for()
    if dialect is not None and (unknown := native.keys() - dialect.native):
        names = ", ".join(sorted(unknown))
        raise SettingsError([f"upstream.native: `{dialect.name}` does not know {names}: remove it"])
    try:
        template = load_template(upstream.chat_template) if upstream.chat_template is not None else None
    except TemplateFault as fault:
        raise SettingsError([f"upstream.chat_template: {fault}"]) from fault
    return HttpBackend(
        url=upstream.url,
        name=upstream.name,
        api_key=upstream.api_key.get_secret_value() if upstream.api_key else None,
        auth=upstream.auth,
        dialect=dialect,
        start=_starts(upstream),
        template=template,
        native=native,
        allow=frozenset(settings.allow_response_fields),
        connect_timeout=upstream.timeouts.connect,
        max_line=int(limits.sse_line_bytes),
        max_event=int(limits.sse_event_bytes),
        max_total=int(limits.sse_total_bytes),
    )


def _starts(upstream: Upstream) -> Callable[[str], ThinkStart | None]:
    """Where a model's output begins, as far as it is configured."""

    def start(model: str) -> ThinkStart | None:
        for glob, state in upstream.start_state.items():
            if fnmatchcase(model.lower(), glob.lower()):
                return ThinkStart(state)
        return None

    return start


def _in_process(settings: Settings, model: str) -> TransformersBackend:
    from guard.backends.smollm2 import MODEL_NAME, embedded_model
    from guard.backends.transformers import TransformersBackend

    local = settings.in_process
    folder = Path(model).expanduser()
    if model.startswith(("/", "./", "../", "~")) and not folder.is_dir():
        which = "fallback" if settings.upstream is not None and settings.fallback.model else "in_process"
        raise SettingsError([f"{which}.model: there is no folder {folder}; give one, a hub id, or `{EMBEDDED}`"])
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
