"""Repairs: what is let go, what is kept, how the choice goes on, and how it ends where it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from guard.contract import REFUSAL, Channel, Context, Finding, Lane, Report, Span
from guard.engine.lane import LaneReview
from guard.engine.plan import Hold, Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    Action,
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Cut,
    Deadline,
    DeadlinePassed,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Flag,
    Intervention,
    Mask,
    OpenChoice,
    Repair,
    RepairUsage,
    Resume,
    SendNotice,
    SendText,
    SendUsage,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
    Usage,
    UsageReported,
)
from tests.support.engine import CONTENT, REASONING, Custom, Words, finishes, hit, plan_of, play, records, said, seen

CUT = Cut("Sorry.")
CONCLUDE = Repair("conclude", "span_start", phrase="So.", otherwise=CUT)
RESAMPLE = Repair("resample", "span_start", otherwise=CUT)
HAND_OVER = Repair("hand_over", "span_start", otherwise=CUT)
ALL = ("conclude", "resample", "hand_over")
HOLD = {channel: Hold(step=4) for channel in (Channel.REASONING, Channel.CONTENT)}

RESUMED = UpstreamResumed(0)
FINISHED = ChoiceFinished(0, "stop")
ENDED = UpstreamEnded()
BROKE = UpstreamFailed("upstream_reset", "It broke.")
STALLED = DeadlinePassed(Deadline.BETWEEN_EVENTS)


def thinks(text: str) -> TextReceived:
    return TextReceived(REASONING, text)


def answers(text: str) -> TextReceived:
    return TextReceived(CONTENT, text)


def guard_of(
    actions: dict[str, Action] | Action,
    *detectors: Any,
    repairs: Iterable[str] = ALL,
    max_tokens: int | None = None,
    hold: Any = None,
    prompt: str = "",
    **options: Any,
) -> StreamGuard:
    """`actions` for `Words` of the same name: "again" finds AGAIN!, "loops" finds LOOP!; one action is for "again"."""
    actions = actions if isinstance(actions, dict) else {"again": actions}
    found = detectors or (Words("again", ["AGAIN!"]), Words("loops", ["LOOP!"]), Words("hide", ["SECRET"]))
    plan = plan_of(*found, actions=actions, hold=hold or HOLD, keep_text=True)
    context = Context(prompt=prompt, max_tokens=max_tokens)
    return StreamGuard(plan, context, repairs=frozenset(repairs), **options)


def paused(guard: StreamGuard, *events: Event) -> Resume:
    """Play `events`; returns the last command, which asks to go on."""
    *_, cancel, resume = play(guard, events)
    assert cancel == CancelUpstream()
    assert isinstance(resume, Resume)
    return resume


def told(action: str = "repair", how: str = "", channel: str = "reasoning", rule: str = "again") -> Intervention:
    return Intervention(action, rule, rule, "hit", channel, how)  # type: ignore[arg-type]


CUT_SHORT = [SendNotice(0, "Sorry."), FinishChoice(0, "content_filter", told("cut"))]


# --- one answer for the client


def test_a_conclusion_is_one_answer() -> None:
    guard = guard_of(CONCLUDE)
    first: list[Event] = [ChoiceOpened(0), thinks("I wonder. AGAIN! AGAIN!")]
    commands = play(guard, [*first, RESUMED, ChoiceOpened(0), answers("It is 4."), FINISHED, ENDED])
    assert [command for command in seen(commands) if not isinstance(command, SendUsage)] == [
        OpenChoice(0),
        SendText(REASONING, "I wonder. "),
        CancelUpstream(),
        Resume(0, REASONING, "I wonder. ", "", CONCLUDE, 1, 4_096),
        SendText(CONTENT, "It is 4."),
        FinishChoice(0, "stop", told(how="conclude")),
        EndStream(),
    ]
    assert [record.decision.action for record in records(commands)] == [CONCLUDE]


@pytest.mark.parametrize("repair", [RESAMPLE, HAND_OVER])
def test_an_answer_goes_on_where_the_client_has_it(repair: Repair) -> None:
    guard = guard_of({"again": repair, "hide": Mask("<{label}>")})
    resume = paused(guard, thinks("Hm. SECRET."), answers("A SECRET is out. AGAIN! AG"))
    assert (resume.reasoning, resume.content) == ("Hm. <hit>.", "A <hit> is out. ")
    commands = play(guard, [RESUMED, answers("That SECRET was all."), FINISHED, ENDED])
    assert said(commands) == {CONTENT: "That <hit> was all."}
    assert finishes(commands)[0] == FinishChoice(0, "stop", told(how=repair.how, channel="content"))


def test_scanners_are_opened_anew_with_what_was_sent_and_the_grid_goes_on() -> None:
    opened: list[tuple[Lane, str]] = []

    class Watching(Words):
        def open(self, lane: Lane, context: Context, history: str = "") -> Any:
            opened.append((lane, history))
            return super().open(lane, context, history)

    again = Watching("again", ["AGAIN!"])
    guard = guard_of(RESAMPLE, again)
    paused(guard, thinks("mmm"), answers("abcdef AGAIN! and more"))
    opened.clear()
    again.fed[CONTENT].clear()
    play(guard, [RESUMED, answers("ghijklmn"), FINISHED])
    assert opened == [(CONTENT, "abcdef ")]
    assert again.fed[CONTENT] == ["g", "hijk", "lmn"]
    assert next(lane.fed for lane in guard.lanes() if lane.lane == CONTENT) == 15


def test_the_thinking_of_a_conclusion_has_scanners_again_only_if_it_goes_on() -> None:
    opened: list[str] = []
    again = Custom(
        "again",
        feed=lambda text: Report(len(text), [hit(4, 8, detector="again")] if len(text) == 8 else []),
        opening=lambda lane, context: opened.append(lane.channel),
    )
    guard = guard_of(CONCLUDE, again)
    paused(guard, thinks("abcdefgh"))
    play(guard, [RESUMED, answers("no")])
    assert opened == ["reasoning", "content"]
    play(guard, [thinks("well"), answers(" yes"), FINISHED, ENDED])
    assert opened == ["reasoning", "content", "reasoning"]
    assert guard.ended


@pytest.mark.parametrize(
    ("sent", "keep", "seam"),
    [
        ("So it is. And th", "last_sentence", "\n\n"),
        ("So it is.\nAnd\n", "last_sentence", ""),
        ("So it", "span_start", ""),
    ],
)
def test_a_thinking_that_goes_on_from_further_back_shows_where_it_broke_off(sent: str, keep: str, seam: str) -> None:
    guard = guard_of(Repair("resample", keep))  # type: ignore[arg-type]
    paused(guard, thinks(f"{sent}AGAIN! AGAIN!"))
    commands = play(guard, [RESUMED, thinks("Now."), answers("4"), FINISHED, ENDED])
    assert said(commands) == {REASONING: f"{seam}Now.", CONTENT: "4"}
    assert next(lane.fed for lane in guard.lanes()) == len(sent + seam + "Now.")


def test_a_thinking_that_is_handed_over_begins_anew_and_shows_it() -> None:
    """No other model goes on with it, so its first word must not be read as the end of a word of the first's."""
    guard = guard_of(HAND_OVER)
    paused(guard, thinks("So it is. And thAGAIN! AGAIN!"))
    commands = play(guard, [RESUMED, thinks("Now."), answers("4"), FINISHED, ENDED])
    assert said(commands) == {REASONING: "\n\nNow.", CONTENT: "4"}


