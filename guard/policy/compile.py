"""From a merged policy to what the engine asks: who watches what, and what is done about a finding.

    read_policy -> PolicySource -> checks.py, registry -> CompiledPolicy -> plan(model) -> guard.engine.plan.Plan

Rules match; the most severe action among those that match is taken, so that more rules can only make a policy
stricter. Among equals the first in file order speaks.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from guard.contract import ERROR_LABEL, Channel, Detector, DetectorError, Finding, Lane
from guard.engine.plan import Hold, Plan
from guard.events import Action, Cut, Decision, Flag, Mask, Repair
from guard.policy.checks import check
from guard.policy.problems import PolicyError, Problem, Severity, in_order
from guard.policy.schema import SEVERITY, InProcessSettings, Policy, PromptSettings, Rule
from guard.policy.source import PolicySource, read_policy

ACTION_NAMES: Final[Mapping[type[Action], str]] = {Flag: "flag", Mask: "mask", Repair: "repair", Cut: "cut"}
"""The words of the policy file, of metrics and of the audit."""
ON_ERROR: Final = "on_error"
"""What stands for a rule's id where `on_error` decided."""

_ERROR_NOTICE: Final = "This answer could not be checked to its end and was stopped."
_PLANS: Final = 64
_LONGEST_CACHED_NAME: Final = 256
"""Characters of a model name. Clients choose it; longer ones are matched, not remembered."""


class CompiledRule(NamedTuple):
    """A rule, ready to be matched. `None` matches anything."""

    id: str
    detectors: frozenset[str]
    labels: frozenset[str] | None
    channels: tuple[Channel, ...]
    score: float
    models: tuple[str, ...] | None
    action: Action

    @property
    def only_errors(self) -> bool:
        """It speaks of failing detectors, not of text."""
        return self.labels == frozenset({ERROR_LABEL})

    def applies_to(self, model: str) -> bool:
        return self.models is None or any(fnmatchcase(model.lower(), glob.lower()) for glob in self.models)

    def matches(self, finding: Finding) -> bool:
        """Does it speak of this finding, given that detector and channel fit?"""
        if finding.score < self.score:
            return False
        return finding.label != ERROR_LABEL if self.labels is None else finding.label in self.labels


class Series(NamedTuple):
    """A combination of labels that metrics may come to carry."""

    detector: str
    label: str
    channel: str
    action: str


class CompiledPolicy:
    """A policy in force. Immutable but for `load`; safe to use from several threads."""

    prompt = PromptSettings()
    in_process = InProcessSettings()

    def __init__(self, policy: Policy, detectors: Sequence[Detector], warnings: Sequence[Problem] = ()) -> None:
        self.policy = policy
        self.name = policy.name
        self.description = policy.description
        self.prompt = policy.prompt
        self.in_process = policy.in_process
        self.version = content_hash(policy)
        self.detectors = tuple(detectors)
        self.warnings = tuple(warnings)
        self.holds: Mapping[Channel, Hold] = MappingProxyType(policy.holds())
        self.rules = tuple(compile_rule(rule, [detector.name for detector in detectors]) for rule in policy.rules)
        self._on_error = Cut(notice=_ERROR_NOTICE) if policy.on_error == "cut" else Flag()
        self._loading = threading.Lock()
        self._loaded = False
        self._by_model = any(rule.models is not None for rule in self.rules)
        self._plan_of = functools.lru_cache(_PLANS)(self._plan)
        self._selected_by = functools.lru_cache(_PLANS)(self._selected)

    @property
    def rule_ids(self) -> tuple[str, ...]:
        return tuple(rule.id for rule in self.rules)

    @property
    def mode(self) -> Literal["enforce", "observe"]:
        """`observe` if nothing in it can change an answer: every rule, and what is done about errors, only flags."""
        acts = any(not isinstance(action, Flag) for action in (self._on_error, *(rule.action for rule in self.rules)))
        return "enforce" if acts else "observe"

    def named(self, use: str) -> frozenset[str]:
        """The names that this policy gives to the detector `use`."""
        return frozenset(name for name, each in self.policy.detectors.items() if (each.use or name) == use)

    def load(self) -> None:
        """Load the models of all detectors, once. Raises `DetectorError` that says which could not."""
        with self._loading:
            if self._loaded:
                return
            for detector in self.detectors:
                try:
                    detector.load()
                except Exception as error:
                    raise DetectorError(f"`{detector.name}` cannot load: {type(error).__name__}: {error}") from error
            self._loaded = True

    def plan(self, model: str) -> Plan:
        """The plan for a model, by the name that the client gives. Models for which the same rules speak share one."""
        if not self._by_model:
            return self._plan_of(tuple(range(len(self.rules))))
        select = self._selected if len(model) > _LONGEST_CACHED_NAME else self._selected_by
        return self._plan_of(select(model))

    def labels(self) -> frozenset[Series]:
        """Every combination a finding of this policy can lead to, known before the first request."""
        return frozenset(self._series())

    def _selected(self, model: str) -> tuple[int, ...]:
        """The rules that speak for a model, by their places in `rules`."""
        return tuple(index for index, rule in enumerate(self.rules) if rule.applies_to(model))

    def _plan(self, selected: Sequence[int]) -> Plan:
        rules = [self.rules[index] for index in selected]
        speakers: dict[tuple[str, Channel], list[CompiledRule]] = {}
        for rule in rules:
            for detector in rule.detectors:
                for channel in rule.channels:
                    speakers.setdefault((detector, channel), []).append(rule)
        watched = {key for key, those in speakers.items() if not all(rule.only_errors for rule in those)}
        acting = {key for key, those in speakers.items() if any(_acts(rule) for rule in those)}
        return Plan(
            watch=MappingProxyType(
                {
                    channel: tuple(each for each in self.detectors if (each.name, channel) in watched)
                    for channel in Channel
                }
            ),
            decide=_decider(speakers, self._on_error),
            can_act=lambda channel, detector: (detector, channel) in acting,
            hold=_in_sentences(self.holds, rules),
            keep_text=any(isinstance(rule.action, Repair) for rule in rules),
        )

    def _series(self) -> Iterator[Series]:
        plan = self._plan(range(len(self.rules)))
        for channel, detectors in plan.watch.items():
            for detector in detectors:
                yield Series(detector.name, ERROR_LABEL, channel, ACTION_NAMES[type(self._on_error)])
                yield from (Series(detector.name, label, channel, "flag") for label in detector.labels)
                for rule in self.rules:
                    if detector.name not in rule.detectors or channel not in rule.channels:
                        continue
                    known = {*detector.labels, ERROR_LABEL}
                    for label in known & rule.labels if rule.labels else detector.labels:
                        yield from (Series(detector.name, label, channel, word) for word in _outcomes(rule.action))


