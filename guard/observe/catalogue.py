"""Every metric the guard exports: its name, type, labels, unit and meaning. `docs/metrics.md` is made from this.

A share wants both its parts with the same labels, so what is counted per stream carries `model`, `policy` and `mode`
throughout. In several processes counters and histograms are summed; a gauge says how its processes are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "guard_"
WHO: Final = ("model", "policy", "mode")

LABELS: Final[Mapping[str, str]] = {
    "route": "`chat`, `completions`, `embeddings`, `models`",
    "model": "a configured model (`upstream.models`), else `other`",
    "policy": "name of the policy that the stream began with",
    "mode": "`observe` if nothing in the policy can change an answer (it only flags), else `enforce`",
    "outcome": "of a request: `passed`, `flagged`, `masked`, `cut`, `repaired`, `error`, `refused`, `client_left`; "
    "of a repair: `answered`, `otherwise`, `failed`",
    "state": "`complete`, `cut`, `repaired`, `upstream_died` (it broke off, or stopped without its terminal event), "
    "`refused` (upstream turned the request down), `client_left`, `deadline`, `shutdown`, `guard_failed`",
    "finish": "upstream's finish reason, as `native_finish_reason` gives it where it is not OpenAI's; else `other`",
    "reason": "code of the error that the client got",
    "detector": "name in the policy's `detectors`",
    "label": "one of the detector's labels (`guard detectors NAME`), or `error`",
    "channel": "`reasoning`, `content`, `tool`, `prompt`",
    "rule": "id of the rule that decided; `none` where no rule speaks, `on_error`, `hold_limit`",
    "action": "`flag`, `mask`, `cut`, `repair`",
    "backend": "configured name of the upstream, or `in_process`",
    "from_backend": "as `backend`",
    "to_backend": "as `backend`",
    "code": "code of the upstream's error",
    "side": "`request` or `response`",
    "field": "a known field's name, else `other`",
    "how": "`conclude`, `resample`, `hand_over`",
    "result": "of a reload: `ok`, `failed`; of an audit record: `written`, `failed`, `dropped`",
    "counter": "one of the detector class's `counters`",
    "name": "name of the policy in force",
    "version": "content hash of the policy in force; of `build_info`: the guard's version",
    "python": "version of Python",
}
"""What each label can say. All of it is known from the configuration."""

Across = Literal["livesum", "livemin", "livemax"]


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric's name without the prefix, and what it tells."""

    name: str
    says: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """As a scraper sees it."""
        return PREFIX + self.name

    @property
    def unit(self) -> str:
        """`seconds`, `characters`, `tokens`, or "" for a plain count or state."""
        name = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "characters", "tokens") if unit in name.split("_")), "")


@dataclass(frozen=True, slots=True)
class Counts(Spec):
    kind = "counter"

    def register(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.full_name, self.says, self.labels, registry=registry)


@dataclass(frozen=True, slots=True)
class State(Spec):
    """A gauge. `across` says what several processes show as one: their sum, the least or the most."""

    across: Across = "livemax"
    kind = "gauge"

    def register(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.full_name, self.says, self.labels, registry=registry, multiprocess_mode=self.across)


@dataclass(frozen=True, slots=True)
class Spread(Spec):
    """A histogram."""

    buckets: tuple[float, ...] = ()
    kind = "histogram"

    def register(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.full_name, self.says, self.labels, buckets=self.buckets, registry=registry)


FIRST_TOKEN_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
ADDED_SECONDS: Final = (0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0)
DETECTOR_SECONDS: Final = (0.000_005, 0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5)
HELD_CHARACTERS: Final = (0, 16, 64, 128, 256, 512, 1_024, 2_048, 4_096, 16_384)
HELD_SECONDS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REPAIR_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
THINKING_TOKENS: Final = (100, 250, 500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000)

