"""One lane under review: scanners are fed on an absolute grid, and what they have settled may leave.

      text ->  | step | step | step | tail      scanners see whole steps; the tail waits for more text or the lane's end
                             ^ fed
      released <= floor = min(settled of the scanners that can act) <= fed

Findings, decisions and releases happen at grid points only, so they do not depend on how the text arrived.

A repair drops what was held and goes on behind what was sent, as it was sent: `rewind` makes that the lane's text, from
which positions count anew, and `reopen` gives it to new scanners as their history.

More than 300 lines: feeding, judging and releasing share every field, and the order between them is the guarantee.

The file is long because feeding, deciding and releasing share one grid, on which every guarantee rests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from guard.contract import (
    ERROR_LABEL,
    Channel,
    Context,
    Finding,
    Lane,
    Report,
    Span,
)
from guard.engine import sentences
from guard.engine.buffer import HoldBack
from guard.engine.plan import DEFAULT_HOLD, Plan
from guard.engine.pseudonyms import Pseudonyms
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
        "_context",
        "_counters",
        "_held",
        "_hold",
        "_incoming",
        "_peaks",
        "_plan",
        "_pseudonyms",
        "_records",
        "_sent",
        "_spend",
        "_watches",
        "ending",
        "fed",
        "lane",
        "masked",
    )

    def __init__(
        self,
        lane: Lane,
        plan: Plan,
        context: Context,
        spend: Callable[[float], None],
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.lane = lane
        self.fed = 0
        self.ending: Ending | None = None
        self.masked: RecordDecision | None = None
        """The first decision that masked text of this lane."""
        self._plan = plan
        self._context = context
        self._spend = spend
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._hold = plan.hold.get(lane.channel) or DEFAULT_HOLD[lane.channel]
        self._buffer = HoldBack()
        self._incoming = ""
        self._sent: list[str] = []
        self._records: list[RecordDecision] = []
        self._counters: dict[tuple[str, str], float] = {}
        self._peaks: dict[tuple[str, str], float] = {}
        self._watches: list[Watch] = []
        self._held = False
        self._open()

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
        """The highest score so far by (detector, label), of the scanners that tell. One that fails to tell has none:
        peaks are for evaluation, no verdict stands on them."""
        found = dict(self._peaks)
        for watch in self._watches:
            tell = getattr(watch.scanner, "peaks", None)
            if tell is None:
                continue
            with suppress(Exception):
                for label, score in tell().items():
                    found[watch.name, label] = max(score, found.get((watch.name, label), 0.0))
        return found

    def sent(self) -> str:
        """All that left of the lane, as it left. Needs a plan with `keep_text`."""
        self._sent = ["".join(self._sent)]
        return self._sent[0]

    def kept(self, repair: Repair, finding: Finding) -> int:
        """How much of what was sent is the clean text from which thinking goes on after `finding`, as `repair.keep`
        says. Needs a plan with `keep_text`."""
        end = self._buffer.sent(min(_clean_until(repair, finding), self._buffer.released))
        return end if repair.keep == "span_start" else sentences.last_end(self.sent(), end) or end

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

    def let_go(self) -> str:
        """What a repair would have dropped of the text before the ending: released where the repair cannot be had."""
        assert self.ending is not None
        return "" if self._hold.whole else self._release(self.ending.at)

    def rewind(self) -> None:
        """After a repair: drop what is held and forget the ending. What was sent is the lane's text now. No text may
        come before `reopen`."""
        self._peaks = self.peaks()
        self._watches = []
        self._incoming = ""
        self.ending = None
        self.fed = len(self.sent())
        self._buffer.restart(self.fed)

    def break_off(self, seam: str) -> str:
        """Between `rewind` and `reopen`: let `seam` stand behind what was sent, unless a line is over there anyway."""
        sent = self.sent()
        if not sent or sent.endswith("\n"):
            return ""
        self._sent.append(seam)
        self.fed += len(seam)
        self._buffer.restart(self.fed)
        return seam

    def reopen(self) -> None:
        """Open scanners anew, with what was sent as their history."""
        self._open(self.sent())

    # --- inside

    def _open(self, history: str = "") -> None:
        broken: list[Finding] = []
        for detector in self._plan.watch.get(self.lane.channel, ()):
            acts = self._plan.can_act(self.lane.channel, detector.name)
            try:
                scanner = detector.open(self.lane, self._context, history)
                self._watches.append(Watch(detector, scanner, acts, len(history)))
            except Exception as error:  # noqa: BLE001 - whatever a detector does, the policy decides
                broken.append(self._broken(detector.name, len(history), error))
        self._held = self._hold.whole or any(watch.acts for watch in self._watches)
        self._judge(broken)

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
            if isinstance(action, Mask) and not self._buffer.mask(finding.span, self._replacement(action, finding)):
                decision = Decision(decision.rule, Cut())  # part of it has left: end it here
            record = RecordDecision(self.lane, finding, decision, self.fed)
            self._records.append(record)
            if isinstance(decision.action, Mask):
                self.masked = self.masked or record
            elif isinstance(decision.action, Cut | Repair):
                self._end(finding, decision)

    def _replacement(self, mask: Mask, finding: Finding) -> str:
        words = mask.replacement.replace("{label}", finding.label)
        if "{n}" not in words:
            return words
        return words.replace("{n}", str(self._pseudonyms.number(finding.label, self._buffer.held(finding.span))))

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
            if self._hold.whole:
                return ""
            return self._release(self._sentence_end(self.floor) if self._hold.sentences and not settled else self.floor)
        if not settled:
            self._judge(self._ask_to_settle())
        return "" if self._hold.whole else self._release(self._clean_end(self.ending))

    def _sentence_end(self, floor: int) -> int:
        """The last sentence end before `floor`; the floor itself where a sentence does not come to its end."""
        waiting = floor - self._buffer.released
        end = sentences.last_end(self._buffer.held(), waiting)
        return self._buffer.released + end if end or waiting < sentences.LONGEST else floor

    def _clean_end(self, ending: Ending) -> int:
        """How far text leaves at an ending. An answer that is repaired goes on from exactly what was sent of it, so
        nothing leaves that the repair does not want to keep."""
        repair = ending.action
        if not isinstance(repair, Repair) or self.lane.channel is not Channel.CONTENT:
            return ending.at
        end = min(_clean_until(repair, ending.finding), ending.at)
        if repair.keep == "last_sentence":
            end = self._buffer.released + sentences.last_end(self._buffer.held(), end - self._buffer.released)
        return end

    def _release(self, floor: int) -> str:
        text = self._buffer.release(floor)
        if text and self._plan.keep_text:
            self._sent.append(text)
        return text

    def _count(self, name: str, report: Report) -> None:
        for counter, value in report.counters.items():
            key = (name, counter)
            self._counters[key] = self._counters.get(key, 0.0) + value


def _clean_until(repair: Repair, finding: Finding) -> int:
    """Where the text worth keeping ends at the latest, as the repair says."""
    if repair.keep == "first_copy" and finding.evidence is not None:
        return finding.evidence.start
    return finding.span.start
