"""What the page holds of each record: what the list shows, where things are, and the texts, deflated.

Which records go along is a matter of interest: those that a detector got wrong first, then those that one would have
stopped, then those in which one saw anything, then the rest, as long as there is room.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from guard.contract import STOP
from guard.evaluate.labels import Labelled
from guard.evaluate.measure import Found, Measured
from guard.evaluate.report import Report, describe

PROMPT: Final = 4_000
"""Most characters of a prompt that go along."""

_TEXT_PER_BYTE: Final = 4
"""Characters that one byte of deflated, encoded text may hold; more are not read, as they would not fit."""

Read = Callable[[set[int]], Iterable[tuple[int, Labelled]]]
"""The labelled records on the given lines."""

Remark = tuple[str, str, str, str]
"""Detector; `missed`, `false` or `grey`; where; why."""


def entries_of(report: Report, measured: Sequence[Measured], read: Read, limit: int) -> list[dict[str, Any]]:
    """Entries by interest, as many as have texts of `limit` bytes together. Positions count code points of the
    response."""
    told = _told(report)
    ranked = sorted(measured, key=lambda each: (_interest(each, told.get(each.line, ())), each.line))
    texts = _texts(ranked, read, limit)
    return [_entry(each, told.get(each.line, ()), texts[each.line]) for each in ranked if each.line in texts]


def _told(report: Report) -> Mapping[int, Sequence[Remark]]:
    told: dict[int, list[Remark]] = {}
    for detector in report.detectors:
        for what, those in (("missed", detector.misses), ("false", detector.false_alarms), ("grey", detector.grey)):
            for each in those:
                told.setdefault(each.line, []).append((detector.name, what, each.place, each.reason))
    return told


def _interest(measured: Measured, told: Sequence[Remark]) -> tuple[int, int]:
    """Less is more interesting; among what is wrong, what comes first in the policy's order of detectors."""
    names = list(measured.results)
    wrong = [names.index(name) for name, what, _, _ in told if what != "grey"]
    if wrong:
        return 0, min(wrong)
    results = measured.results.values()
    if told or any(STOP in result.alarms for result in results):
        return 1, 0
    return (2 if any(result.findings for result in results) else 3), 0


def _texts(ranked: Sequence[Measured], read: Read, limit: int) -> dict[int, str]:
    """Deflated texts by line: the first of `ranked` that fit into `limit` together."""
    wanted, room = set(), float(limit * _TEXT_PER_BYTE)
    for each in ranked:
        if room < 0:
            break
        wanted.add(each.line)
        room -= each.length
    packed = {line: _packed(labelled) for line, labelled in read(wanted)}
    fit: dict[int, str] = {}
    left = limit
    for each in ranked:
        left -= len(packed.get(each.line, ""))
        if left < 0 or each.line not in packed:
            break
        fit[each.line] = packed[each.line]
    return fit


def _packed(labelled: Labelled) -> str:
    prompt = "" if labelled.prompted else labelled.record.prompt_text()
    shown = prompt if len(prompt) <= PROMPT else f"{prompt[:PROMPT]} … and {len(prompt) - PROMPT:,} more characters"
    lanes = [(lane.channel, text) for lane, text in labelled.lanes()]
    return base64.b64encode(zlib.compress(json.dumps({"prompt": shown, "lanes": lanes}).encode(), 9)).decode()


def _entry(measured: Measured, told: Sequence[Remark], text: str) -> dict[str, Any]:
    truths = measured.truths.items()
    return {
        "line": measured.line,
        "id": str(measured.id),
        "source": measured.source,
        "model": measured.model,
        "outcome": measured.outcome,
        "truths": [[subject, truth.positive, truth.kind, truth.how] for subject, truth in truths],
        "onsets": [[subject, truth.onset] for subject, truth in truths if truth.onset is not None],
        "marks": [list(mark) for mark in measured.marks],
        "told": [list(each) for each in told],
        "findings": [_finding(name, found) for name, result in measured.results.items() for found in result.findings],
        "text": text,
    }


def _finding(detector: str, found: Found) -> list[Any]:
    base, span, evidence = found.base, found.span, found.evidence
    proof = [None, None] if evidence is None else [base + evidence.start, base + evidence.end]
    return [detector, found.score, base + span.start, base + span.end, *proof, base + found.at, describe(found)]