def test_an_answer_in_which_nothing_was_left_to_send_gets_no_seam() -> None:
    guard = guard_of(Repair("resample", "last_sentence"), hold={Channel.REASONING: Hold(step=4, whole=True)})
    assert paused(guard, thinks("So. AGAIN! AG")).reasoning == ""
    assert said(play(guard, [RESUMED, thinks("Now."), FINISHED])) == {REASONING: "Now."}


# --- what is kept


def looping(start: int, evidence: int, *, at: int = 64) -> Custom:
    """A loop whose first repeated copy starts at `evidence`; text is held from `start` on."""
    found = Finding("custom", "hit", 0.9, Span(start, at), Span(evidence, at))
    return Custom(feed=lambda text: Report(min(len(text), start), [found] if len(text) == at else []))


TEXT = "One. Two is\nthree, four. Five and six. Seven, eight, nine. Ten, eleven, twelve."
"""Sentences end at 4, 11, 24, 38, 58."""


@pytest.mark.parametrize(
    ("keep", "evidence", "kept"),
    [
        ("span_start", 30, 44),
        ("first_copy", 30, 24),
        ("first_copy", 24, 24),
        ("first_copy", 3, 3),
        ("last_sentence", 30, 38),
    ],
)
def test_what_is_kept_of_a_thinking(keep: str, evidence: int, kept: int) -> None:
    guard = guard_of({"custom": Repair("conclude", keep)}, looping(44, evidence))  # type: ignore[arg-type]
    assert paused(guard, thinks(TEXT)).reasoning == TEXT[:kept]


