"""What only shows when a policy meets its detectors: names, labels and settings that do not exist, rules in vain.

Errors are what cannot mean what its author meant. Warnings are what works but is likely not meant; they are only told
of a policy that has no errors, since a rule left out as broken would cause false ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from guard.contract import ERROR_LABEL, Channel, Detector, DetectorError
from guard.policy.problems import Problem, Severity, did_you_mean, shown
from guard.policy.repair_checks import repair_errors
from guard.policy.schema import SEVERITY, Rule
from guard.policy.source import PolicySource
from guard.registry import SettingsError, UnknownDetector, available, build

RESERVED_IDS: Final = frozenset({"on_error"})
"""Rule ids that the guard uses itself, in decisions of no rule."""


def check(source: PolicySource) -> tuple[list[Detector], list[Problem]]:
    """The detectors of a policy, unloaded, in its order, and every problem the schema cannot see."""
    detectors: dict[str, Detector] = {}
    problems: list[Problem] = []
    for name in source.policy.detectors:
        try:
            detectors[name] = _build(source, name)
        except _Refused as refused:
            problems += refused.problems
    if source.whole:
        for index, rule in enumerate(source.policy.rules):
            problems += _rule_errors(source, index, rule, detectors)
        problems += _duplicate_ids(source)
    problems += _hold_errors(source)
    if not source.errors and not problems:
        problems += _warnings(source, detectors)
    return list(detectors.values()), problems


class _Refused(Exception):
    def __init__(self, *problems: Problem) -> None:
        self.problems = problems


def _build(source: PolicySource, name: str) -> Detector:
    entry = source.policy.detectors[name]
    at = ("detectors", name)
    use = entry.use or name
    named = source.place(*at, "use") if entry.use else source.place(*at, key=True)
    try:
        return build(name, use, entry.settings())
    except UnknownDetector as error:
        hint = did_you_mean(use, error.known)
        told = f"no detector `{shown(use)}` is installed{hint} (installed: {', '.join(error.known) or 'none'})"
        raise _Refused(Problem("P110", named, told)) from None
    except DetectorError as error:
        raise _Refused(Problem("P111", named, str(error))) from None
    except SettingsError as error:
        raise _Refused(*(_setting(source, name, use, *problem) for problem in error.problems)) from None


def _setting(
    source: PolicySource, name: str, use: str, path: tuple[str | int, ...], message: str, known: tuple[str, ...] | None
) -> Problem:
    at = ("detectors", name, *path)
    more = f"(guard detectors {use})"
    if known is not None:
        hint = did_you_mean(str(path[-1]), known)
        told = f"detector `{use}` has no setting `{shown(path[-1])}` here{hint} {more}"
        return Problem("P102", source.place(*at, key=True), told)
    if not path and (first := message.split(" ", 1)[0].strip("`:")) in source.policy.detectors[name].settings():
        return Problem("P112", source.place(*at, first), f"{message} {more}")
    what = f"`{'.'.join(map(str, path))}` " if path else ""
    return Problem("P112", source.place(*at, key=not path), f"{what}{message} {more}")


def _rule_errors(source: PolicySource, index: int, rule: Rule, detectors: Mapping[str, Detector]) -> Iterator[Problem]:
    at = ("rules", index)
    listed = source.policy.detectors
    if rule.id in RESERVED_IDS:
        yield Problem("P104", source.place(*at, "id"), f"`{rule.id}` is the guard's own word; choose another id")
    for number, name in enumerate(rule.when.detector or ()):
        if name not in listed:
            add = f"; add `{name}: {{}}` under `detectors:`" if name in available() else did_you_mean(name, listed)
            told = f"the policy lists no detector `{name}`{add} (listed: {', '.join(listed) or 'none'})"
            yield Problem("P110", source.place(*at, "when", "detector", number), told)
    if rule.when.detector is None and not listed:
        yield Problem("P110", source.place(*at, "when"), "the policy lists no detectors; add some under `detectors:`")
    yield from _label_errors(source, at, rule, detectors)
    yield from repair_errors(source, index, rule)
    examples = rule.examples
    if (examples.hits or examples.misses) and rule.when.label == [ERROR_LABEL]:
        yield Problem("P116", source.place(*at, "examples", key=True), "no text makes a detector fail; remove them")


def _label_errors(
    source: PolicySource, at: tuple[str, int], rule: Rule, detectors: Mapping[str, Detector]
) -> Iterator[Problem]:
    named = list(detectors) if rule.when.detector is None else rule.when.detector
    if not named or not all(name in detectors for name in named):
        return  # said already
    known = {label for name in named for label in detectors[name].labels}
    who = f"detector `{named[0]}`" if len(named) == 1 else f"none of the detectors {', '.join(named)}"
    has = "has no such label" if len(named) == 1 else "has such a label"
    for number, label in enumerate(rule.when.label or ()):
        if label not in known and label != ERROR_LABEL:
            use = source.policy.detectors[named[0]].use or named[0]
            told = f"{who} {has}{did_you_mean(label, known)} (guard detectors {use})"
            yield Problem("P103", source.place(*at, "when", "label", number), told)


def _duplicate_ids(source: PolicySource) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, rule in enumerate(source.policy.rules):
        if rule.id in first:
            before = source.place("rules", first[rule.id], "id")
            told = f"`{rule.id}` is already the rule in line {before.line} of {before.file}"
            yield Problem("P113", source.place("rules", index, "id"), told)
        first.setdefault(rule.id, index)


def _hold_errors(source: PolicySource) -> Iterator[Problem]:
    for channel, settings in source.policy.hold.items():
        if channel in {"tool", "prompt"} and settings.whole is False:
            told = f"the {channel} channel leaves whole or not at all; remove this"
            yield Problem("P116", source.place("hold", channel, "whole"), told)
    try:
        source.policy.holds()
    except ValueError as error:
        yield Problem("P104", source.place("hold"), str(error))


def _warnings(source: PolicySource, detectors: Mapping[str, Detector]) -> Iterator[Problem]:
    rules = source.policy.rules
    ordinary = [rule for rule in rules if rule.when.label != [ERROR_LABEL]]
    if not ordinary:
        told = "no rule speaks of any text, so everything passes unseen"
        yield _warning("P118", source, ("policy_version",), told, key=True)
    watched = {(name, channel) for rule in ordinary for name in _named(rule, detectors) for channel in rule.channels()}
    for name in detectors:
        if ordinary and not any(who == name for who, _ in watched):
            told = (
                f"no rule speaks of `{name}`, so it does not run; add a rule (`do: flag` to only record) or remove it"
            )
            yield _warning("P118", source, ("detectors", name), told, key=True)
    for index in range(len(rules)):
        if why := _in_vain(source, rules, index, watched, detectors):
            yield _warning("P117", source, ("rules", index, "id"), why)


def _in_vain(
    source: PolicySource,
    rules: Sequence[Rule],
    index: int,
    watched: set[tuple[str, Channel]],
    detectors: Mapping[str, Detector],
) -> str:
    """Why this rule will never decide anything; empty if it may."""
    rule = rules[index]
    if rule.when.label == [ERROR_LABEL]:
        if not any((name, channel) in watched for name in _named(rule, detectors) for channel in rule.channels()):
            return "no other rule makes its detectors watch its channels, so they cannot fail there"
        return ""
    if rule.when.detector and rule.when.label:
        idle = [
            name for name in rule.when.detector if not {*detectors[name].labels, ERROR_LABEL} & set(rule.when.label)
        ]
        if idle:
            return f"`{idle[0]}` has none of its labels; make it a rule of its own"
    for other, earlier in enumerate(rules):
        same_file = source.place("rules", other).file == source.place("rules", index).file
        if other == index or not same_file or not _covers(earlier, rule, detectors):
            continue
        difference = SEVERITY[type(earlier.do.action())] - SEVERITY[type(rule.do.action())]
        if difference > 0 or (difference == 0 and other < index):
            why = "and comes first" if difference == 0 else f"and {_word(earlier)} outweighs {_word(rule)}"
            return f"`{earlier.id}` matches all that it matches, {why}"
    return ""


def _covers(wide: Rule, narrow: Rule, detectors: Mapping[str, Detector]) -> bool:
    """Does `wide` match whatever `narrow` matches?"""
    if wide.when.score > narrow.when.score or not set(narrow.channels()) <= set(wide.channels()):
        return False
    if not _named(narrow, detectors) <= _named(wide, detectors):
        return False
    if wide.when.model is not None and set(narrow.when.model or "*") - set(wide.when.model):
        return False
    if wide.when.label is None:
        return ERROR_LABEL not in (narrow.when.label or ())
    return narrow.when.label is not None and set(narrow.when.label) <= set(wide.when.label)


def _named(rule: Rule, detectors: Mapping[str, Detector]) -> set[str]:
    return set(detectors if rule.when.detector is None else rule.when.detector)


def _word(rule: Rule) -> str:
    return next(iter(rule.do.model_fields_set))


def _warning(code: str, source: PolicySource, at: tuple[str | int, ...], told: str, *, key: bool = False) -> Problem:
    return Problem(code, source.place(*at, key=key), told, Severity.WARNING)
