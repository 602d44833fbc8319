"""Which server an upstream is, found out by what it says of itself.

    hosted (by name) ─► /v1/models: who owns the models ─► the servers' own endpoints ─► unknown

Small GET requests, one after the other, each with a limit of time and size; nothing waits for them. Hosted services
are told by their host name and asked nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from guard.backends.base import UpstreamError
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

SECONDS: Final = 3.0
"""For one endpoint."""
LONGEST: Final = 256 * 1024
"""Bytes of one answer; longer ones say nothing."""

HOSTED: Final = (
    ("openrouter.ai", OPENROUTER),
    ("aliyuncs.com", DASHSCOPE),
    ("openai.com", OPENAI),
    ("openai.azure.com", OPENAI),
)
OWNERS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {"vllm": VLLM, "sglang": SGLANG, "llamacpp": LLAMACPP, "library": OLLAMA, "system": OPENAI, "openai": OPENAI}
)
"""What servers write in `owned_by` of their models. TGI and transformers write the model's own name or author there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe found. `reached` is false if nobody answered at all: it is worth asking again."""

    dialect: Dialect | None
    reached: bool = True
    version: str = ""


def _has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda body: all(name in body for name in names)


_ENDPOINTS: Final[tuple[tuple[str, Dialect, Callable[[Mapping[str, Any]], bool]], ...]] = (
    ("/props", LLAMACPP, _has("default_generation_settings")),
    ("/server_info", SGLANG, _has("internal_states")),
    ("/get_server_info", SGLANG, _has("internal_states")),
    ("/info", TGI, _has("model_id", "max_total_tokens")),
    ("/api/version", OLLAMA, lambda body: set(body) == {"version"}),
    ("/version", VLLM, lambda body: set(body) == {"version"}),
    ("/openapi.json", TRANSFORMERS, lambda body: "/load_model" in (body.get("paths") or ())),
)
"""The servers' own endpoints, and how their answer is known. vLLM's comes after those who answer `/version`
too."""
_VERSION_OF: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "vllm": ("/version", "version"),
        "sglang": ("/server_info", "version"),
        "llamacpp": ("/props", "build_info"),
        "ollama": ("/api/version", "version"),
    }
)


_NOBODY: Final = ("upstream_unreachable", "upstream_timeout", "upstream_reset", "shut_down", "server_overloaded")
"""Nobody is there, or not yet: llama.cpp answers everything with 503 while it loads its model."""


async def find_dialect(client: UpstreamClient) -> Found:
    """Ask the upstream what it is. Never raises `UpstreamError`."""
    host = urlsplit(client.base).hostname or ""
    for domain, dialect in HOSTED:
        if host == domain or host.endswith(f".{domain}"):
            return Found(dialect)
    reached, models = await _ask(client, f"{client.base}/models")
    owned = models.get("data")
    first = owned[0] if isinstance(owned, list) and owned else None
    owner = OWNERS.get(str(first.get("owned_by"))) if isinstance(first, dict) else None
    if owner is not None:
        path, name = _VERSION_OF.get(owner.name, ("", ""))
        answer = (await _ask(client, client.root + path))[1] if path else {}
        return Found(owner, version=str(answer.get(name, ""))[:40])
    if not reached:
        return Found(None, reached=False)
    for path, dialect, fits in _ENDPOINTS:
        _, answer = await _ask(client, client.root + path)
        if answer and fits(answer):
            name = _VERSION_OF.get(dialect.name, ("", "version"))[1]
            return Found(dialect, version=str(answer.get(name, ""))[:40])
    return Found(None)


async def _ask(client: UpstreamClient, url: str) -> tuple[bool, dict[str, Any]]:
    """Whether anybody answered, and the JSON object; empty if there was none."""
    try:
        return True, await client.json("GET", url, seconds=SECONDS, limit=LONGEST)
    except UpstreamError as error:
        return error.code not in _NOBODY, {}
