"""ChoiceReview: the state table, lanes in order, tool calls whole, notices, and how a choice ends."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from guard.contract import REFUSAL, Channel, Context, Detector, Finding, Lane, Report, Span
from guard.engine.choice import DEFAULT_NOTICE, TRANSITIONS, ChoiceReview, Signal, State
from guard.engine.plan import Hold, Plan
from guard.events import (
    Action,
    Command,
    Cut,
    FinishChoice,
    Flag,
    Intervention,
    Logprob,
    Mask,
    OpenChoice,
    Repair,
    Resume,
    SendNotice,
    SendText,
    SendToolCall,
)
from tests.support.engine import CONTENT, REASONING, Custom, Words, finishes, hit, plan_of, records, said, seen

CUT = Cut("Stopped.")
TOOLS = [Lane(0, Channel.TOOL, index) for index in range(3)]
STEP = {channel: Hold(step=4, limit=1_000) for channel in (Channel.REASONING, Channel.CONTENT)}


def choice(
    *detectors: Detector,
    do: Action | None = CUT,
    hold: dict[Channel, Hold] | None = None,
    repairs: Iterable[str] = (),
    structured: bool = False,
    plan: Plan | None = None,
) -> ChoiceReview:
    """A choice whose detectors all act as `do` says, on a grid of 4."""
    actions = {detector.name: do for detector in detectors} if do else {}
    plan = plan or plan_of(*detectors, actions=actions, hold={**STEP, **(hold or {})}, keep_text=bool(repairs))
    return ChoiceReview(0, plan, Context(), repairs=frozenset(repairs), structured=structured)


def bad(*words: str) -> Words:
    return Words("w", words or ["BAD"])


def tell(review: ChoiceReview, *texts: tuple[Lane, str]) -> list[Command]:
    return [command for lane, text in texts for command in review.text(lane, text, ())]


# --- the state table

GOES: dict[tuple[State, Signal], State] = {
    (State.IDLE, Signal.BEGUN): State.OPEN,
    (State.IDLE, Signal.FINISHED): State.FINISHED,
    (State.IDLE, Signal.FAILED): State.FAILED,
    (State.OPEN, Signal.BEGUN): State.OPEN,
    (State.OPEN, Signal.FINISHED): State.FINISHED,
    (State.OPEN, Signal.CUT): State.CUT,
    (State.OPEN, Signal.PAUSED): State.PAUSED,
    (State.OPEN, Signal.FAILED): State.FAILED,
    (State.PAUSED, Signal.RESUMED): State.OPEN,
    (State.PAUSED, Signal.CUT): State.CUT,
    (State.PAUSED, Signal.FAILED): State.FAILED,
}


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("state", State)
def test_every_way_a_choice_can_go(state: State, signal: Signal) -> None:
    assert TRANSITIONS[state].get(signal) == GOES.get((state, signal))


def in_state(state: State) -> ChoiceReview:
    """A choice brought into `state` by what can bring it there."""
    review = choice(bad(), do=Repair("resample"), repairs=["resample"]) if state is State.PAUSED else choice(bad())
    match state:
        case State.OPEN:
            review.begin()
        case State.PAUSED | State.CUT:
            tell(review, (CONTENT, "BAD."))
        case State.FINISHED:
            review.finish("stop", "")
        case State.FAILED:
            review.abandon()
    return review


@pytest.mark.parametrize("state", State)
def test_states(state: State) -> None:
    review = in_state(state)
    assert review.state is state
    assert review.takes_text() == (state is State.OPEN)
    assert review.over == (state in {State.FINISHED, State.CUT, State.FAILED})


@pytest.mark.parametrize("state", [State.PAUSED, State.FINISHED, State.CUT, State.FAILED])
def test_what_comes_for_a_choice_that_takes_no_text_is_dropped(state: State) -> None:
    review = in_state(state)
    spent = review.spent
    assert review.begin() == []
    assert review.text(CONTENT, "more and more", ()) == []
    assert review.text(REASONING, "more and more", ()) == []
    assert review.tool(0, "call_1", "get_weather") == []
    assert review.finish("stop", "") == []
    assert (review.state, review.spent) == (state, spent)
    assert bool(review.fail()) == (state is State.PAUSED)


# --- text and lane order


@pytest.mark.parametrize("text", ["", "x"])
def test_a_choice_is_opened_once_by_whatever_comes_first(text: str) -> None:
    review = choice()
    assert tell(review, (CONTENT, text))[0] == OpenChoice(0)
    assert review.begin() == []
    assert [type(command) for command in tell(review, (CONTENT, "y"))] == [SendText]


def test_tools_and_finishes_open_a_choice_too() -> None:
    assert choice().tool(0, "call_1", "get_weather") == [OpenChoice(0)]
    assert choice().finish("stop", "eos") == [OpenChoice(0), FinishChoice(0, "stop", None, "eos")]


def test_when_text_moves_on_to_another_lane_the_old_one_settles_first() -> None:
    review = choice(bad())
    commands = tell(review, (REASONING, "think"), (REASONING, "ing"), (REASONING, "!"), (CONTENT, "ok"))
    commands += review.finish("stop", "")
    assert seen(commands) == [
        OpenChoice(0), SendText(REASONING, "thinking!"), SendText(CONTENT, "ok"), FinishChoice(0, "stop")
    ]  # fmt: skip


def test_empty_text_moves_nothing() -> None:
    review = choice(bad())
    assert said(tell(review, (REASONING, "thinking!"), (CONTENT, ""))) == {REASONING: "thinking"}
    assert review.reopened == 0


def test_a_lane_taken_up_again_keeps_its_scanners_and_is_counted() -> None:
    words = bad()
    review = choice(words)
    commands = tell(review, (REASONING, "one"), (CONTENT, "two"), (REASONING, "three"), (CONTENT, "four"))
    commands += review.finish("stop", "")
    texts = [(command.lane, command.text) for command in seen(commands) if isinstance(command, SendText)]
    assert texts == [(REASONING, "one"), (CONTENT, "two"), (REASONING, "three"), (CONTENT, "four")]
    assert review.reopened == 2
    assert words.fed[REASONING] == ["one", "t", "hree"]
    assert words.settles[REASONING] == [3, 8]


def test_a_cut_found_when_the_old_lane_settles_keeps_the_new_one_from_beginning() -> None:
    review = choice(bad())
    commands = tell(review, (REASONING, "abcxBAD"), (CONTENT, "secret, very secret"))
    assert said(commands) == {REASONING: "abcx"}
    assert review.state is State.CUT


def test_spent_tokens_are_summed_over_lanes_as_they_are_fed() -> None:
    review = choice()
    tell(review, (REASONING, "r" * 40), (CONTENT, "c" * 30))
    assert review.spent == int((40 + 28) / 4)
    review.tool(0, "call_1", "n" * 15)
    assert review.spent == int((40 + 30 + 16) / 4)


# --- logprobs

LOGPROBS = (Logprob("ab", -0.1),)


@pytest.mark.parametrize(("do", "kept"), [(None, True), (Flag(), True), (CUT, False), (Mask(), False)])
def test_logprobs_leave_only_with_lanes_nobody_can_act_on(do: Action | None, kept: bool) -> None:
    commands = choice(bad(), do=do).text(CONTENT, "abcdefgh", LOGPROBS)
    assert commands == [OpenChoice(0), SendText(CONTENT, "abcdefgh", LOGPROBS if kept else ())]


def test_logprobs_of_text_that_is_cut_short_do_not_leave() -> None:
    def feed(text: str) -> Report:
        assert len(text) < 8
        return Report(len(text))

    commands = choice(Custom(feed=feed), do=None).text(CONTENT, "abcdefghijkl", LOGPROBS)
    assert commands[1] == SendText(CONTENT, "abcdefgh", ())


# --- tool calls


def test_a_tool_call_leaves_whole_when_the_choice_ends() -> None:
    review = choice(bad())
    commands = review.tool(0, "call_1", "get_weather")
    commands += tell(review, (TOOLS[0], '{"city":'), (TOOLS[0], ' "Paris\n"}' + " " * 40))
    assert commands == [OpenChoice(0)]
    assert review.finish("tool_calls", "") == [
        SendToolCall(0, 0, "call_1", "get_weather", '{"city": "Paris\n"}' + " " * 40),
        FinishChoice(0, "tool_calls"),
    ]


def test_a_tool_call_without_arguments() -> None:
    review = choice(bad())
    review.tool(0, "call_1", "now")
    assert review.finish("tool_calls", "")[0] == SendToolCall(0, 0, "call_1", "now", "")


def test_interleaved_tool_calls_leave_each_in_one_piece_in_the_order_they_began() -> None:
    review = choice(bad())
    commands = review.tool(1, "call_b", "b") + review.tool(0, "call_a", "a")
    for piece in "1234":
        commands += tell(review, (TOOLS[0], f"a{piece}"), (TOOLS[1], f"b{piece}"))
    commands += review.finish("tool_calls", "")
    assert [command for command in commands if isinstance(command, SendToolCall)] == [
        SendToolCall(0, 1, "call_b", "b", "b1b2b3b4"), SendToolCall(0, 0, "call_a", "a", "a1a2a3a4")
    ]  # fmt: skip


def test_a_tool_call_is_begun_only_once_and_arguments_without_one_are_dropped() -> None:
    review = choice(bad())
    assert tell(review, (TOOLS[0], "lost")) == [OpenChoice(0)]
    review.tool(0, "call_1", "a")
    assert review.tool(0, "call_2", "b") == []
    tell(review, (TOOLS[0], "{}"), (TOOLS[2], "lost"))
    assert review.finish("tool_calls", "") == [SendToolCall(0, 0, "call_1", "a", "{}"), FinishChoice(0, "tool_calls")]


@pytest.mark.parametrize(("name", "arguments"), [("BAD_tool", "{}"), ("a", '{"x": "BAD"}'), ("a", "xxxBAD")])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("step", [4, 64])
def test_a_cut_in_any_tool_call_keeps_all_of_them_back(name: str, arguments: str, first: int, step: int) -> None:
    review = choice(bad(), hold={Channel.TOOL: Hold(step=step, limit=1_000, whole=True)})
    calls = [("fine", "{}"), (name, arguments)]
    commands: list[Command] = []
    for index, (called, given) in enumerate(calls[first:] + calls[:first]):
        commands += review.tool(index, f"call_{index}", called) + tell(review, (TOOLS[index], given))
    commands += review.finish("tool_calls", "")
    assert said(commands) == {}
    assert review.state is State.CUT
    told = Intervention("cut", "w", "w", "hit", "tool")
    assert commands[-2:] == [SendNotice(0, "Stopped."), FinishChoice(0, "content_filter", told)]


def test_a_masked_tool_call_leaves_masked() -> None:
    review = choice(bad(), do=Mask("#"))
    review.tool(0, "call_1", "send")
    tell(review, (TOOLS[0], '{"to": "BAD"}'))
    assert review.finish("tool_calls", "")[-2:] == [
        SendToolCall(0, 0, "call_1", "send", '{"to": "#"}'),
        FinishChoice(0, "tool_calls", Intervention("mask", "w", "w", "hit", "tool")),
    ]


def test_a_tool_call_that_grows_past_its_limit_is_cut() -> None:
    review = choice(bad(), hold={Channel.TOOL: Hold(step=4, limit=20, whole=True)})
    review.tool(0, "call_1", "send")
    commands = tell(review, (TOOLS[0], "{" * 30))
    told = Intervention("cut", "hold_limit", "hold", "limit", "tool")
    assert commands[-2:] == [SendNotice(0, DEFAULT_NOTICE), FinishChoice(0, "content_filter", told)]


def test_content_settles_when_a_tool_call_begins_and_may_go_on_after_it() -> None:
    review = choice(bad())
    commands = tell(review, (CONTENT, "hello")) + review.tool(0, "call_1", "a")
    assert said(commands) == {CONTENT: "hello"}
    commands += tell(review, (TOOLS[0], "{}"), (CONTENT, "again"))
    assert review.reopened == 1
    assert said(commands) == {CONTENT: "helloaga"}
    assert said(commands + review.finish("stop", ""))[CONTENT] == "helloagain"


def test_content_settles_when_an_earlier_tool_call_goes_on() -> None:
    review = choice(bad())
    review.tool(0, "call_1", "a")
    assert said(tell(review, (CONTENT, "hello"))) == {CONTENT: "hell"}
    assert said(tell(review, (TOOLS[0], "{"))) == {CONTENT: "o"}
    assert said(tell(review, (TOOLS[0], "}"))) == {}


def test_a_cut_found_when_content_settles_before_a_tool_call() -> None:
    review = choice(bad())
    commands = tell(review, (CONTENT, "heBAD")) + review.tool(0, "call_1", "a")
    assert said(commands) == {CONTENT: "he"}
    assert review.state is State.CUT
    assert review.finish("stop", "") == []


def test_a_cut_found_when_content_settles_before_more_arguments() -> None:
    review = choice(bad())
    review.tool(0, "call_1", "a")
    commands = tell(review, (CONTENT, "heBAD"), (TOOLS[0], "{}"))
    assert said(commands) == {CONTENT: "he"}
    assert review.state is State.CUT


# --- whole lanes


def test_content_held_whole_leaves_when_the_choice_ends() -> None:
    review = choice(bad(), hold={Channel.CONTENT: Hold(step=4, limit=1_000, whole=True)})
    assert said(tell(review, (CONTENT, "hello, all of you"))) == {}
    assert said(review.finish("stop", "")) == {CONTENT: "hello, all of you"}


def test_reasoning_held_whole_leaves_before_the_content_that_follows() -> None:
    review = choice(bad(), hold={Channel.REASONING: Hold(step=4, limit=1_000, whole=True)})
    commands = tell(review, (REASONING, "thinking"), (CONTENT, "ok"), (REASONING, "more"), (CONTENT, "now"))
    commands += review.finish("stop", "")
    texts = [(command.lane, command.text) for command in seen(commands) if isinstance(command, SendText)]
    assert texts == [(REASONING, "thinking"), (CONTENT, "ok"), (REASONING, "more"), (CONTENT, "now")]


def test_content_held_whole_does_not_leave_after_a_cut() -> None:
    review = choice(bad(), hold={Channel.CONTENT: Hold(step=4, limit=1_000, whole=True)})
    assert said(tell(review, (CONTENT, "hello BAD world")) + review.finish("stop", "")) == {}
    assert review.state is State.CUT


# --- cuts and notices


@pytest.mark.parametrize(
    ("before", "cut", "structured", "notice"),
    [
        pytest.param([], Cut("Why."), False, "Why.", id="nothing visible: the notice alone"),
        pytest.param([(CONTENT, "hello")], Cut("Why."), False, "\n\nWhy.", id="after text: set off from it"),
        pytest.param([(CONTENT, " \n  ")], Cut("Why."), False, "Why.", id="blanks are not visible"),
        pytest.param([(REASONING, "hello")], Cut("Why."), False, "Why.", id="thinking is not visible"),
        pytest.param([(CONTENT, "hello")], Cut(), False, None, id="no notice wanted"),
        pytest.param([], Cut(), False, DEFAULT_NOTICE, id="no notice wanted, but nothing visible"),
        pytest.param([(REASONING, "hello")], Cut(), False, DEFAULT_NOTICE, id="no notice wanted, only thinking"),
        pytest.param([(CONTENT, '{"a":')], Cut("Why."), True, None, id="structured: it would corrupt the answer"),
        pytest.param([], Cut("Why."), True, "Why.", id="structured, but nothing visible"),
        pytest.param([], Cut(), True, DEFAULT_NOTICE, id="structured, no notice wanted, nothing visible"),
        pytest.param([(Lane(0, Channel.CONTENT, REFUSAL), "I can't.")], Cut("Why."), False, "\n\nWhy.", id="refusal"),
    ],
)
def test_notices(before: list[tuple[Lane, str]], cut: Cut, structured: bool, notice: str | None) -> None:
    review = choice(bad(), do=cut, structured=structured)
    commands = tell(review, *before, (CONTENT, "BAD."))
    assert [command.text for command in commands if isinstance(command, SendNotice)] == ([notice] if notice else [])
    assert isinstance(commands[-1], FinishChoice)


def test_a_masked_text_is_visible() -> None:
    mask, cut = Words("m", ["xxx"]), bad()
    review = choice(plan=plan_of(mask, cut, actions={"m": Mask("###"), "w": CUT}, hold=STEP))
    commands = tell(review, (CONTENT, "xxxxBAD."))
    assert SendNotice(0, "\n\nStopped.") in commands
    assert said(commands) == {CONTENT: "###"}
    assert len(records(commands)) == 3


@pytest.mark.parametrize("finish", ["content_filter", "length", "stop"])
def test_a_cut_says_how_and_why(finish: str) -> None:
    review = choice(bad(), do=Cut("Why.", finish))  # type: ignore[arg-type]
    commands = tell(review, (REASONING, "ok, BAD."))
    (record,) = records(commands)
    assert seen(commands) == [
        OpenChoice(0),
        SendText(REASONING, "ok, "),
        SendNotice(0, "Why."),
        FinishChoice(0, finish, Intervention("cut", "w", "w", "hit", "reasoning")),
    ]
    assert (record.lane, record.finding.span, record.at) == (REASONING, (4, 7), 8)
    assert commands.index(record) < commands.index(SendNotice(0, "Why."))


def test_a_mask_is_told_at_the_finish_the_first_lane_that_was_masked() -> None:
    review = choice(bad(), do=Mask("#"))
    commands = tell(review, (REASONING, "fine"), (CONTENT, "a BAD word"), (REASONING, "a BAD word"))
    commands += review.finish("length", "max_tokens")
    assert said(commands) == {REASONING: "finea # word", CONTENT: "a # word"}
    told = Intervention("mask", "w", "w", "hit", "reasoning")
    assert finishes(commands) == {0: FinishChoice(0, "length", told, "max_tokens")}


def test_a_flag_is_not_told() -> None:
    review = choice(bad(), do=None)
    commands = tell(review, (CONTENT, "a BAD word")) + review.finish("stop", "")
    assert said(commands) == {CONTENT: "a BAD word"}
    assert finishes(commands)[0].intervention is None
    assert len(records(commands)) == 1


def test_a_cut_found_at_the_very_end() -> None:
    review = choice(bad())
    commands = tell(review, (CONTENT, "fine, BAD"))
    assert said(commands) == {CONTENT: "fine, "}
    commands = review.finish("stop", "")
    assert [type(command) for command in commands][-2:] == [SendNotice, FinishChoice]
    assert finishes(commands)[0].reason == "content_filter"


# --- refusals


def test_a_refusal_is_a_lane_of_its_own_under_the_rules_of_content() -> None:
    refusal = Lane(0, Channel.CONTENT, REFUSAL)
    review = choice(bad(), do=Mask("#"))
    commands = tell(review, (refusal, "I can't say BAD.")) + review.finish("stop", "")
    assert said(commands) == {refusal: "I can't say #."}


# --- when the stream breaks


def test_when_the_stream_breaks_what_is_clean_leaves_and_tool_calls_do_not() -> None:
    review = choice(bad())
    commands = review.tool(0, "call_1", "a") + tell(review, (TOOLS[0], "{}"), (CONTENT, "hello"))
    commands += review.fail()
    assert said(commands) == {CONTENT: "hello"}
    assert finishes(commands) == {}
    assert review.state is State.FAILED


def test_when_the_stream_breaks_the_tail_is_still_reviewed() -> None:
    review = choice(bad())
    commands = tell(review, (CONTENT, "heyBAD")) + review.fail()
    assert said(commands) == {CONTENT: "hey"}
    assert review.state is State.CUT


def test_when_a_clock_runs_out_nothing_is_settled() -> None:
    words = bad()
    review = choice(words)
    tell(review, (CONTENT, "hello"))
    review.abandon()
    assert review.state is State.FAILED
    assert words.settles[CONTENT] == []


# --- repairs


def looping(evidence: Span | None) -> Custom:
    """Finds a loop at 8..12 once 12 code points have been fed; its evidence may lie before."""
    found = Finding("custom", "hit", 0.9, Span(8, 12), evidence)
    return Custom(feed=lambda text: Report(min(len(text), 8), [found] if len(text) == 12 else []))


@pytest.mark.parametrize(
    ("evidence", "keep", "kept"),
    [
        (Span(4, 12), "first_copy", "abcd"),
        (None, "first_copy", "abcdefgh"),
        (Span(4, 12), "span_start", "abcdefgh"),
        (Span(4, 12), "last_sentence", "abcdefgh"),
    ],
)
def test_a_repair_pauses_the_choice_and_says_what_to_go_on_from(evidence: Span | None, keep: str, kept: str) -> None:
    repair = Repair("conclude", keep=keep)  # type: ignore[arg-type]
    review = choice(looping(evidence), do=repair, repairs=["conclude"])
    commands = tell(review, (REASONING, "abcdefghijklmnop"))
    assert said(commands) == {REASONING: "abcdefgh"}
    assert review.state is State.PAUSED
    assert commands[-1] == Resume(0, REASONING, kept, "", repair, 1, 4_096)
    assert records(commands)[0].decision == ("custom", repair)
    assert not review.over


@pytest.mark.parametrize(
    ("repair", "repairs"),
    [
        pytest.param(Repair("conclude", otherwise=CUT), ["resample"], id="the backend cannot"),
        pytest.param(Repair("conclude", otherwise=CUT), [], id="nobody can"),
        pytest.param(Repair("conclude", attempts=0, otherwise=CUT), ["conclude"], id="no attempts left"),
    ],
)
def test_a_repair_that_cannot_be_had_is_its_otherwise_on_the_record_too(repair: Repair, repairs: list[str]) -> None:
    found = Custom("flagged", feed=lambda text: Report(len(text), [hit(9, 10, detector="flagged")] * (len(text) == 12)))
    plan = plan_of(found, looping(None), actions={"custom": repair}, hold=STEP, keep_text=True)
    review = choice(plan=plan, repairs=repairs)
    commands = tell(review, (REASONING, "abcdefghijklmnop"))
    told = Intervention("cut", "custom", "custom", "hit", "reasoning")
    assert seen(commands)[-2:] == [SendNotice(0, "Stopped."), FinishChoice(0, "content_filter", told)]
    assert [record.decision for record in records(commands)] == [("", Flag()), ("custom", CUT)]