REQUESTS = Counts("requests_total", "Requests by how they ended.", ("route", *WHO, "outcome"))
REFUSED = Counts("requests_refused_total", "Requests refused before a model was asked.", ("reason",))
STREAMS = Counts("streams_total", "Streams opened.", ("route", *WHO))
ACTIVE = State("streams_active", "Streams open now.", across="livesum")
ENDED = Counts("streams_ended_total", "Streams by the state in which they ended.", ("state",))
FINISHES = Counts("finishes_total", "Choices that upstream ended, by its own word for why.", ("backend", "finish"))
FINDINGS = Counts("findings_total", "Findings of detectors.", ("detector", "label", "channel", *WHO))
ACTIONS = Counts("actions_total", "Decisions of the policy.", ("rule", "action", "detector", "label", "channel", *WHO))
LOOPS = Counts("loops_total", "Streams with a loop (score 0.9 or more), once per channel.", ("channel", *WHO))
SWITCHES = Counts(
    "language_switches_total",
    "Streams with an unexpected language (score 0.9 or more), once per channel.",
    ("channel", *WHO),
)
RUNAWAYS = Counts(
    "runaways_total",
    "Streams with a text past its hard budget (score 0.9 or more), once per channel.",
    ("channel", *WHO),
)
UNFINISHED = Counts(
    "unfinished_thoughts_total", "Streams that upstream ended after thinking, without an answer or tool call.", WHO
)
HARMFUL = Counts(
    "harmful_total", "Streams with harmful text that a rule spoke of, once per channel.", ("channel", *WHO)
)
TOKENS = Counts("tokens_total", "Tokens released to clients, as the policy counts or estimates them.", ("channel",))
SPENT = Counts("tokens_spent_total", "Tokens that models wrote and the guard read, released or not.", ("model",))
SAVED = Counts("tokens_saved_total", "Tokens that clients had still allowed for when they were cut.", ("model",))
WASTED = Counts("tokens_wasted_total", "Tokens written after a loop's first repetition began.", ("model",))
FIRST_TOKEN = Spread(
    "time_to_first_token_seconds",
    "From a request's arrival to the first model text released.",
    ("model",),
    FIRST_TOKEN_SECONDS,
)
ADDED = Spread(
    "added_latency_seconds", "Time the guard spends on what one read from upstream brought.", (), ADDED_SECONDS
)
DETECTOR = Spread(
    "detector_seconds",
    "Time a detector takes for one step of text; measured on one stream in 16.",
    ("detector",),
    DETECTOR_SECONDS,
)
HELD = Spread(
    "held_characters",
    "Characters of a lane that wait for a verdict; looked at every 16th read.",
    ("channel",),
    HELD_CHARACTERS,
)
HELD_FOR = Spread(
    "held_seconds",
    "How long text that left had waited for its verdict; sampled as `held_characters` is.",
    ("channel",),
    HELD_SECONDS,
)
THOUGHT = Spread(
    "thinking_tokens", "Length of a choice's thinking when the choice ended, as released.", ("model",), THINKING_TOKENS
)
REPAIRS_DONE = Counts("repairs_total", "Repairs by how they ended.", ("how", "outcome"))
REPAIR_TIME = Spread(
    "repair_seconds", "From the decision to repair to the continued request's first text.", ("how",), REPAIR_SECONDS
)
UPSTREAM_ERRORS = Counts("upstream_errors_total", "Errors of backends.", ("backend", "code"))
ANSWERS = Counts("backend_answers_total", "Streams by the backend that answered.", ("backend",))
FAILOVERS = Counts("failovers_total", "Requests handed on to the fallback.", ("from_backend", "to_backend"))
BACKEND_UP = State("backend_up", "1 if the backend answered when it was last asked, else 0.", ("backend",), "livemin")
BREAKER = State("breaker_open", "1 while the backend is not asked, because it failed too often.", ("backend",))
DROPPED = Counts("dropped_fields_total", "Fields that were not forwarded.", ("side", "field"))
DETECTOR_ERRORS = Counts("detector_errors_total", "Detectors that failed on a stream.", ("detector",))
DETECTOR_COUNTS = Counts("detector_counts_total", "What detectors count for themselves.", ("detector", "counter"))
KEEP_ALIVES = Counts("keep_alives_total", "Comments sent to keep a waiting connection open.")
AUDIT = Counts("audit_records_total", "Audit records by what became of them.", ("result",))
POLICY = State("policy_info", "1 for the policy in force, 0 for one that was.", ("name", "version"))
RELOADS = Counts("policy_reloads_total", "Attempts to load the policy again.", ("result",))
RELOAD_OK = State("policy_reload_successful", "1 if the last attempt to load the policy succeeded.", (), "livemin")
LOADED_AT = State(
    "policy_loaded_timestamp_seconds", "Unix time at which the policy in force was loaded.", (), "livemin"
)
WORKERS = State("workers", "Worker processes that are wanted (`workers`).")
WORKERS_READY = State("workers_ready", "Worker processes that serve clients.")
WORKER_RESTARTS = Counts("worker_restarts_total", "Attempts to start a worker again after it died.")
BUILD = State("build_info", "1, with what is running.", ("version", "python"))

CATALOGUE: Final[tuple[Counts | State | Spread, ...]] = tuple(
    spec for spec in list(globals().values()) if isinstance(spec, Counts | State | Spread)
)