def load_policy(name_or_path: str | Path) -> CompiledPolicy:
    """The policy of a built-in name or a path. Raises `PolicyError` with every problem. Loads no model yet."""
    return compile_policy(read_policy(name_or_path))


def compile_policy(source: PolicySource) -> CompiledPolicy:
    """Check a policy against the detectors it names, and compile it. Raises `PolicyError` with every problem."""
    detectors, problems = check(source)
    problems = [*source.problems, *problems]
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise PolicyError(problems)
    return CompiledPolicy(source.policy, detectors, in_order(problems))


def content_hash(policy: Policy) -> str:
    """The version: 12 hexadecimal digits of SHA-256 over what the merged policy says, however it was written."""
    said = policy.model_dump(mode="json", exclude={"extends"})
    canonical = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def compile_rule(rule: Rule, detectors: Sequence[str]) -> CompiledRule:
    """`rule` for a policy that lists `detectors`."""
    when = rule.when
    return CompiledRule(
        id=rule.id,
        detectors=frozenset(detectors if when.detector is None else when.detector),
        labels=None if when.label is None else frozenset(when.label),
        channels=tuple(dict.fromkeys(rule.channels())),
        score=when.score,
        models=None if when.model is None else tuple(when.model),
        action=rule.do.action(),
    )


def _decider(
    speakers: Mapping[tuple[str, Channel], Sequence[CompiledRule]], on_error: Action
) -> Callable[[Lane, Finding], Decision]:
    def decide(lane: Lane, finding: Finding) -> Decision:
        those = [rule for rule in speakers.get((finding.detector, lane.channel), ()) if rule.matches(finding)]
        if those:
            rule = max(those, key=lambda rule: SEVERITY[type(rule.action)])  # the first of the most severe
            return Decision(rule.id, rule.action)
        return Decision(ON_ERROR, on_error) if finding.label == ERROR_LABEL else Decision("", Flag())

    return decide


def _in_sentences(holds: Mapping[Channel, Hold], rules: Sequence[CompiledRule]) -> Mapping[Channel, Hold]:
    """`holds`, with answers leaving in whole sentences where a rule may take them up at the end of one."""
    hold = holds[Channel.CONTENT]
    for rule in rules:
        action = rule.action
        if isinstance(action, Repair) and action.how != "conclude" and Channel.CONTENT in rule.channels:
            hold = replace(hold, sentences=hold.sentences or action.keep == "last_sentence")
    return MappingProxyType({**holds, Channel.CONTENT: hold})


def _acts(rule: CompiledRule) -> bool:
    """Can it change text? What is done about a failing detector needs no text held back."""
    return not isinstance(rule.action, Flag) and not rule.only_errors


def _outcomes(action: Action) -> Sequence[str]:
    """What an action can end as: a repair or a mask that comes too late becomes a cut."""
    word = ACTION_NAMES[type(action)]
    return (word, "cut") if isinstance(action, Mask | Repair) else (word,)
