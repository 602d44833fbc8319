"""Tries the examples in a policy's rules: each hit must be matched by its rule, each miss must not.

A text is fed as the engine would feed it, on the grid of the rule's first channel, with a default `Context`.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.contract import Channel, Context, Detector, Finding, Lane
from guard.policy.compile import CompiledPolicy, CompiledRule
from guard.policy.problems import Problem, in_order, shown
from guard.policy.source import PolicySource


def try_examples(source: PolicySource, policy: CompiledPolicy) -> tuple[Problem, ...]:
    """P119 for every example that does not do what it should. Loads the detectors if there is an example to try.

    Raises `DetectorError` if a detector cannot load.
    """
    if not any(rule.examples.hits or rule.examples.misses for rule in source.policy.rules):
        return ()
    policy.load()
    return in_order(problem for index in range(len(policy.rules)) for problem in _of_rule(index, source, policy))


def _of_rule(index: int, source: PolicySource, policy: CompiledPolicy) -> Iterator[Problem]:
    rule, examples = policy.rules[index], source.policy.rules[index].examples
    for kind, texts in (("hits", examples.hits), ("misses", examples.misses)):
        for number, text in enumerate(texts):
            findings: list[Finding] = []
            told = ""
            try:
                findings = _findings(rule, text, policy)
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                told = f"the detector failed on it: {type(error).__name__}: {error}"
            matching = [finding for finding in findings if rule.matches(finding)]
            if kind == "hits" and not matching:
                told = told or f"rule `{rule.id}` does not match this text; found was {_told(findings)}"
            elif kind == "misses" and matching:
                told = f"rule `{rule.id}` matches this text; found was {_told(matching)}"
            if told:
                yield Problem("P119", source.place("rules", index, "examples", kind, number), told)


def _findings(rule: CompiledRule, text: str, policy: CompiledPolicy) -> list[Finding]:
    channel = rule.channels[0]
    return [
        finding
        for detector in policy.detectors
        if detector.name in rule.detectors
        for finding in _scan(detector, channel, text, policy.holds[channel].step)
    ]


def _scan(detector: Detector, channel: Channel, text: str, step: int) -> Iterator[Finding]:
    scanner = detector.open(Lane(0, channel), Context())
    for start in range(0, len(text), step):
        yield from scanner.feed(text[start : start + step]).findings
    yield from scanner.settle().findings


def _told(findings: list[Finding]) -> str:
    return ", ".join(f"{shown(each.detector)} {shown(each.label)} {each.score:.2f}" for each in findings) or "nothing"
