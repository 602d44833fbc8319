"""Hypothesis strategies for whole answers: long texts, bad words near every border, several lanes, choices and ends.

Texts are built from few draws (a unit and how long to repeat it), so that thousands of code points cost no more than
ten. No unit can complete another one's bad word across a border: what is bad is known without looking.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from guard.contract import REFUSAL, Channel, Context, Lane
from guard.engine.plan import Hold, Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    Action,
    ChoiceFinished,
    ChoiceOpened,
    Cut,
    Deadline,
    DeadlinePassed,
    Event,
    Flag,
    Mask,
    Repair,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from tests.support.engine import Words, plan_of

MASKED = ("SECRET", "CRETIN", "QQ")
SLOW = ("LATER",)
ENDING = ("STOP!",)
MARKS = ("SECRET", "SECRETIN", "SECRETSECRET", "QQ", "QQQQQ", "LATER", "NOTED")
NEAR_MISSES = ("SECRE", "STO", "Q", "LATE", "CRETI")
FILLERS = ("lorem ipsum dolor sit amet. ", "a", " \n", "中文字符，", "e\u0301", "👍🏽", "{}[]")
LENGTHS = (400, 1, 7, 15, 16, 17, 33, 70, 250, 800, 2_500)
NAMES = ("get_weather", "f", "LATER_tool")

marks = st.sampled_from(MARKS)
near_misses = st.sampled_from(NEAR_MISSES)
fillings = st.builds(
    lambda unit, length: (unit * (length // len(unit) + 1))[:length], st.sampled_from(FILLERS), st.sampled_from(LENGTHS)
)
harmless = st.lists(st.one_of(fillings, marks, fillings, near_misses), min_size=1, max_size=7).map("".join)
texts = st.one_of(
    harmless,
    harmless,
    harmless,
    st.builds("".join, st.tuples(harmless, st.sampled_from(ENDING), harmless)),
)
sizes = st.lists(st.sampled_from((1, 1, 2, 3, 5, 15, 16, 17, 31, 64, 200, 1_000)), min_size=1, max_size=6)

KINDS = (
    (Channel.REASONING, -1),
    (Channel.CONTENT, -1),
    (Channel.TOOL, 0),
    (Channel.REASONING, -1),
    (Channel.CONTENT, -1),
    (Channel.TOOL, 3),
    (Channel.CONTENT, REFUSAL),
)
masks: st.SearchStrategy[Action] = st.sampled_from([Mask("<{label}>"), Mask(""), Mask("*" * 30)])
endings: st.SearchStrategy[Action] = st.sampled_from(
    [Cut("Stopped."), Cut(), Cut("Too long.", "length"), Repair("conclude", otherwise=Cut("Cannot."))]
)


@dataclass(frozen=True)
class Segment:
    """Text of one lane between two moves to another."""

    lane: Lane
    text: str


@dataclass
class Scenario:
    """One answer, the policy it is under, and how to cut it into pieces."""

    choices: int
    segments: list[Segment]
    end: list[Event]
    sizes: list[int]
    holds: dict[Channel, Hold]
    lag: int
    actions: dict[str, Action]
    structured: bool
    names: list[str]
    detectors: list[Words] = field(default_factory=list)

    def events(self) -> list[Event]:
        """Each segment in one piece. A tool call is opened before its first arguments."""
        out: list[Event] = []
        opened: set[Lane] = set()
        for lane, text in ((segment.lane, segment.text) for segment in self.segments):
            if lane.channel is Channel.TOOL and lane not in opened:
                opened.add(lane)
                out.append(ToolCallOpened(lane.choice, lane.tool, f"call_{lane.tool}", self.name(lane)))
            out.append(TextReceived(lane, text))
        return out + self.end

    def name(self, lane: Lane) -> str:
        return self.names[(lane.choice + lane.tool) % len(self.names)]

    def text(self, lane: Lane) -> str:
        """All the text upstream has for a lane, as scanners see it."""
        before = f"{self.name(lane)}\n" if lane.channel is Channel.TOOL else ""
        return before + "".join(segment.text for segment in self.segments if segment.lane == lane)

    def plan(self) -> Plan:
        """A fresh plan, with detectors that remember nothing."""
        self.detectors = [
            Words("mask", MASKED),
            Words("slow", SLOW, lag=self.lag, label="other"),
            Words("end", ENDING),
            Words("note", ["NOTED"]),
        ]
        return plan_of(*self.detectors, actions=self.actions, hold=self.holds, keep_text=len(self.segments) % 2 == 0)

    def guard(self) -> StreamGuard:
        return StreamGuard(self.plan(), Context("hi"), choices=self.choices, structured=self.structured)


@st.composite
def holds(draw: st.DrawFn, *, whole: bool, ample: bool = False) -> Hold:
    """`ample`: no text here reaches the limit of what is held whole."""
    step = draw(st.sampled_from((16, 16, 1, 2, 5, 64)))
    limit = draw(st.sampled_from((100_000, 100_000 if ample else 3_000) if whole else (300, 4_000, 20, 50, 300, 50)))
    return Hold(step=step, limit=max(step, limit), whole=whole)


@st.composite
def scenarios(draw: st.DrawFn, *, flags_only: bool = False, finished: bool = False) -> Scenario:
    """`flags_only`: no rule does more than flag. `finished`: upstream says everything it has to say."""
    choices = draw(st.sampled_from((1, 1, 2)))
    segments = [
        Segment(Lane(choice, channel, tool), text)
        for choice, (channel, tool), text in draw(
            st.lists(
                st.tuples(st.integers(0, choices - 1), st.sampled_from(KINDS), texts), min_size=1, max_size=6
            )
        )
    ]  # fmt: skip
    finish: list[Event] = [ChoiceFinished(choice, "stop") for choice in range(choices)]
    ended: list[Event] = [*finish, UsageReported(Usage(3, 5)), UpstreamEnded()]
    broken: list[list[Event]] = [
        [UpstreamEnded()],
        [UpstreamFailed("upstream_error", "It broke.")],
        [DeadlinePassed(Deadline.TOTAL)],
        [*finish[:1], UpstreamFailed("upstream_error", "It broke.")],
        [ChoiceOpened(0), *finish, DeadlinePassed(Deadline.BETWEEN_EVENTS)],
    ]
    end = ended if finished else draw(st.sampled_from([ended] * 6 + broken))
    whole = draw(st.sampled_from((False, False, False, True)))
    actions: dict[str, Action] = {}
    if not flags_only:
        actions = {
            "mask": draw(masks),
            "slow": draw(st.one_of(masks, masks, st.just(Flag()))),
            "end": draw(st.one_of(endings, st.just(Flag()))),
        }
    return Scenario(
        choices=choices,
        segments=segments,
        end=end,
        sizes=draw(sizes),
        holds={
            Channel.REASONING: draw(holds(whole=False)),
            Channel.CONTENT: draw(holds(whole=whole and not flags_only)),
            Channel.TOOL: draw(holds(whole=True, ample=flags_only)),
        },
        lag=draw(st.sampled_from((400, 0, 0, 4, 40, 400))),
        actions=actions,
        structured=draw(st.booleans()),
        names=draw(st.permutations(NAMES)),
    )