@pytest.mark.parametrize(
    ("keep", "evidence", "held", "sent"),
    [
        ("span_start", 30, 44, 44),
        ("first_copy", 30, 44, 44),
        ("first_copy", 40, 44, 44),
        ("last_sentence", 30, 44, 44),
    ],
)
def test_what_has_gone_of_an_answer_is_kept(keep: str, evidence: int, held: int, sent: int) -> None:
    guard = guard_of({"custom": Repair("resample", keep)}, looping(held, evidence))  # type: ignore[arg-type]
    assert paused(guard, answers(TEXT)).content == TEXT[:sent]


@pytest.mark.parametrize(("keep", "sent"), [("span_start", 44), ("first_copy", 30), ("last_sentence", 38)])
def test_of_what_is_held_of_an_answer_only_what_is_worth_keeping_leaves(keep: str, sent: int) -> None:
    slow = Custom("slow", feed=lambda text: Report(min(len(text), 20)))
    actions: dict[str, Action] = {"custom": Repair("resample", keep, otherwise=CUT), "slow": CUT}  # type: ignore[arg-type]
    guard = guard_of(actions, looping(44, 30), slow)
    assert paused(guard, answers(TEXT)).content == TEXT[:sent]
    guard = guard_of(actions, looping(44, 30), slow, repairs=())
    commands = play(guard, [answers(TEXT)])
    assert said(commands) == {CONTENT: TEXT[:44]}
    assert isinstance(commands[-5], SendNotice)


def test_a_thinking_that_was_masked_is_kept_as_the_client_has_it() -> None:
    guard = guard_of({"again": Repair("conclude", "last_sentence"), "hide": Mask("#")})
    assert paused(guard, thinks("A SECRET. And a SECRET again. So AGAIN! AG")).reasoning == "A #. And a # again."


def test_an_answer_that_may_be_resampled_leaves_in_sentences() -> None:
    hold = {Channel.CONTENT: Hold(step=4, sentences=True)}
    guard = guard_of({"again": Repair("resample", "last_sentence")}, Words("again", ["AGAIN!"]), hold=hold)
    sent = [said(play(guard, [answers(text)])).get(CONTENT, "") for text in ("One is", " here. Two is not", " yet")]
    assert sent == ["", "One is here.", ""]
    assert paused(guard, answers(" over. Three is AGAIN! AG")).content == "One is here. Two is not yet over."
    assert said(play(guard, [RESUMED, answers(" Good. Bye"), FINISHED])) == {CONTENT: " Good. Bye"}


def test_a_sentence_that_does_not_end_leaves_all_the_same() -> None:
    hold = {Channel.CONTENT: Hold(step=4, sentences=True)}
    guard = guard_of(RESAMPLE, hold=hold)
    assert said(play(guard, [answers("a" * 399)])) == {}
    assert said(play(guard, [answers("a")])) == {CONTENT: "a" * 400}


def test_a_later_repair_keeps_what_the_model_has_of_the_thinking_and_not_what_the_client_has() -> None:
    guard = guard_of({"again": Repair("resample", "last_sentence", attempts=3), "loops": CONCLUDE})
    assert paused(guard, thinks("One. Two AGAIN! AGAIN!")).reasoning == "One."
    assert paused(guard, RESUMED, thinks(" Three. Four AGAIN! AG")).reasoning == "One. Three."
    assert paused(guard, RESUMED, thinks(" Five. LOOP! LOOP!")).reasoning == "One. Three. Five. "
    resume = paused(guard, RESUMED, answers("Six AGAIN! AGAIN!"))
    assert (resume.reasoning, resume.content) == ("One. Three. Five. ", "Six ")


def test_a_thinking_that_goes_wrong_at_once_again_is_kept_as_far_as_it_was() -> None:
    guard = guard_of(Repair("resample", "last_sentence", attempts=3))
    assert paused(guard, thinks("One. Two AGAIN! AGAIN!")).reasoning == "One."
    assert paused(guard, RESUMED, thinks("AGAIN! AGAIN!")).reasoning == "One."


