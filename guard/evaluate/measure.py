"""What every detector of a policy finds in one labelled record, and what the policy does about it.

    Labelled -> per detector: reasoning | content --on the plan's grid--> findings, peaks, first alarms
             -> the engine under the whole policy ----------------------> outcome

Each detector sees the whole of every lane that it watches, alone: a cut because of one finding must not hide what
another detector, or the same one, would have found later. Offsets called `response` run over reasoning and content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec

from guard.contract import ERROR_LABEL, STOP, WARN, Channel, Context, Detector, Finding, Lane, Span, estimate_tokens
from guard.engine.lane import LaneReview
from guard.engine.plan import Plan
from guard.evaluate.labels import Labelled, Mark, Subject, Truth
from guard.evaluate.timing import TimedDetector
from guard.events import Decision, Flag, RecordDecision
from guard.offline import run, summarise
from guard.policy import CompiledPolicy

BARS: Final = (STOP, WARN)
"""Scores at which a finding counts as an alarm."""


class Found(msgspec.Struct, frozen=True):
    """A finding. Its span, evidence and `at` (how much had been read) count code points of its lane; `base` is where
    the lane starts in the response."""

    label: str
    score: float
    channel: Channel
    span: Span
    evidence: Span | None
    at: int
    base: int
    detail: Mapping[str, str | float]


class Alarm(msgspec.Struct, frozen=True):
    """The first finding of a score. `at` is a response offset; `leaked` and `saved` are tokens: those between the
    onset and where the text would be cut, and those that would not have been generated."""

    found: Found
    at: int
    leaked: float
    saved: float


class Result(msgspec.Struct, frozen=True):
    """What one detector made of a record. `peaks` holds every label, at 0 if nothing came near."""

    findings: Sequence[Found]
    peaks: Mapping[str, float]
    alarms: Mapping[float, Alarm]
    errors: int
    nanoseconds: int
    tokens: float
    """Tokens of the lanes it watches; 0 means that it has not seen the record."""


class Measured(msgspec.Struct, frozen=True):
    """A record, measured. `line` is its number in the file."""

    line: int
    id: str | int
    source: str
    model: str
    language: str
    tokens: float
    length: int
    starts: Mapping[Channel, int]
    """Where each lane starts in the response."""
    truths: Mapping[Subject, Truth]
    marks: Sequence[Mark]
    results: Mapping[str, Result]
    outcome: str
    rules: Sequence[str]

    def place(self, offset: int | None) -> str:
        """A response offset as `channel:offset`, or nothing for none."""
        if offset is None or not self.starts:
            return ""
        inside = [(start, channel) for channel, start in self.starts.items() if start <= offset]
        start, channel = max(inside, key=lambda each: each[0])
        return f"{channel}:{offset - start}"


def measure(line: int, labelled: Labelled, policy: CompiledPolicy, subjects: Mapping[str, Subject]) -> Measured:
    """Run a record through every detector of a loaded policy. `subjects` says what each detector speaks of."""
    record = labelled.record
    model = record.model or ""
    plan = policy.plan(model)
    decided = summarise(record.id, run(record, policy))
    lanes = labelled.lanes()
    text = "".join(text for _, text in lanes)
    return Measured(
        line=line,
        id=record.id,
        source=labelled.source,
        model=model,
        language=labelled.language,
        tokens=estimate_tokens(text),
        length=len(text),
        starts=_starts(lanes),
        truths=labelled.truths,
        marks=labelled.marks,
        results={
            detector.name: _watch(
                detector, plan, labelled, labelled.truths.get(subjects.get(detector.name, Subject.HARM))
            )
            for detector in policy.detectors
        },
        outcome=decided.outcome,
        rules=sorted({action.rule for action in decided.actions}),
    )


def _starts(lanes: Sequence[tuple[Lane, str]]) -> dict[Channel, int]:
    starts, end = {}, 0
    for lane, text in lanes:
        starts[lane.channel] = end
        end += len(text)
    return starts


def _truth(labelled: Labelled, subject: Subject | None) -> Truth | None:
    return None if subject is None else labelled.truths.get(subject)


def _watch(detector: Detector, plan: Plan, labelled: Labelled, truth: Truth | None) -> Result:
    timed = TimedDetector(detector)
    spent = 0.0

    def spend(tokens: float) -> None:
        nonlocal spent
        spent += tokens

    context = Context(labelled.record.prompt_text(), labelled.record.model or "", spent=lambda _choice: int(spent))
    findings: list[Found] = []
    peaks = dict.fromkeys(detector.labels, 0.0)
    errors = base = 0
    seen = 0.0
    for lane, text in labelled.lanes():
        if any(each.name == detector.name for each in plan.watch.get(lane.channel, ())):
            review = LaneReview(lane, _alone(timed, lane, plan), context, spend)
            review.push(text)
            review.finish()
            for record in review.take_records():
                finding = record.finding
                if finding.label == ERROR_LABEL:
                    errors += 1
                elif finding.detector == detector.name:  # not the engine's own, on a prompt past its limit
                    findings.append(_found(record, base))
                    peaks[finding.label] = max(peaks[finding.label], finding.score)
            for (_, label), score in review.peaks().items():
                peaks[label] = max(peaks.get(label, 0.0), score)
            seen += estimate_tokens(text)
        else:
            spend(plan.count_tokens(text))
        base += len(text)
    response = "".join(text for _, text in labelled.lanes())
    alarms = {}
    for bar in BARS:
        first = next((found for found in findings if found.score >= bar), None)
        if first is not None:
            alarms[bar] = _alarm(first, response, truth)
    return Result(findings, peaks, alarms, errors, timed.nanoseconds, seen)


def _alone(detector: TimedDetector, lane: Lane, plan: Plan) -> Plan:
    """The plan for one detector that only watches; it is asked to settle as often as if its rules could act."""
    return Plan(
        watch={lane.channel: (cast(Detector, detector),)},
        decide=_only_watch,
        can_act=plan.can_act,
        hold=plan.hold,
        count_tokens=plan.count_tokens,
    )


def _only_watch(_lane: Lane, _finding: Finding) -> Decision:
    return Decision("", Flag())


def _found(record: RecordDecision, base: int) -> Found:
    finding = record.finding
    return Found(
        label=finding.label,
        score=finding.score,
        channel=record.lane.channel,
        span=finding.span,
        evidence=finding.evidence,
        at=record.at,
        base=base,
        detail=dict(finding.detail),
    )


def _alarm(found: Found, response: str, truth: Truth | None) -> Alarm:
    at = found.base + found.at
    cut = found.base + found.span.start
    onset = truth.onset if truth is not None and truth.onset is not None else cut
    return Alarm(
        found=found,
        at=at,
        leaked=estimate_tokens(response[onset:cut]) if cut > onset else 0.0,
        saved=estimate_tokens(response[at:]),
    )
