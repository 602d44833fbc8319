"""The catalogue's metrics, registered: one attribute each."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry

from guard.observe import catalogue as c


class Families:
    """Every metric of one registry. In a process that shares its numbers (`multiprocess.prepare`) they go to files."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests: Final = c.REQUESTS.register(registry)
        self.refused: Final = c.REFUSED.register(registry)
        self.streams: Final = c.STREAMS.register(registry)
        self.active: Final = c.ACTIVE.register(registry)
        self.ended: Final = c.ENDED.register(registry)
        self.finishes: Final = c.FINISHES.register(registry)
        self.findings: Final = c.FINDINGS.register(registry)
        self.actions: Final = c.ACTIONS.register(registry)
        self.loops: Final = c.LOOPS.register(registry)
        self.switches: Final = c.SWITCHES.register(registry)
        self.runaways: Final = c.RUNAWAYS.register(registry)
        self.unfinished: Final = c.UNFINISHED.register(registry)
        self.harmful: Final = c.HARMFUL.register(registry)
        self.tokens: Final = c.TOKENS.register(registry)
        self.spent: Final = c.SPENT.register(registry)
        self.saved: Final = c.SAVED.register(registry)
        self.wasted: Final = c.WASTED.register(registry)
        self.first_token: Final = c.FIRST_TOKEN.register(registry)
        self.added: Final = c.ADDED.register(registry)
        self.detector_time: Final = c.DETECTOR.register(registry)
        self.held: Final = c.HELD.register(registry)
        self.held_for: Final = c.HELD_FOR.register(registry)
        self.thought: Final = c.THOUGHT.register(registry)
        self.repairs: Final = c.REPAIRS_DONE.register(registry)
        self.repair_time: Final = c.REPAIR_TIME.register(registry)
        self.upstream_errors: Final = c.UPSTREAM_ERRORS.register(registry)
        self.answers: Final = c.ANSWERS.register(registry)
        self.failovers: Final = c.FAILOVERS.register(registry)
        self.backend_up: Final = c.BACKEND_UP.register(registry)
        self.breaker: Final = c.BREAKER.register(registry)
        self.dropped: Final = c.DROPPED.register(registry)
        self.detector_errors: Final = c.DETECTOR_ERRORS.register(registry)
        self.detector_counts: Final = c.DETECTOR_COUNTS.register(registry)
        self.keep_alives: Final = c.KEEP_ALIVES.register(registry)
        self.audit: Final = c.AUDIT.register(registry)
        self.policy: Final = c.POLICY.register(registry)
        self.reloads: Final = c.RELOADS.register(registry)
        self.reload_ok: Final = c.RELOAD_OK.register(registry)
        self.loaded_at: Final = c.LOADED_AT.register(registry)
        self.workers: Final = c.WORKERS.register(registry)
        self.workers_ready: Final = c.WORKERS_READY.register(registry)
        self.worker_restarts: Final = c.WORKER_RESTARTS.register(registry)
        self.build: Final = c.BUILD.register(registry)