# --- whether it can be had


@pytest.mark.parametrize(
    ("repair", "before", "wrong"),
    [
        pytest.param(CONCLUDE, [], answers("AGAIN! AGAIN!"), id="an answer has no thinking to close"),
        pytest.param(RESAMPLE, [answers("Hi. ")], thinks("AGAIN! AGAIN!"), id="a thinking behind an answer"),
        pytest.param(HAND_OVER, [answers("Hi. ")], thinks("AGAIN! AGAIN!"), id="handed over, too"),
        pytest.param(RESAMPLE, [ToolCallOpened(0, 0, "1", "f")], answers("AGAIN! AGAIN!"), id="a tool call"),
        pytest.param(
            RESAMPLE, [TextReceived(Lane(0, Channel.CONTENT, REFUSAL), "No")], answers("AGAIN! AGAIN!"), id="a refusal"
        ),
        pytest.param(RESAMPLE, [], TextReceived(Lane(0, Channel.CONTENT, REFUSAL), "AGAIN! AGAIN!"), id="in a refusal"),
    ],
)
def test_what_cannot_be_repaired_is_cut(repair: Repair, before: list[Event], wrong: Event) -> None:
    guard = guard_of(repair)
    commands = play(guard, [*before, wrong])
    assert guard.ended
    assert [command.text.strip() for command in commands if isinstance(command, SendNotice)] == ["Sorry."]
    assert [record.decision.action for record in records(commands)] == [CUT]
    assert not any(isinstance(command, Resume) for command in commands)


def test_a_repair_in_a_tool_call_is_cut() -> None:
    guard = guard_of(RESAMPLE)
    commands = play(guard, [ToolCallOpened(0, 0, "1", "AGAIN! AGAIN!"), FINISHED])
    assert finishes(commands)[0].reason == "content_filter"


def test_a_conclusion_may_follow_an_answer() -> None:
    guard = guard_of(CONCLUDE)
    resume = paused(guard, answers("Well, "), thinks("hm. AGAIN! AGAIN!"))
    assert (resume.reasoning, resume.content) == ("hm. ", "Well, ")


def test_each_kind_is_tried_as_often_as_its_rule_allows() -> None:
    often = Repair("resample", "span_start", attempts=2, otherwise=CUT)
    guard = guard_of({"again": often, "loops": CONCLUDE})
    assert paused(guard, thinks("So LOOP! LOOP!")).attempt == 1
    assert paused(guard, RESUMED, answers("One AGAIN! AGAIN!")).attempt == 1
    assert paused(guard, RESUMED, answers("two AGAIN! AGAIN!")).attempt == 2
    commands = play(guard, [RESUMED, answers("three AGAIN! AGAIN!")])
    assert said(commands) == {CONTENT: "three "}
    assert [type(command) for command in commands[-5:]] == [
        SendNotice, FinishChoice, CancelUpstream, SendUsage, EndStream
    ]  # fmt: skip
    (usage,) = (command for command in commands if isinstance(command, SendUsage))
    assert usage.repairs is not None
    assert usage.repairs.attempts == 3


def test_a_harder_finding_puts_the_repair_on_the_record_as_the_cut_it_became() -> None:
    late = Custom(
        "late",
        feed=lambda text: Report(0),
        settle=lambda text: Report(len(text), [hit(len(text) - 1, len(text), detector="late")]),
    )
    guard = guard_of({"again": RESAMPLE, "late": CUT}, Words("again", ["AGAIN!"]), late)
    commands = play(guard, [answers("So AGAIN! AG")])
    assert [(record.finding.detector, record.decision.action) for record in records(commands)] == [
        ("again", CUT), ("late", CUT)
    ]  # fmt: skip


# --- budgets


def test_a_continuation_has_what_is_left_of_the_clients_tokens() -> None:
    assert paused(guard_of(RESAMPLE, max_tokens=20), answers("a" * 40 + "AGAIN! AGAIN!")).max_tokens == 10
    assert paused(guard_of(RESAMPLE, max_tokens=9_000), answers("a" * 40 + "AGAIN! AGAIN!")).max_tokens == 4_096
    assert paused(guard_of(Repair("resample", max_tokens=7)), answers("AGAIN! AGAIN!")).max_tokens == 7


