"""One lane under review: scanners are fed on an absolute grid, and what they have settled may leave.

      text ->  | step | step | step | tail      scanners see whole steps; the tail waits for more text or the lane's end
                             ^ fed
      released <= floor = min(settled of the scanners that can act) <= fed

Findings, decisions and releases happen at grid points only, so they do not depend on how the text arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from guard.contract import (
    ERROR_LABEL,
    Context,
    Finding,
    Lane,
    Report,
    Span,
)
from guard.engine.buffer import HoldBack
from guard.engine.plan import DEFAULT_HOLD, Plan
from guard.engine.watch import Watch
from guard.events import Cut, Decision, Mask, RecordDecision, Repair

HOLD_LIMIT_RULE = "hold_limit"
"""The rule id under which a lane that is held whole ends when it grows past its limit."""


class Ending(NamedTuple):
    """Why a lane ends before its text does. `at` is where: text before it may have left, text after it never will."""

    at: int
    finding: Finding
    rule: str
    action: Cut | Repair


class LaneReview:
    """The text of one lane, from arrival to release."""

    __slots__ = (
        "_buffer",
        "_counters",
        "_held",
        "_hold",
        "_incoming",
        "_kept",
        "_plan",
        "_records",
        "_spend",
        "_watches",
        "ending",
        "fed",
        "lane",
        "masked",
    )

    def __init__(self, lane: Lane, plan: Plan, context: Context, spend: Callable[[float], None]) -> None:
        self.lane = lane
        self.fed = 0
        self.ending: Ending | None = None
        self.masked: RecordDecision | None = None
        """The first decision that masked text of this lane."""
        self._plan = plan
        self._spend = spend
        self._hold = plan.hold.get(lane.channel) or DEFAULT_HOLD[lane.channel]
        self._buffer = HoldBack()
        self._incoming = ""
        self._kept: list[str] = []
        self._records: list[RecordDecision] = []
        self._counters: dict[tuple[str, str], float] = {}
        self._watches: list[Watch] = []
        broken: list[Finding] = []
        for detector in plan.watch.get(lane.channel, ()):
            acts = plan.can_act(lane.channel, detector.name)
            try:
                self._watches.append(Watch(detector, detector.open(lane, context), acts))
            except Exception as error:  # noqa: BLE001 - whatever a detector does, the policy decides
                broken.append(self._broken(detector.name, 0, error))
        self._held = self._hold.whole or any(watch.acts for watch in self._watches)
        self._judge(broken)

    # --- what it knows

    @property
    def held(self) -> bool:
        """True if text waits for a verdict here; False if it leaves on arrival."""
        return self._held

    @property
    def released(self) -> int:
        return self._buffer.released

    @property
    def floor(self) -> int:
        """How far text may leave now."""
        return min((watch.settled for watch in self._watches if watch.acts), default=self.fed)

    def take_records(self) -> list[RecordDecision]:
        """The decisions since the last call, in order."""
        records, self._records = self._records, []
        return records

    def counters(self) -> dict[tuple[str, str], float]:
        """Sums of what the scanners counted, by (detector, counter)."""
        return self._counters

    def peaks(self) -> dict[tuple[str, str], float]:
        """The highest score so far by (detector, label), of the scanners that tell."""
        found: dict[tuple[str, str], float] = {}
        for watch in self._watches:
            tell = getattr(watch.scanner, "peaks", None)
            if tell is not None:
                found |= {(watch.name, label): score for label, score in tell().items()}
        return found

    def kept(self, end: int) -> str:
        """The raw text before `end`, for a continued prompt. Needs a plan with `keep_text`."""
        return ("".join(self._kept) + self._buffer.held())[:end]

    # --- what it does

    def push(self, text: str) -> str:
        """Take text of the lane; returns what may leave. Does nothing once there is an ending."""
        if self.ending is not None:
            return ""
        self._buffer.append(text)
        incoming = self._incoming + text if self._incoming else text
        step = self._hold.step
        out: list[str] = []
        at = 0
        size = step - self.fed % step
        while len(incoming) - at >= size:
            out.append(self._feed(incoming[at : at + size]))
            if self._ended():
                return "".join(out)
            at += size
            size = step
        self._incoming = incoming[at:] if at else incoming
        if not self._held:
            out.append(self._release(self._buffer.end))
        return "".join(out) if len(out) != 1 else out[0]

    def settle(self) -> str:
        """Feed the tail and let every scanner decide on all there is; returns what may leave. More text may follow."""
        if self.ending is not None:
            return ""
        out = ""
        if self._incoming:
            tail, self._incoming = self._incoming, ""
            out = self._feed(tail)
        if self.ending is None:
            self._judge(self._ask_to_settle())
            out += self._go(settled=True)
        return out

    def finish(self) -> str:
        """Settle, and let a lane that is held whole go. More text may still follow: it is held whole for itself."""
        out = self.settle()
        return out if self.ending is not None else out + self._release(self.fed)

    # --- inside

    def _feed(self, piece: str) -> str:
        self.fed += len(piece)
        self._spend(self._plan.count_tokens(piece))
        findings: list[Finding] = []
        for watch in tuple(self._watches):
            before = watch.settled
            try:
                report = watch.scanner.feed(piece)
                findings += watch.accept(report, self.fed, settling=False)
                if report.counters:
                    self._count(watch.name, report)
            except Exception as error:  # noqa: BLE001 - whatever a detector does, the policy decides
                findings.append(self._broken(watch.name, before, error))
        if findings:
            self._judge(findings)
        out = self._go()
        if self.ending is None and self._held and self.fed - self._buffer.released >= self._hold.limit:
            if self._hold.whole:
                finding = Finding("hold", "limit", 1.0, Span(self._buffer.released, self.fed))
                decision = Decision(HOLD_LIMIT_RULE, Cut())
                self._records.append(RecordDecision(self.lane, finding, decision, self.fed))
                self._end(finding, decision)
            else:
                self._judge(self._ask_to_settle())
                out += self._go(settled=True)
        return out

    def _ended(self) -> bool:
        return self.ending is not None

    def _ask_to_settle(self) -> list[Finding]:
        findings: list[Finding] = []
        for watch in tuple(self._watches):
            before = watch.settled
            try:
                report = watch.scanner.settle()
                findings += watch.accept(report, self.fed, settling=True)
                if report.counters:
                    self._count(watch.name, report)
            except Exception as error:  # noqa: BLE001 - whatever a detector does, the policy decides
                findings.append(self._broken(watch.name, before, error))
        return findings

    def _broken(self, name: str, settled: int, error: Exception) -> Finding:
        """A scanner that raised or lied: it is no longer asked, and the policy decides what that means."""
        self._watches = [watch for watch in self._watches if watch.name != name]
        detail: dict[str, str | float] = {"error": type(error).__name__}
        return Finding(name, ERROR_LABEL, 1.0, Span(settled, self.fed), detail=detail)

    def _judge(self, findings: Sequence[Finding]) -> None:
        """Decide on findings of one grid point, in the order of the detectors."""
        for finding in findings:
            decision = self._plan.decide(self.lane, finding)
            action = decision.action
            if isinstance(action, Mask):
                replacement = action.replacement.replace("{label}", finding.label)
                if not self._buffer.mask(finding.span, replacement):
                    decision = Decision(decision.rule, Cut())  # part of it has left: end it here
            record = RecordDecision(self.lane, finding, decision, self.fed)
            self._records.append(record)
            if isinstance(decision.action, Mask):
                self.masked = self.masked or record
            elif isinstance(decision.action, Cut | Repair):
                self._end(finding, decision)

    def _end(self, finding: Finding, decision: Decision) -> None:
        """Keep the most severe ending, at the earliest place any ending asks for."""
        action = decision.action
        assert isinstance(action, Cut | Repair)
        at = max(finding.span.start, self._buffer.released) if self._held else self.fed
        new = Ending(at, finding, decision.rule, action)
        old = self.ending
        if old is None:
            self.ending = new
        else:
            harder = isinstance(new.action, Cut) and isinstance(old.action, Repair)
            self.ending = (new if harder else old)._replace(at=min(old.at, new.at))

    def _go(self, *, settled: bool = False) -> str:
        """Release what may leave now. At an ending the text before it is reviewed to its end first."""
        if self.ending is None:
            if not self._held:
                return self._release(self.fed)
            return "" if self._hold.whole else self._release(self.floor)
        if not settled:
            self._judge(self._ask_to_settle())
        return "" if self._hold.whole else self._release(self.ending.at)

    def _release(self, floor: int) -> str:
        if self._plan.keep_text:
            waiting = self._buffer.held()
            before = self._buffer.released
            text = self._buffer.release(floor)
            self._kept.append(waiting[: self._buffer.released - before])
            return text
        return self._buffer.release(floor)

    def _count(self, name: str, report: Report) -> None:
        for counter, value in report.counters.items():
            key = (name, counter)
            self._counters[key] = self._counters.get(key, 0.0) + value
