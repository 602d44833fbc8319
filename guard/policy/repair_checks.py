"""What a rule's repair can mean where the rule speaks, and with which sampling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from guard.policy.problems import Problem
from guard.policy.schema import RepairSettings, Rule
from guard.policy.source import PolicySource


class _Range(NamedTuple):
    least: float
    most: float
    whole: bool = False


_RANGES: Final[Mapping[str, _Range]] = {
    "temperature": _Range(0, 2),
    "top_p": _Range(0, 1),
    "top_k": _Range(-1, 1_000_000, whole=True),
    "min_p": _Range(0, 1),
    "typical_p": _Range(0, 1),
    "frequency_penalty": _Range(-2, 2),
    "presence_penalty": _Range(-2, 2),
    "repetition_penalty": _Range(0, 2),
    "seed": _Range(-(2**63), 2**63 - 1, whole=True),
}
"""What upstreams take; one that is stricter would refuse the continued request, and the repair with it."""

_LANGUAGE: Final = "language"


def repair_errors(source: PolicySource, index: int, rule: Rule) -> Iterator[Problem]:
    """Every problem of the rule's repair, if it has one."""
    repair = rule.do.repair
    if repair is None:
        return
    at = ("rules", index, "do")
    channels = rule.when.channel or ()
    if "prompt" in channels:
        told = "a prompt cannot be repaired, since no answer has begun; use `cut` or `mask`"
        yield Problem("P116", source.place(*at), told)
    if "tool" in channels:
        told = "a tool call cannot be repaired, since it leaves whole or not at all; use `cut`, in a rule of its own"
        yield Problem("P116", source.place(*at), told)
    if "content" in channels and repair.how == "conclude":
        told = "an answer has no thinking that could be closed; use `how: resample`, in a rule of its own"
        yield Problem("P116", source.place(*at, "repair", "how"), told)
    yield from _words(source, at, repair)
    yield from _sampling(source, at, rule, repair)


def _words(source: PolicySource, at: tuple[str | int, ...], repair: RepairSettings) -> Iterator[Problem]:
    if repair.phrase and repair.how != "conclude":
        told = "only `conclude` has a phrase, which ends the thinking; to tell the model something, use `instruction`"
        yield Problem("P116", source.place(*at, "repair", "phrase"), told)
    if repair.instruction and repair.how == "conclude":
        told = "`conclude` leaves the prompt as it is, so that upstream need not read it again; use `phrase`"
        yield Problem("P116", source.place(*at, "repair", "instruction"), told)


def _sampling(source: PolicySource, at: tuple[str | int, ...], rule: Rule, repair: RepairSettings) -> Iterator[Problem]:
    for name, value in repair.sampling.items():
        range = _RANGES[name]
        place = source.place(*at, "repair", "sampling", name)
        if not range.least <= value <= range.most or (range.whole and value != int(value)):
            kind = "a whole number" if range.whole else "a number"
            told = f"`{name}` must be {kind} from {range.least} to {range.most}, not {value:g}"
            yield Problem("P104", place, told)
    if "presence_penalty" in repair.sampling and _speaks_of_languages(source, rule):
        told = (
            "a presence penalty makes models change their language, because the words of the one they are in have all "
            "been used; lower the temperature instead"
        )
        yield Problem("P116", source.place(*at, "repair", "sampling", "presence_penalty", key=True), told)


def _speaks_of_languages(source: PolicySource, rule: Rule) -> bool:
    """Does the rule name a detector of languages?"""
    listed = source.policy.detectors
    return any((listed[name].use or name) == _LANGUAGE for name in rule.when.detector or () if name in listed)