def test_where_nothing_is_left_there_is_no_continuation() -> None:
    guard = guard_of(RESAMPLE, max_tokens=10)
    commands = play(guard, [answers("a" * 40 + "AGAIN! AGAIN!")])
    assert finishes(commands)[0].reason == "content_filter"
    assert [record.decision.action for record in records(commands)] == [CUT]


def test_what_was_dropped_is_not_spent() -> None:
    guard = guard_of(RESAMPLE)
    paused(guard, thinks("a" * 16), answers("b" * 16 + "AGAIN! AGAIN!"))
    assert (guard.spent(0), guard.written(0)) == (8, 32)
    play(guard, [RESUMED, answers("c" * 16)])
    assert (guard.spent(0), guard.written(0)) == (12, 48)


@pytest.mark.parametrize(
    ("first", "second", "usage", "estimated"),
    [
        (Usage(10, 20, 5), Usage(30, 4, None, 8), Usage(40, 24, 5, 8), False),
        (None, Usage(30, 4), Usage(31, 7), True),
        (Usage(10, 20), None, Usage(11, 21), True),
        (None, None, Usage(2, 4), True),
    ],
)
def test_usage_is_that_of_all_requests(
    first: Usage | None, second: Usage | None, usage: Usage, estimated: bool
) -> None:
    guard = guard_of(RESAMPLE, prompt="abc", max_tokens=30)
    told_first = [UsageReported(first)] if first else []
    told_second = [UsageReported(second)] if second else []
    paused(guard, *told_first, answers("abcdAGAIN! A"), answers("and more that is never fed"))
    assert guard.receive(UsageReported(Usage(1_000, 1_000))) == []
    commands = play(guard, [RESUMED, answers("efgh"), FINISHED, *told_second, ENDED])
    saved = 30 - usage.completion_tokens
    assert commands[-2:] == [
        SendUsage(usage, estimated, RepairUsage(1, usage.completion_tokens, saved)), EndStream()
    ]  # fmt: skip


def test_a_request_that_goes_on_live_is_one() -> None:
    guard = guard_of(CONCLUDE)
    paused(guard, thinks("abcdAGAIN! A"))
    commands = play(
        guard, [UpstreamResumed(0, live=True), answers("efgh"), FINISHED, UsageReported(Usage(5, 9)), ENDED]
    )
    assert commands[-2] == SendUsage(Usage(5, 9), False, RepairUsage(1, 9))


def test_nothing_is_saved_without_a_limit_or_past_it() -> None:
    for limit, saved in ((None, None), (40, 0)):
        guard = guard_of(RESAMPLE, max_tokens=limit)
        paused(guard, UsageReported(Usage(1, 50)), answers("AGAIN! AGAIN!"))
        *_, usage, _ = play(guard, [RESUMED, answers("ok"), FINISHED, UsageReported(Usage(1, 1)), ENDED])
        assert usage == SendUsage(Usage(2, 51), False, RepairUsage(1, 51, saved))


# --- how it fails


@pytest.mark.parametrize("event", [BROKE, ENDED, STALLED, DeadlinePassed(Deadline.FIRST_BYTE)])
@pytest.mark.parametrize("repair", [CONCLUDE, RESAMPLE, HAND_OVER])
def test_a_repair_that_is_not_accepted_is_its_otherwise(repair: Repair, event: Event) -> None:
    guard = guard_of(repair)
    paused(guard, thinks("So AGAIN! AGAIN!"))
    commands = play(guard, [event, RESUMED, answers("late"), FINISHED, ENDED])
    assert commands[:2] == CUT_SHORT
    assert [type(command) for command in commands[2:]] == [SendUsage, EndStream]


@pytest.mark.parametrize(
    ("event", "text"), [(BROKE, "It is 4. Or 5"), (ENDED, "It is 4. Or 5"), (STALLED, "It is 4. Or ")]
)
def test_a_continuation_that_breaks_off_is_cut_behind_what_is_clean(event: Event, text: str) -> None:
    guard = guard_of(CONCLUDE, structured=True)
    paused(guard, thinks("So AGAIN! AGAIN!"))
    commands = play(guard, [RESUMED, answers("It is 4. Or 5"), event])
    assert said(commands) == {CONTENT: text}
    assert finishes(commands) == {0: FinishChoice(0, "content_filter", told("cut"))}
    assert isinstance(commands[-1], EndStream)
    assert CancelUpstream() in commands if event is STALLED else CancelUpstream() not in commands
    assert not any(isinstance(command, SendNotice) for command in commands)  # it would corrupt the structure


