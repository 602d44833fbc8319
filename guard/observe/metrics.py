"""What operators can count.

    Metrics ── stream_opened(route, model) ──> StreamMetrics: first_token, event_handled, decided, closed
       │  └── everything that happens outside a stream or does not depend on it
       └── catalogue: every metric, its labels and meaning;  known: what labels may say

Nothing outside `guard.observe` knows Prometheus.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from guard import __version__
from guard.contract import Channel
from guard.engine.plan import Plan
from guard.observe.families import Families
from guard.observe.known import MODES, OTHER, OUTCOMES, REPAIR_OUTCOMES, REPAIRS, STATES, Names
from guard.observe.known import Known as Known
from guard.observe.rates import totals_of
from guard.observe.stream import StreamMetrics as StreamMetrics
from guard.observe.stream import Who
from guard.observe.timing import DetectorTimes

_ALIVE: Final = frozenset(
    {
        "content_filter",
        "context_length_exceeded",
        "deadline_shutdown",
        "deadline_total",
        "invalid_request",
        "model_not_found",
        "queue_full",
        "rate_limit",
        "shut_down",
        "shutting_down",
    }
)
"""Codes that do not speak against the backend: it said no, or was not given the time."""


class Metrics:
    """All metrics of one process, in a registry of their own. In a worker whose process set
    `PROMETHEUS_MULTIPROC_DIR` (`guard.observe.multiprocess.prepare`), nothing here changes but where numbers are kept.
    """

    def __init__(
        self,
        known: Known | None = None,
        *,
        policy: str = "",
        policy_version: str = "",
        mode: str = "enforce",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`policy_version` is the policy's content hash; `mode` is `observe` for a policy that only flags. `clock`
        gives Unix time."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.known = known = known or Known()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._to = Families(self.registry)
        self._times = DetectorTimes(self._detector_took)
        self._names = Names(known)
        self._clock = clock
        self._said: tuple[str, str] | None = None
        self._in_force = ("", MODES[0])
        self._to.reload_ok.set(1)
        self._to.workers.set(1)
        self._to.workers_ready.set(1)
        self._to.build.labels(__version__, platform.python_version()).set(1)
        self._take_policy(policy, policy_version, mode)
        self._start_at_zero(known)

    # --- streams

    def stream_opened(self, route: str, model: str = "", *, trace_id: str = "") -> StreamMetrics:
        """A request was accepted. `closed` of what is returned must be called, whatever happens to the stream.
        `trace_id` (32 hexadecimal digits) becomes an exemplar of what the stream counts."""
        route = self._names.routes(route)
        who = Who(self._names.models(model), *self._in_force)
        self._to.streams.labels(route, *who).inc()
        self._to.active.inc()
        return StreamMetrics(self._to, self._names, route, who, trace_id)

    def stream_ended(self, state: str) -> None:
        """A stream that has no `StreamMetrics` ended in `state` (`known.STATES`). `StreamMetrics.closed` calls no more
        than this for those that have."""
        self._to.ended.labels(self._names.states(state)).inc()

    def request_refused(self, reason: str, route: str = "", model: str = "") -> None:
        """A request was turned down before a stream was opened; `reason` is the `RequestError`'s code."""
        self._to.refused.labels(self._names.reasons(reason)).inc()
        who = Who(self._names.models(model), *self._in_force)
        self._to.requests.labels(self._names.routes(route), *who, "refused").inc()

    def fields_dropped(self, fields: Mapping[str, int], side: str = "response") -> None:
        """`side` is `request` for knobs that were stripped, else `response`."""
        for name, count in fields.items():
            self._to.dropped.labels("request" if side == "request" else "response", self._names.fields(name)).inc(count)

    def repair_done(self, how: str, outcome: str, seconds: float) -> None:
        """A repair is over. `outcome` is `answered`, `otherwise` (its cut was taken) or `failed`; `seconds` is the time
        from the decision to the continuation's first text, and counts only where it was answered."""
        how = self._names.repairs(how)
        self._to.repairs.labels(how, self._names.repair_outcomes(outcome)).inc()
        if outcome == "answered":
            self._to.repair_time.labels(how).observe(max(seconds, 0.0))

    # --- detectors

    def timed(self, plan: Plan) -> Plan:
        """The plan for the next stream: `plan`, or where the stream is one of those sampled, `plan` with its detectors
        timed. Verdicts are the same."""
        return self._times.plan(plan)

    def detector_failed(self, detector: str) -> None:
        """A detector did not come back. (One that raises becomes a finding `error`, which `decided` counts.)"""
        self._to.detector_errors.labels(self._names.detectors(detector)).inc()

    def detector_counters(self, detector: str, counter: str, value: float) -> None:
        """What a scanner counted (`Report.counters`), under names that its class's `counters` lists. What is not a
        number above zero counts nothing."""
        if value > 0:
            name = self._names.detectors(detector)
            self._to.detector_counts.labels(name, self._names.counter(name, counter)).inc(value)

    # --- backends

    def upstream_failed(self, code: str, backend: str = "") -> None:
        """A backend's error; unless it speaks of the request alone, the backend counts as down until it answers."""
        name = self._names.backends(backend)
        self._to.upstream_errors.labels(name, self._names.codes(code)).inc()
        if code not in _ALIVE:
            self._to.backend_up.labels(name).set(0)

    def failed_over(self, from_backend: str, to_backend: str) -> None:
        self._to.failovers.labels(self._names.backends(from_backend), self._names.backends(to_backend)).inc()

    def backend_state(self, backend: str, up: bool) -> None:
        """The backend answered when it was last asked, or did not."""
        self._to.backend_up.labels(self._names.backends(backend)).set(up)

    def breaker(self, backend: str, open: bool) -> None:
        """The backend is not asked for a while, or is again."""
        self._to.breaker.labels(self._names.backends(backend)).set(open)

    # --- policy and audit

    def policy_reloaded(
        self, ok: bool, name: str, version: str, *, mode: str = "enforce", known: Known | None = None
    ) -> None:
        """`reload_tried`, and if `ok` also `policy_taken`; else `name` and `version` say nothing."""
        self.reload_tried(ok)
        if ok:
            self.policy_taken(name, version, mode=mode, known=known)

    def reload_tried(self, ok: bool) -> None:
        """The policy was loaded again; if not `ok` the one before stays in force."""
        self._to.reloads.labels("ok" if ok else "failed").inc()
        self._to.reload_ok.set(ok)

    def policy_taken(self, name: str, version: str, *, mode: str = "enforce", known: Known | None = None) -> None:
        """Another policy is in force. `known` are the names that it uses."""
        if known is not None:
            self._names.learn(known)
        self._take_policy(name, version, mode)
        if known is not None:
            self._start_at_zero(known)

    def audit_written(self, ok: bool) -> None:
        """A record reached the audit, or could not be written."""
        self._to.audit.labels("written" if ok else "failed").inc()

    def audit_dropped(self) -> None:
        """A record was given up, as configured for a disk that is full."""
        self._to.audit.labels("dropped").inc()

    # --- reading

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for a scraper that sent this `Accept` header: of this process only."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def totals(self) -> dict[str, float]:
        """What `guard.observe.rates` counts, of this process only."""
        counters = (self._to.streams, self._to.loops, self._to.switches, self._to.requests)
        return totals_of(family for counter in counters for family in counter.collect())

    def backends_up(self) -> dict[str, bool]:
        """Whether each backend answered when this process last asked it; none that has not been asked."""
        return {
            sample.labels["backend"]: bool(sample.value)
            for family in self._to.backend_up.collect()
            for sample in family.samples
        }

    # --- inside

    def _detector_took(self, detector: str, seconds: float) -> None:
        self._to.detector_time.labels(self._names.detectors(detector)).observe(seconds)

    def _take_policy(self, name: str, version: str, mode: str) -> None:
        if self._said is not None and self._said != (name, version):
            self._to.policy.labels(*self._said).set(0)
        self._said = (name, version)
        self._in_force = (name, mode if mode in MODES else MODES[0])
        self._to.policy.labels(name, version).set(1)
        self._to.loaded_at.set(self._clock())

    def _start_at_zero(self, known: Known) -> None:
        """A series that appears with its first increment hides that increment from `rate()`."""
        to = self._to
        models = {OTHER, *known.models} - {""}
        for model in models:
            who = Who(model, *self._in_force)
            for route in ("chat", "completions"):
                to.streams.labels(route, *who)
                for outcome in OUTCOMES:
                    to.requests.labels(route, *who, outcome)
            for channel in Channel:
                to.harmful.labels(channel, *who)
                if channel is not Channel.PROMPT:
                    for counter in (to.loops, to.switches, to.runaways):
                        counter.labels(channel, *who)
            to.unfinished.labels(*who)
            for tokens in (to.spent, to.saved, to.wasted):
                tokens.labels(model)
        for state in STATES:
            to.ended.labels(state)
        for result in ("ok", "failed"):
            to.reloads.labels(result)
        for result in ("written", "failed", "dropped"):
            to.audit.labels(result)
        for how in REPAIRS:
            for outcome in REPAIR_OUTCOMES:
                to.repairs.labels(how, outcome)
        for detector in (*known.detectors, OTHER):
            to.detector_errors.labels(detector)
        for detector, names in known.counters.items():
            for name in names:
                to.detector_counts.labels(detector, name)
        backends = sorted({*known.backends} - {""})
        for backend in backends:
            to.answers.labels(backend)
            for other in backends:
                if other != backend:
                    to.failovers.labels(backend, other)
