"""One choice of a response: its lanes, their order, its tool calls, and how it ends.

    IDLE --opened/text/tool--> OPEN --finished--> FINISHED      upstream ended it
                                |------cut------> CUT           a rule ended it
                                |------failed---> FAILED        the stream broke under it
                                |------paused---> PAUSED        a rule ended it and wants it answered anyway
                                      PAUSED --resumed--> OPEN  the continued request was accepted
                                             --cut------> CUT   it was not: the repair's `otherwise`

Only an OPEN choice takes text; what comes for any other state is dropped. Once a choice has been repaired, a stream
that breaks ends it in the repair's `otherwise`: the answer was given up before, and cutting it is what was promised.

More than 300 lines, because the states mean nothing without what is done on the way from one to the other.

The file is long because a repair is a part of a choice's states, and the table of states stays in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final, NamedTuple

from guard.contract import REFUSAL, Channel, Context, Lane
from guard.engine.lane import Ending, LaneReview
from guard.engine.plan import Plan
from guard.engine.pseudonyms import Pseudonyms
from guard.events import (
    Command,
    Cut,
    Decision,
    FinishChoice,
    Intervention,
    Logprob,
    OpenChoice,
    RecordDecision,
    Repair,
    Resume,
    SendNotice,
    SendText,
    SendToolCall,
)

DEFAULT_NOTICE: Final = "[Response stopped by policy.]"
"""Said when a cut leaves nothing visible: some agents ask again, without end, when an answer comes back empty."""
SEAM: Final = "\n\n"
"""Sent where a thinking goes on from further back than where it broke off, often in the middle of a word."""


class State(Enum):
    IDLE = "idle"
    OPEN = "open"
    PAUSED = "paused"
    FINISHED = "finished"
    CUT = "cut"
    FAILED = "failed"


class Signal(Enum):
    BEGUN = "begun"
    FINISHED = "finished"
    CUT = "cut"
    PAUSED = "paused"
    RESUMED = "resumed"
    FAILED = "failed"


TRANSITIONS: Final[Mapping[State, Mapping[Signal, State]]] = {
    State.IDLE: {Signal.BEGUN: State.OPEN, Signal.FINISHED: State.FINISHED, Signal.FAILED: State.FAILED},
    State.OPEN: {
        Signal.BEGUN: State.OPEN,
        Signal.FINISHED: State.FINISHED,
        Signal.CUT: State.CUT,
        Signal.PAUSED: State.PAUSED,
        Signal.FAILED: State.FAILED,
    },
    State.PAUSED: {Signal.RESUMED: State.OPEN, Signal.CUT: State.CUT, Signal.FAILED: State.FAILED},
    State.FINISHED: {},
    State.CUT: {},
    State.FAILED: {},
}
"""Every way a choice can go. A signal that is not listed for a state is ignored, with what it carries."""


class _ToolCall:
    __slots__ = ("id", "review")

    def __init__(self, id: str, review: LaneReview) -> None:
        self.id = id
        self.review = review


class _Repairing(NamedTuple):
    """The last repair: what ended which lane."""

    review: LaneReview
    ending: Ending
    action: Repair
    rewound: bool
    """The model goes on from further back than what was sent, or another one begins anew."""


class _Thought(NamedTuple):
    """What repairs kept of the thinking: it stands for all that was sent of it until `until`."""

    kept: str = ""
    until: int = 0


class ChoiceReview:
    """All the text of one choice."""

    def __init__(
        self,
        index: int,
        plan: Plan,
        context: Context,
        *,
        repairs: frozenset[str],
        structured: bool,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.index = index
        self.state = State.IDLE
        self.reopened = 0
        """How often a lane was taken up again after another had begun."""
        self._plan = plan
        self._context = context
        self._repairs = repairs
        self._structured = structured
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._lanes: dict[Lane, LaneReview] = {}
        self._tools: dict[int, _ToolCall] = {}
        self._current: LaneReview | None = None
        self._spent = 0.0
        self._generated = 0.0
        self._visible = False
        self._attempts: dict[str, int] = {}
        self._repair: _Repairing | None = None
        self._asleep: set[LaneReview] = set()
        self._thought = _Thought()

    def takes_text(self) -> bool:
        return self.state is State.OPEN

    @property
    def over(self) -> bool:
        return self.state in (State.FINISHED, State.CUT, State.FAILED)

    @property
    def spent(self) -> int:
        """Estimated tokens over all lanes, as far as they have been fed; what a repair dropped does not count."""
        return int(self._spent)

    @property
    def generated(self) -> int:
        """Estimated tokens that have been fed, what repairs dropped included."""
        return int(self._generated)

    @property
    def attempts(self) -> int:
        """How many repairs were begun."""
        return sum(self._attempts.values())

    @property
    def written(self) -> int:
        """Code points over all lanes, as far as they have been fed."""
        return sum(review.fed for review in self._lanes.values())

    def lanes(self) -> Sequence[LaneReview]:
        return tuple(self._lanes.values())

    # --- text

    def begin(self) -> list[Command]:
        """The choice exists. Idempotent."""
        first = self.state is State.IDLE
        return [OpenChoice(self.index)] if self._signal(Signal.BEGUN) and first else []

    def text(self, lane: Lane, text: str, logprobs: Sequence[Logprob]) -> list[Command]:
        """Take text of a reasoning or content lane, or arguments of a tool call that was opened."""
        commands = [] if self.takes_text() else self.begin()
        if not text or not self.takes_text():
            return commands
        if lane.channel is Channel.TOOL:
            tool = self._tools.get(lane.tool)
            if tool is None:
                return commands
            commands += self._leave_lane()
            return commands + self._push(tool.review, text, ()) if self.takes_text() else commands
        review = self._lanes.get(lane)
        if review is None:
            review = self._lanes[lane] = LaneReview(lane, self._plan, self._context, self._spend, self._pseudonyms)
        if review is not self._current:
            self.reopened += review.fed > 0
            commands += self._leave_lane()
            if not self.takes_text():
                return commands
            self._current = review
            if review in self._asleep:
                self._asleep.discard(review)
                review.reopen()
        return commands + self._push(review, text, logprobs)

    def tool(self, index: int, id: str, name: str) -> list[Command]:
        """A tool call begins. Its name is the first line of its lane; it leaves when the choice ends, or never."""
        commands = self.begin()
        if not self.takes_text() or index in self._tools:
            return commands
        commands += self._leave_lane()
        if self.takes_text():
            lane = Lane(self.index, Channel.TOOL, index)
            review = self._lanes[lane] = LaneReview(lane, self._plan, self._context, self._spend, self._pseudonyms)
            self._tools[index] = _ToolCall(id, review)
            commands += self._push(review, f"{name}\n", ())
        return commands

    # --- ends

    def finish(self, reason: str, native: str) -> list[Command]:
        """Upstream says the choice is complete: everything is settled, then tool calls leave, then the finish."""
        commands = self.begin()
        if not self.takes_text():
            return commands
        commands += self._leave_lane()
        calls: list[Command] = []
        for index, tool in self._tools.items():
            if not self.takes_text():
                return commands
            name, _, arguments = tool.review.finish().partition("\n")
            commands += self._after(tool.review)
            calls.append(SendToolCall(self.index, index, tool.id, name, arguments))
        if self.takes_text():
            self._signal(Signal.FINISHED)
            commands += [*calls, FinishChoice(self.index, reason, self._told(), native)]
        return commands

    def resume(self) -> list[Command]:
        """The continued request of a paused choice was accepted: take its text. A lane that goes on has its scanners
        opened anew, with what was sent of it as their history; a thinking that was concluded, only if it goes on."""
        repair = self._repair
        assert repair is not None
        self._signal(Signal.RESUMED)
        if repair.action.how == "conclude":
            self._asleep.add(repair.review)
            return []
        self._current = review = repair.review
        seam = review.break_off(SEAM) if repair.rewound else ""
        self._thought = self._thought._replace(until=self._thought.until + len(seam))
        review.reopen()
        return self._sent(review, seam, ()) + self._after(review)

    def fail(self) -> list[Command]:
        """The stream broke: what is clean of the open lane leaves, and nothing more. Tool calls do not leave, and
        what would have been repaired is cut, as is what has been."""
        self._repairs = frozenset()
        commands = self._leave_lane() if self.takes_text() else []
        commands += self.give_up()
        self._signal(Signal.FAILED)
        return commands

    def give_up(self) -> list[Command]:
        """If the answer was repaired, end it in the repair's `otherwise`: nothing is settled, nothing leaves."""
        if self._repair is None or self.over:
            return []
        return self._cut(self._repair.review, self._repair.ending, self._repair.action.otherwise)

    def abandon(self) -> None:
        """A clock ran out: nothing is settled, nothing leaves."""
        self._signal(Signal.FAILED)

    # --- inside

    def _signal(self, signal: Signal) -> bool:
        new = TRANSITIONS[self.state].get(signal)
        if new is None:
            return False
        self.state = new
        return True

    def _spend(self, tokens: float) -> None:
        self._spent += tokens
        self._generated += tokens

    def _leave_lane(self) -> list[Command]:
        review, self._current = self._current, None
        if review is None:
            return []
        return self._sent(review, review.finish(), ()) + self._after(review)

    def _push(self, review: LaneReview, text: str, logprobs: Sequence[Logprob]) -> list[Command]:
        released = review.push(text)
        if review.held or released != text:
            logprobs = ()
        return self._sent(review, released, logprobs) + self._after(review)

    def _sent(self, review: LaneReview, text: str, logprobs: Sequence[Logprob]) -> list[Command]:
        if not text:
            return []
        lane = review.lane
        if lane.channel is Channel.CONTENT and not self._visible:
            self._visible = not text.isspace()
        return [SendText(lane, text, logprobs)]

    def _after(self, review: LaneReview) -> list[Command]:
        """What the lane's review recorded, and its ending if it has one."""
        records: list[Command] = list(review.take_records())
        ending = review.ending
        if ending is None or not self.takes_text():
            return records
        if isinstance(ending.action, Cut):
            return [*map(without_repair, records), *self._cut(review, ending, ending.action)]
        return self._repair_lane(review, ending, ending.action, records)

    def _repair_lane(
        self, review: LaneReview, ending: Ending, repair: Repair, records: Sequence[Command]
    ) -> list[Command]:
        left = self._left(repair)
        if not self._repairable(review, repair) or left < 1:
            rest = self._sent(review, review.let_go(), ())
            return [*rest, *map(without_repair, records), *self._cut(review, ending, repair.otherwise)]
        attempt = self._attempts[repair.how] = self._attempts.get(repair.how, 0) + 1
        self._signal(Signal.PAUSED)
        self._current = None
        rewound = False
        if review.lane.channel is Channel.REASONING:
            sent, end = len(review.sent()), review.kept(repair, ending.finding)
            self._thought = _Thought(self._thinking(end), sent)
            rewound = end < sent or repair.how == "hand_over"
        self._repair = _Repairing(review, ending, repair, rewound)
        review.rewind()
        self._spent = sum(self._plan.count_tokens(lane.sent()) for lane in self._lanes.values())
        reasoning, content = self._thinking(), self._said(Channel.CONTENT)
        return [*records, Resume(self.index, review.lane, reasoning, content, repair, attempt, left)]

    def _repairable(self, review: LaneReview, repair: Repair) -> bool:
        """Can this be answered anyway? Tool calls and refusals cannot be taken up, nor a thinking behind text."""
        if repair.how not in self._repairs or self._attempts.get(repair.how, 0) >= repair.attempts:
            return False
        if self._tools or any(lane.tool == REFUSAL for lane in self._lanes):
            return False
        if review.lane.channel is Channel.REASONING:
            return repair.how == "conclude" or not self._said(Channel.CONTENT)
        return repair.how != "conclude"

    def _left(self, repair: Repair) -> int:
        """Tokens that a continuation may have."""
        limit = self._context.max_tokens
        if limit is None:
            return repair.max_tokens
        sent = sum(self._plan.count_tokens(review.sent()) for review in self._lanes.values())
        return min(repair.max_tokens, limit - int(sent))

    def _thinking(self, end: int | None = None) -> str:
        """The thinking as the model has it, of which the client may have more: what repairs kept of it, and what was
        sent since, up to `end` in what was sent."""
        kept, until = self._thought
        sent = self._said(Channel.REASONING)[:end]
        return kept + sent[until:] if len(sent) >= until else kept[: len(sent)]

    def _said(self, channel: Channel) -> str:
        """What was sent of the thinking or the answer."""
        review = self._lanes.get(Lane(self.index, channel))
        return "" if review is None else review.sent()

    def _cut(self, review: LaneReview, ending: Ending, cut: Cut) -> list[Command]:
        self._signal(Signal.CUT)
        commands: list[Command] = []
        notice = cut.notice if self._visible or cut.notice else DEFAULT_NOTICE
        if notice and not (self._structured and self._visible):
            commands.append(SendNotice(self.index, f"\n\n{notice}" if self._visible else notice))
        finding = ending.finding
        told = Intervention("cut", ending.rule, finding.detector, finding.label, str(review.lane.channel))
        return [*commands, FinishChoice(self.index, cut.finish, told)]

    def _told(self) -> Intervention | None:
        """What shaped a choice that ended by itself: the last repair, else the first mask."""
        if self._repair is not None:
            review, ending, repair, _ = self._repair
            finding = ending.finding
            return Intervention(
                "repair", ending.rule, finding.detector, finding.label, str(review.lane.channel), repair.how
            )
        for review in self._lanes.values():
            record = review.masked
            if record is not None:
                finding = record.finding
                return Intervention(
                    "mask", record.decision.rule, finding.detector, finding.label, str(record.lane.channel)
                )
        return None


def without_repair(command: Command) -> Command:
    """What was decided, in the words of what was done: a repair that cannot be had is its `otherwise`."""
    if isinstance(command, RecordDecision) and isinstance(command.decision.action, Repair):
        return replace(command, decision=Decision(command.decision.rule, command.decision.action.otherwise))
    return command
