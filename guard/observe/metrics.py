"""What operators can count. The only module that knows Prometheus.

    Metrics ── stream_opened(route, model) ──> StreamMetrics: first_token, event_handled, decided, closed
       └── everything that happens outside a stream or does not depend on it

Every label value comes from the configuration: whatever else a client, a model or an upstream may say is counted as
`other`, so neither the number of series nor their names depend on traffic.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from guard import __version__
from guard.contract import ERROR_LABEL, STOP, Channel, Finding, Lane
from guard.events import Decision

OTHER: Final = "other"
NO_RULE: Final = "none"
"""Stands for the rule of a finding that no rule speaks of."""
ROUTES: Final = ("chat", "completions", "embeddings", "models")
OUTCOMES: Final = ("passed", "flagged", "masked", "cut", "repaired", "error", "refused", "client_left")
FIRST_TOKEN_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
ADDED_SECONDS: Final = (0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0)
NO_TOKENS: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Known:
    """The values that labels may take, as configured."""

    detectors: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Labels by rule-visible name of the detector; `error` is implied."""
    loops: Collection[str] = ("loop",)
    """Names of the detectors whose findings are loops."""
    language_switches: Collection[str] = ("language",)
    """Names of the detectors whose findings are language switches."""
    rules: Collection[str] = ()
    backends: Collection[str] = ()
    models: Collection[str] = ()
    fields: Collection[str] = ()
    """Names of request and response fields that may be dropped."""
    reasons: Collection[str] = ()
    """Codes of `RequestError`."""
    upstream_codes: Collection[str] = ()
    """Codes of `UpstreamError`."""


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self, known: Known | None = None, *, policy: str = "", policy_version: str = "") -> None:
        """`policy_version` is the policy's content hash."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.known = known = known or Known()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._backends = _Bounded(known.backends)
        self._models = _Bounded(known.models)
        self._rules = _Bounded(known.rules)
        self._detectors = _Bounded(known.detectors)
        self._labels = {name: _Bounded([*labels, ERROR_LABEL]) for name, labels in known.detectors.items()}
        self._fields = _Bounded(known.fields)
        self._reasons = _Bounded(known.reasons)
        self._codes = _Bounded(known.upstream_codes)
        self._routes = _Bounded(ROUTES)
        self._outcomes = _Bounded(OUTCOMES)
        self._channels = _Bounded([*Channel])

        self._requests = self._counter("requests", "Requests by how they ended.", "route", "model", "outcome")
        self._refused = self._counter("requests_refused", "Requests refused before a model was asked.", "reason")
        self._streams = self._counter("streams", "Streams opened.", "route")
        self._active = Gauge("guard_streams_active", "Streams open now.", registry=self.registry)
        self._findings = self._counter("findings", "Findings of detectors.", "detector", "label", "channel")
        self._actions = self._counter("actions", "Decisions of the policy.", "rule", "action", "channel")
        self._loops = self._counter("loops", "Streams with a loop (score 0.9 or more), once per channel.", "channel")
        self._switches = self._counter(
            "language_switches", "Streams with an unexpected language (score 0.9 or more), once per channel.", "channel"
        )
        self._tokens = self._counter("tokens", "Tokens released, as the policy counts or estimates them.", "channel")
        self._saved = self._counter("tokens_saved", "Tokens that clients had still allowed for when they were cut.")
        self._upstream_errors = self._counter("upstream_errors", "Errors of backends.", "backend", "code")
        self._answers = self._counter("backend_answers", "Streams by the backend that answered.", "backend")
        self._failovers = self._counter("failovers", "Requests handed on.", "from_backend", "to_backend")
        self._dropped = self._counter("dropped_fields", "Fields that were not forwarded.", "side", "field")
        self._detector_errors = self._counter("detector_errors", "Detectors that failed on a stream.", "detector")
        self._keep_alives = self._counter("keep_alives", "Comments sent to keep a waiting connection open.")
        self._first_token = Histogram(
            "guard_time_to_first_token_seconds",
            "From a request's arrival to the first model text released.",
            buckets=FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )
        self._added = Histogram(
            "guard_added_latency_seconds",
            "Time the guard spends on one upstream event.",
            buckets=ADDED_SECONDS,
            registry=self.registry,
        )
        self._policy = Info("guard_policy", "The policy in force.", registry=self.registry)
        self.policy_loaded(policy, policy_version)
        build = Info("guard_build", "What is running.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._start_at_zero()

    def stream_opened(self, route: str, model: str = "") -> StreamMetrics:
        """A request was accepted. Its `closed` must be called, whatever happens to the stream."""
        route = self._routes(route)
        self._streams.labels(route).inc()
        self._active.inc()
        return StreamMetrics(self, route, self._models(model))

    def request_refused(self, reason: str, route: str = "", model: str = "") -> None:
        """A request was turned down before a stream was opened; `reason` is the `RequestError`'s code."""
        self._refused.labels(self._reasons(reason)).inc()
        self._requests.labels(self._routes(route), self._models(model), "refused").inc()

    def upstream_failed(self, code: str, backend: str = "") -> None:
        self._upstream_errors.labels(self._backends(backend), self._codes(code)).inc()

    def failed_over(self, from_backend: str, to_backend: str) -> None:
        self._failovers.labels(self._backends(from_backend), self._backends(to_backend)).inc()

    def fields_dropped(self, fields: Mapping[str, int], side: str = "response") -> None:
        """`side` is `request` for knobs that were stripped, else `response`."""
        for name, count in fields.items():
            self._dropped.labels("request" if side == "request" else "response", self._fields(name)).inc(count)

    def detector_failed(self, detector: str) -> None:
        """A detector did not come back. (One that raises becomes a finding `error`, which `decided` counts.)"""
        self._detector_errors.labels(self._detectors(detector)).inc()

    def policy_loaded(self, name: str, version: str) -> None:
        self._policy.info({"name": name, "version": version})

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for a scraper that sent this `Accept` header."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"guard_{name}", says, labels, registry=self.registry)

    def _start_at_zero(self) -> None:
        """A series that appears with its first increment hides that increment from `rate()`."""
        for channel in (Channel.REASONING, Channel.CONTENT):
            self._loops.labels(channel)
            self._switches.labels(channel)
        for route in ("chat", "completions"):
            self._streams.labels(route)
            for model in {OTHER, *self.known.models}:
                for outcome in OUTCOMES:
                    self._requests.labels(route, model, outcome)
        for detector in self.known.detectors:
            self._detector_errors.labels(detector)
        for backend in filter(None, self.known.backends):
            self._answers.labels(backend)