@pytest.mark.parametrize("kind", [Deadline.TOTAL, Deadline.SHUTDOWN, Deadline.DETECTOR])
@pytest.mark.parametrize("resumed", [True, False])
def test_clocks_of_the_whole_answer_fail_it_as_ever(kind: Deadline, resumed: bool) -> None:
    guard = guard_of(RESAMPLE)
    paused(guard, answers("So AGAIN! AGAIN!"))
    commands = play(guard, [*([RESUMED] if resumed else []), DeadlinePassed(kind)])
    assert isinstance(commands[-1], FailStream)
    assert finishes(commands) == {}


def test_a_loop_found_as_the_continuation_breaks_off_is_not_repaired_again() -> None:
    guard = guard_of({"again": RESAMPLE, "loops": HAND_OVER}, Words("again", ["AGAIN!"]), Words("loops", ["LOOP"]))
    paused(guard, answers("So AGAIN! AGAIN!"))
    commands = play(guard, [RESUMED, answers("on LOOP"), BROKE])
    assert finishes(commands)[0].intervention == told("cut", channel="content", rule="loops")
    assert guard.ended


@pytest.mark.parametrize("event", [RESUMED, UpstreamResumed(3)])
def test_a_resumption_nobody_asked_for_changes_nothing(event: Event) -> None:
    guard = guard_of(RESAMPLE)
    commands = play(guard, [event, answers("Fine"), event, answers(" so"), FINISHED, event, ENDED])
    assert said(commands) == {CONTENT: "Fine so"}
    assert finishes(commands) == {0: FinishChoice(0, "stop")}


@pytest.mark.parametrize("how", ["resample", "conclude"])
def test_a_detector_that_cannot_be_opened_again_is_an_error(how: str) -> None:
    def opening(lane: Lane, context: Context) -> None:
        tries.append(lane)
        if tries.count(REASONING) > 1:
            raise OSError("gone")

    tries: list[Lane] = []
    again = Custom(
        "again",
        feed=lambda text: Report(min(4, len(text)), [hit(4, 8, detector="again")] if len(text) == 8 else []),
        opening=opening,
    )
    guard = guard_of(Repair(how, "span_start"), again)  # type: ignore[arg-type]
    paused(guard, thinks("abcdefgh"))
    commands = play(guard, [RESUMED, thinks("more")])
    assert [record.finding.label for record in records(commands)] == ["error"]
    assert finishes(commands)[0].intervention == Intervention("cut", "on_error", "again", "error", "reasoning")
    assert commands[-3:] == [CancelUpstream(), commands[-2], EndStream()]


def test_a_repair_for_a_failing_detector_keeps_what_has_gone() -> None:
    def feed(text: str) -> Report:
        if len(text) == 8:
            raise OSError("gone")
        return Report(len(text))

    plan = plan_of(Custom(feed=feed), actions={"custom/error": RESAMPLE}, hold=HOLD, keep_text=True)
    guard = StreamGuard(plan, Context(), repairs=frozenset(ALL))
    assert paused(guard, answers("abcdefghij")).content == "abcd"


# --- a lane by itself


def lane_of(plan: Plan) -> LaneReview:
    return LaneReview(REASONING, plan, Context(), lambda _tokens: None)


def test_peaks_of_scanners_that_a_repair_closed_are_remembered() -> None:
    highest = {"hit": 0.9}
    found = Custom("w", peaks=lambda: highest)
    lane = lane_of(plan_of(found, keep_text=True, actions={"w": Flag()}))
    lane.push("a" * 16)
    lane.rewind()
    assert lane.peaks() == {("w", "hit"): 0.9}
    highest = {"hit": 0.4, "other": 0.3}
    lane.reopen()
    assert lane.peaks() == {("w", "hit"): 0.9, ("w", "other"): 0.3}


def test_a_scanner_that_fails_to_tell_its_peaks_has_none() -> None:
    def fail() -> dict[str, float]:
        raise OSError("gone")

    lane = lane_of(plan_of(Custom("bad", peaks=fail), Custom("good", peaks=lambda: {"hit": 0.4})))
    assert lane.peaks() == {("good", "hit"): 0.4}
