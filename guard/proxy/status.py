"""What an operator sees at a glance: of one process, and of several put together.

    gateway ── of_process ──> what one process knows: policy, backends, what rules did last
                                  |  (a worker tells it to its parent as JSON)
                                  v
    admin port: together(readiness, rates, reload, [process, ...], ...) ──> /status.json, and / (status_page.py)

No text of a model or a client is in it, but for request ids and names of models, which clients choose.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from guard import __version__
from guard.backends.base import Backend
from guard.backends.failover import FailoverBackend
from guard.observe.interventions import SIZE
from guard.observe.rates import Window
from guard.policy import CompiledPolicy
from guard.policy.compile import ACTION_NAMES
from guard.proxy.gateway import Gateway
from guard.proxy.reload import Reloaded

STARTED: Final = time.time()
KINDS: Final = ("interventions", "flags")


def of_process(gateway: Gateway) -> dict[str, Any]:
    """What this process knows, as JSON can carry it."""
    return {
        "pid": os.getpid(),
        "started": STARTED,
        "streams": len(gateway.live),
        "limit": gateway.max_streams,
        "policy": _policy(gateway.policy),
        "backends": _backends(gateway),
        "interventions": [_entry(asdict(each)) for each in gateway.interventions.acted()],
        "flags": [_entry(asdict(each)) for each in gateway.interventions.flagged()],
    }


def together(
    readiness: Mapping[str, Any],
    windows: Sequence[Window],
    reloaded: Reloaded | None,
    processes: Sequence[Mapping[str, Any]],
    workers: Sequence[Mapping[str, Any]],
    entries: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """The body of `/status.json`. `processes` are those that answered, `workers` all there are; `entries` has, for each
    of `KINDS`, what rules did last in any of them."""
    first = processes[0] if processes else {}
    return {
        "guard": {"version": __version__, "started": iso(STARTED), "now": iso(time.time())},
        "ready": readiness["ready"],
        "reason": readiness["reason"],
        "streams": {"open": readiness["streams"], "limit": first.get("limit")},
        "rates": [window.as_json() for window in windows],
        "policy": {
            "name": readiness["policy"],
            "version": readiness["policy_version"],
            **first.get("policy", {"mode": None, "description": "", "rules": []}),
        },
        "reload": None if reloaded is None else _reload(reloaded),
        "backends": _merged_backends([process["backends"] for process in processes]),
        "workers": [{**worker, "since": iso(worker["since"])} for worker in workers],
        **{kind: [_shown(each) for each in entries[kind]] for kind in KINDS},
    }


def merged(*told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The newest entries of all, each once: where a process has told of one twice, the later word counts."""
    entries = {(each["pid"], each["number"]): each for those in told for each in those}
    return sorted(entries.values(), key=lambda each: -float(each["time"]))[:SIZE]


def iso(when: float) -> str:
    """Unix time as RFC 3339 has it, in UTC, to the second."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _policy(policy: CompiledPolicy) -> dict[str, Any]:
    why = {rule.id: rule.why for rule in policy.policy.rules}
    return {
        "mode": policy.mode,
        "description": policy.description,
        "rules": [
            {
                "rule": rule.id,
                "why": why[rule.id],
                "detectors": sorted(rule.detectors),
                "labels": None if rule.labels is None else sorted(rule.labels),
                "channels": [str(channel) for channel in rule.channels],
                "models": None if rule.models is None else list(rule.models),
                "score": rule.score,
                "action": ACTION_NAMES[type(rule.action)],
            }
            for rule in policy.rules
        ],
    }


def _backends(gateway: Gateway) -> list[dict[str, Any]]:
    backend = gateway.backend
    up = gateway.metrics.backends_up()
    if isinstance(backend, FailoverBackend):
        breaker = "open" if backend.breaker.open else "closed"
        return [_backend(backend.first, "upstream", up, breaker), _backend(backend.second, "fallback", up)]
    return [_backend(backend, "upstream", up)]


def _backend(backend: Backend, role: str, up: Mapping[str, bool], breaker: str | None = None) -> dict[str, Any]:
    return {"name": backend.name, "role": role, "up": up.get(backend.name), "breaker": breaker}


def _merged_backends(told: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Each process has a breaker of its own. A backend is up if nobody found it down when they last asked."""
    backends = []
    for same in zip(*told, strict=True):
        known = [each["up"] for each in same if each["up"] is not None]
        breakers = [each["breaker"] for each in same if each["breaker"] is not None]
        backends.append(
            {
                "name": same[0]["name"],
                "role": same[0]["role"],
                "up": all(known) if known else None,
                "breakers_open": breakers.count("open") if breakers else None,
                "breakers": len(breakers),
            }
        )
    return backends


def _reload(reloaded: Reloaded) -> dict[str, Any]:
    return {"ok": reloaded.ok, "time": iso(reloaded.at), "says": reloaded.says}


def _entry(each: dict[str, Any]) -> dict[str, Any]:
    score = each["score"]  # JSON knows no infinity
    return {**each, "pid": os.getpid(), "score": round(score, 3) if math.isfinite(score) else None}


def _shown(each: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in each.items() if name != "number"}, "time": iso(each["time"])}