class StreamMetrics:
    """One stream's part of the metrics. Remembers what is to be counted once."""

    __slots__ = ("_all", "_closed", "_model", "_route", "_seen", "event_handled")

    def __init__(self, all_metrics: Metrics, route: str, model: str) -> None:
        self._all = all_metrics
        self._route = route
        self._model = model
        self._seen: set[tuple[str, Channel]] = set()
        self._closed = False
        self.event_handled = all_metrics._added.observe
        """Takes the seconds the guard spent on one upstream event."""

    def first_token(self, seconds: float) -> None:
        self._all._first_token.observe(seconds)

    def kept_alive(self) -> None:
        self._all._keep_alives.inc()

    def decided(self, lane: Lane, finding: Finding, decision: Decision) -> None:
        """Count a finding, what was done about it, and the stream's first sure loop or language switch of a channel."""
        to = self._all
        channel = to._channels(lane.channel)
        detector = to._detectors(finding.detector)
        label = to._labels[detector](finding.label) if detector in to._labels else OTHER
        to._findings.labels(detector, label, channel).inc()
        action = type(decision.action).__name__.lower()
        to._actions.labels(to._rules(decision.rule) if decision.rule else NO_RULE, action, channel).inc()
        if finding.label == ERROR_LABEL:
            to._detector_errors.labels(detector).inc()
        elif finding.score >= STOP and (finding.detector, lane.channel) not in self._seen:
            self._seen.add((finding.detector, lane.channel))
            if finding.detector in to.known.loops:
                to._loops.labels(channel).inc()
            elif finding.detector in to.known.language_switches:
                to._switches.labels(channel).inc()

    def closed(
        self,
        outcome: str,
        *,
        backend: str = "",
        tokens: Mapping[str, float] = NO_TOKENS,
        tokens_saved: float = 0.0,
    ) -> None:
        """The stream is over; a second call counts nothing. `backend` is who answered, "" if nobody was asked;
        `tokens` are those released, by channel; `tokens_saved` what was left of the client's `max_tokens` at a cut."""
        if self._closed:
            return
        self._closed = True
        to = self._all
        to._active.dec()
        to._requests.labels(self._route, self._model, to._outcomes(outcome)).inc()
        if backend:
            to._answers.labels(to._backends(backend)).inc()
        for channel, count in tokens.items():
            to._tokens.labels(to._channels(channel)).inc(max(count, 0.0))
        to._saved.inc(max(tokens_saved, 0.0))


class _Bounded:
    """Maps a value to itself if it is known, else to `other`."""

    __slots__ = ("_known",)

    def __init__(self, known: Iterable[str]) -> None:
        self._known = {value: str(value) for value in known if value}

    def __call__(self, value: str) -> str:
        return self._known.get(value, OTHER)
