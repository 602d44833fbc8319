"""What labels may say: the configuration's words, and `other` for everything else.

Clients, models and upstreams choose names too. None of them becomes a label, so neither the number of series nor their
names depend on traffic.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from guard.contract import ERROR_LABEL, Channel
from guard.engine.lane import HOLD_LIMIT_RULE
from guard.policy import CompiledPolicy
from guard.policy.compile import ON_ERROR
from guard.wire.choice import FINISH_REASONS

OTHER: Final = "other"
NO_RULE: Final = "none"
"""Stands for the rule of a finding that no rule speaks of."""
ROUTES: Final = ("chat", "completions", "embeddings", "models")
OUTCOMES: Final = ("passed", "flagged", "masked", "cut", "repaired", "error", "refused", "client_left")
MODES: Final = ("enforce", "observe")
STATES: Final = (
    "complete",
    "cut",
    "repaired",
    "upstream_died",
    "refused",
    "client_left",
    "deadline",
    "shutdown",
    "guard_failed",
)
"""How a stream can end. `upstream_died`: it broke off, or just stopped, without its terminal event; `refused`: it
turned the request down."""
REPAIRS: Final = ("conclude", "resample", "hand_over")
REPAIR_OUTCOMES: Final = ("answered", "otherwise", "failed")


@dataclass(frozen=True, slots=True)
class Known:
    """The values that labels may take, as configured."""

    detectors: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Labels by rule-visible name of the detector; `error` is implied."""
    counters: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Names that a detector's `Report.counters` may use, by rule-visible name of the detector."""
    loops: Collection[str] = ("loop",)
    """Names of the detectors whose findings are loops."""
    language_switches: Collection[str] = ("language",)
    """Names of the detectors whose findings are language switches."""
    budgets: Collection[str] = ("length",)
    """Names of the detectors whose sure findings are texts that ran away."""
    harm: Collection[str] = ("harm",)
    """Names of the detectors whose findings are harmful text."""
    rules: Collection[str] = ()
    backends: Collection[str] = ()
    models: Collection[str] = ()
    fields: Collection[str] = ()
    """Names of request and response fields that may be dropped."""
    reasons: Collection[str] = ()
    """Codes of `RequestError`."""
    upstream_codes: Collection[str] = ()
    """Codes of `UpstreamError`."""


def known_of(policy: CompiledPolicy) -> Known:
    """The names that a policy brings."""
    return Known(
        detectors={detector.name: detector.labels for detector in policy.detectors},
        counters={detector.name: tuple(getattr(detector, "counters", ())) for detector in policy.detectors},
        loops=policy.named("loop"),
        language_switches=policy.named("language"),
        budgets=policy.named("length"),
        harm=policy.named("harm") | policy.named("guard_model"),
        rules=[*policy.rule_ids, ON_ERROR, HOLD_LIMIT_RULE],
    )


class Bounded:
    """Maps a value to itself if it is known, else to `other`."""

    __slots__ = ("_known",)

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        self.learn(known)

    def __call__(self, value: str) -> str:
        return self._known.get(value, OTHER)

    def learn(self, known: Iterable[str]) -> None:
        """Take these values as they are from now on."""
        self._known |= {value: str(value) for value in known if value}


class Names:
    """Every label's known values. They only grow, and only by what an operator loads."""

    def __init__(self, known: Known) -> None:
        self.routes = Bounded(ROUTES)
        self.outcomes = Bounded(OUTCOMES)
        self.channels = Bounded([*Channel])
        self.states = Bounded(STATES)
        self.finishes = Bounded(FINISH_REASONS)
        self.repairs = Bounded(REPAIRS)
        self.repair_outcomes = Bounded(REPAIR_OUTCOMES)
        self.models = Bounded()
        self.backends = Bounded()
        self.rules = Bounded()
        self.fields = Bounded()
        self.reasons = Bounded()
        self.codes = Bounded()
        self.detectors = Bounded()
        self.loops: set[str] = set()
        self.language_switches: set[str] = set()
        self.budgets: set[str] = set()
        self.harm: set[str] = set()
        self._labels: dict[str, Bounded] = {}
        self._counters: dict[str, Bounded] = {}
        self.learn(known)

    def learn(self, known: Known) -> None:
        """Add what a newly loaded policy names."""
        self.models.learn(known.models)
        self.backends.learn(known.backends)
        self.rules.learn(known.rules)
        self.fields.learn(known.fields)
        self.reasons.learn(known.reasons)
        self.codes.learn(known.upstream_codes)
        self.detectors.learn(known.detectors)
        self.loops |= set(known.loops)
        self.language_switches |= set(known.language_switches)
        self.budgets |= set(known.budgets)
        self.harm |= set(known.harm)
        for name, labels in known.detectors.items():
            self._labels.setdefault(name, Bounded([ERROR_LABEL])).learn(labels)
        for name, counters in known.counters.items():
            self._counters.setdefault(name, Bounded()).learn(counters)

    def label(self, detector: str, label: str) -> str:
        known = self._labels.get(detector)
        return OTHER if known is None else known(label)

    def counter(self, detector: str, counter: str) -> str:
        known = self._counters.get(detector)
        return OTHER if known is None else known(counter)
