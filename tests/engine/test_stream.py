"""StreamGuard: several choices, the prompt, the end of a stream in all its forms, usage, deadlines, repairs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from guard.contract import PROMPT_CHOICE, Channel, Context, Detector, Lane, Report, Scanner
from guard.engine.choice import DEFAULT_NOTICE
from guard.engine.plan import Hold
from guard.engine.stream import DEADLINE_MESSAGES, StreamGuard
from guard.events import (
    Action,
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Command,
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
    Resume,
    SendNotice,
    SendPrompt,
    SendText,
    SendToolCall,
    SendUsage,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
    Usage,
    UsageReported,
)
from tests.support.engine import CONTENT, REASONING, Custom, Words, finishes, plan_of, play, records, said, seen

CUT = Cut("Stopped.")
SECOND = Lane(1, Channel.CONTENT)
TOOL = Lane(0, Channel.TOOL, 0)
CUT_CONTENT = Intervention("cut", "w", "w", "hit", "content")
BROKE = UpstreamFailed("upstream_error", "It broke.")


def stream(
    *detectors: Detector,
    do: Action | None = CUT,
    prompt: str = "",
    choices: int = 1,
    repairs: Iterable[str] = (),
    structured: bool = False,
    on_error: Action | None = None,
    channels: Iterable[Channel] = Channel,
) -> StreamGuard:
    """A stream in which BAD is a bad word, on a grid of 4."""
    detectors = detectors or (Words("w", ["BAD"]),)
    plan = plan_of(
        *detectors,
        actions={detector.name: do for detector in detectors} if do else {},
        hold={
            channel: Hold(step=4, limit=1_000, whole=channel in (Channel.TOOL, Channel.PROMPT)) for channel in Channel
        },
        on_error=on_error,
        channels=channels,
        keep_text=bool(repairs),
    )
    context = Context(prompt=prompt)
    return StreamGuard(plan, context, choices=choices, repairs=frozenset(repairs), structured=structured)


def text(lane: Lane, words: str) -> TextReceived:
    return TextReceived(lane, words)


def part(number: int, words: str) -> TextReceived:
    return TextReceived(Lane(PROMPT_CHOICE, Channel.PROMPT, number), words)


PROMPT_ENDED = ChoiceFinished(PROMPT_CHOICE, "")
FINISHED = ChoiceFinished(0, "stop")
NO_USAGE = SendUsage(Usage(0, 0), estimated=True)


def ends(guard: StreamGuard, commands: list[Command]) -> None:
    """The stream is over, well-formed, and stays so."""
    assert guard.ended
    assert isinstance(commands[-1], EndStream | FailStream)
    assert sum(isinstance(command, EndStream | FailStream) for command in commands) == 1
    again: list[Event] = [
        text(CONTENT, "more of it"), ChoiceOpened(1), ToolCallOpened(0, 5, "call_9", "late"), FINISHED, part(0, "x"),
        PROMPT_ENDED, UsageReported(Usage(1, 1)), UpstreamResumed(0), UpstreamEnded(), BROKE,
        DeadlinePassed(Deadline.TOTAL),
    ]  # fmt: skip
    assert play(guard, again) == []


# --- an answer that is let through


def test_a_clean_answer() -> None:
    guard = stream(prompt="p" * 33)
    commands = play(
        guard,
        [
            ChoiceOpened(0), text(REASONING, "Let me see."), text(CONTENT, "It is "), text(CONTENT, "four."),
            ChoiceFinished(0, "stop", "eos"), UsageReported(Usage(7, 9, 4)), UpstreamEnded(),
        ],
    )  # fmt: skip
    assert seen(commands) == [
        OpenChoice(0),
        SendText(REASONING, "Let me see."),
        SendText(CONTENT, "It is four."),
        FinishChoice(0, "stop", None, "eos"),
        SendUsage(Usage(7, 9, 4), estimated=False),
        EndStream(),
    ]
    assert guard.usage == Usage(7, 9, 4)
    ends(guard, commands)


def test_without_usage_from_upstream_it_is_estimated() -> None:
    guard = stream(prompt="p" * 34)
    commands = play(guard, [text(REASONING, "r" * 33), text(CONTENT, "c" * 40), FINISHED, UpstreamEnded()])
    assert commands[-2:] == [SendUsage(Usage(9, 18), estimated=True), EndStream()]
    assert guard.usage is None


def test_an_empty_answer() -> None:
    guard = stream()
    commands = play(guard, [FINISHED, UpstreamEnded()])
    assert commands == [OpenChoice(0), FinishChoice(0, "stop"), NO_USAGE, EndStream()]
    ends(guard, commands)


def test_tool_calls_leave_before_the_finish() -> None:
    guard = stream()
    commands = play(guard, [ToolCallOpened(0, 0, "call_1", "now"), text(TOOL, "{}"), FINISHED, UpstreamEnded()])
    assert commands[:3] == [OpenChoice(0), SendToolCall(0, 0, "call_1", "now", "{}"), FinishChoice(0, "stop")]
    ends(guard, commands)


def test_text_after_a_finish_is_dropped() -> None:
    guard = stream()
    commands = play(guard, [text(CONTENT, "four"), FINISHED, text(CONTENT, "score and seven"), FINISHED])
    assert said(commands) == {CONTENT: "four"}
    assert len(finishes(commands)) == 1
    ends(guard, commands + play(guard, [UpstreamEnded()]))


@pytest.mark.parametrize(
    "event",
    [
        ChoiceOpened(1), ChoiceOpened(-2), text(SECOND, "hello there"), text(Lane(-2, Channel.CONTENT), "hello there"),
        ToolCallOpened(1, 0, "call_1", "now"), ChoiceFinished(1, "stop"), ChoiceFinished(-7, "stop"),
    ],
)  # fmt: skip
def test_choices_that_were_not_asked_for_are_dropped(event: Event) -> None:
    guard = stream()
    assert play(guard, [event]) == []
    assert guard.lanes() == []
    assert guard.spent(1) == 0


# --- cuts


@pytest.mark.parametrize(
    "events",
    [
        [text(CONTENT, "so BAD, really")],
        [text(CONTENT, "so BAD"), text(REASONING, "x")],
        [text(CONTENT, "so BAD"), ToolCallOpened(0, 0, "call_1", "now")],
        [text(CONTENT, "so BAD"), FINISHED],
    ],
    ids=["on the grid", "lane left", "tool call begins", "choice finished"],
)
def test_a_cut_closes_upstream_and_ends_the_stream(events: list[Event]) -> None:
    guard = stream()
    commands = play(guard, events)
    assert seen(commands) == [
        OpenChoice(0),
        SendText(CONTENT, "so "),
        SendNotice(0, "\n\nStopped."),
        FinishChoice(0, "content_filter", CUT_CONTENT),
        CancelUpstream(),
        SendUsage(Usage(0, guard.spent(0)), estimated=True),
        EndStream(),
    ]
    ends(guard, commands)


def test_after_a_cut_the_last_usage_seen_is_told() -> None:
    commands = play(stream(), [text(CONTENT, "so "), UsageReported(Usage(5, 1)), text(CONTENT, "BAD, really")])
    assert commands[-2:] == [SendUsage(Usage(5, 1), estimated=False), EndStream()]


def test_a_cut_in_a_tool_call_that_settles_at_the_finish() -> None:
    guard = stream()
    commands = play(
        guard, [text(CONTENT, "well"), ToolCallOpened(0, 0, "call_1", "now"), text(TOOL, '"BAD"'), FINISHED]
    )
    assert said(commands) == {CONTENT: "well"}
    assert finishes(commands)[0].intervention == Intervention("cut", "w", "w", "hit", "tool")
    ends(guard, commands)


def test_structured_answers_get_no_notice_into_them() -> None:
    commands = play(stream(structured=True), [text(CONTENT, '{"a": "BAD"}')])
    assert not any(isinstance(command, SendNotice) for command in commands)
    commands = play(stream(structured=True), [text(REASONING, "so BAD, really")])
    assert SendNotice(0, "Stopped.") in commands


def test_an_error_in_a_detector_is_told_as_one() -> None:
    def broken(text: str) -> Report:
        raise RuntimeError

    guard = stream(Custom(feed=broken))
    commands = play(guard, [text(CONTENT, "never to be seen")])
    assert said(commands) == {}
    assert finishes(commands)[0].intervention == Intervention("cut", "on_error", "custom", "error", "content")
    ends(guard, commands)


# --- several choices


def test_only_the_choice_that_is_cut_ends_and_upstream_goes_on_for_the_other() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "fine"), text(SECOND, "so BAD, really")])
    assert finishes(commands) == {1: FinishChoice(1, "content_filter", Intervention("cut", "w", "w", "hit", "content"))}
    assert CancelUpstream() not in commands
    commands += play(guard, [text(SECOND, "dropped"), text(CONTENT, " still"), FINISHED, UpstreamEnded()])
    assert said(commands) == {CONTENT: "fine still", SECOND: "so "}
    assert commands[-2:] == [SendUsage(Usage(0, guard.spent(0) + guard.spent(1)), estimated=True), EndStream()]
    assert CancelUpstream() not in commands
    ends(guard, commands)


def test_upstream_is_closed_when_the_last_choice_that_wants_text_is_cut() -> None:
    guard = stream(choices=3)
    commands = play(guard, [text(CONTENT, "so BAD, really"), ChoiceFinished(2, "stop"), text(SECOND, "BAD, too")])
    assert commands[-3:-1] == [CancelUpstream(), SendUsage(Usage(0, guard.spent(0) + guard.spent(1)), estimated=True)]
    ends(guard, commands)


def test_a_choice_still_to_come_keeps_upstream_open() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "so BAD, really")])
    assert CancelUpstream() not in commands
    assert not guard.ended


def test_more_text_of_a_cut_choice_closes_upstream_once_the_others_are_finished() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "so BAD, really"), ChoiceFinished(1, "stop")])
    assert not guard.ended
    commands += play(guard, [text(CONTENT, "on and on")])
    assert commands[-3] == CancelUpstream()
    ends(guard, commands)


def test_an_upstream_that_gives_fewer_choices_than_asked_for() -> None:
    guard = stream(choices=3)
    commands = play(guard, [text(CONTENT, "fine"), FINISHED, UpstreamEnded()])
    assert commands[-1] == EndStream()
    ends(guard, commands)


def test_an_upstream_that_breaks_before_all_choices_came_has_failed() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "fine"), FINISHED, BROKE])
    assert commands[-1] == FailStream("upstream_error", "It broke.")
    ends(guard, commands)


def test_choices_settle_by_themselves() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "hello"), text(SECOND, "world"), text(CONTENT, "!")])
    assert said(commands) == {CONTENT: "hell", SECOND: "worl"}
    commands += play(guard, [UpstreamEnded()])
    assert said(commands) == {CONTENT: "hello!", SECOND: "world"}
    assert isinstance(commands[-1], FailStream)


def test_lanes_are_listed_prompt_first() -> None:
    guard = stream(choices=2)
    play(guard, [part(0, "hi"), PROMPT_ENDED, text(SECOND, "a"), text(REASONING, "b"), text(CONTENT, "c")])
    assert [lane.lane for lane in guard.lanes()] == [
        Lane(PROMPT_CHOICE, Channel.PROMPT, 0), SECOND, REASONING, CONTENT
    ]  # fmt: skip


# --- spent


def test_scanners_are_told_what_the_choice_has_spent_over_its_lanes() -> None:
    asked: list[tuple[Lane, int]] = []

    class Asks(Custom):
        def open(self, lane: Lane, context: Context, history: str = "") -> Scanner:
            def feed(text: str) -> Report:
                asked.append((lane, context.spent(lane.choice)))
                return Report(len(text))

            self.feed = feed
            return super().open(lane, context, history)

    guard = stream(Asks(), choices=2)
    play(guard, [text(REASONING, "r" * 32), text(CONTENT, "c" * 4), text(SECOND, "s" * 4)])
    assert [(lane, spent) for lane, spent in asked[-3:]] == [(REASONING, 8), (CONTENT, 9), (SECOND, 1)]
    assert (guard.spent(0), guard.spent(1), guard.spent(2)) == (9, 1, 0)
    assert (guard.written(0), guard.written(1), guard.written(2)) == (36, 4, 0)


# --- upstream breaks off


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (BROKE, FailStream("upstream_error", "It broke.")),
        (
            UpstreamEnded(),
            FailStream("upstream_incomplete", "The model's stream ended before the answer was finished."),
        ),
    ],
)
def test_when_upstream_breaks_off_clean_text_is_settled_and_leaves(event: Event, failure: FailStream) -> None:
    guard = stream(choices=2)
    events: list[Event] = [text(CONTENT, "hello"), ToolCallOpened(1, 0, "call_1", "a"), text(SECOND, "you"), event]
    commands = play(guard, events)
    assert said(commands) == {CONTENT: "hello", SECOND: "you"}
    assert finishes(commands) == {}
    assert commands[-1] == failure
    ends(guard, commands)


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (BROKE, FailStream("upstream_error", "It broke.")),
        (UpstreamEnded(), FailStream("upstream_empty", "The model's stream ended without an answer.")),
    ],
)
def test_when_upstream_says_nothing_at_all(event: Event, failure: FailStream) -> None:
    guard = stream()
    commands = play(guard, [UsageReported(Usage(1, 0)), event])
    assert commands == [failure]
    ends(guard, commands)


@pytest.mark.parametrize("event", [BROKE, UpstreamEnded()])
def test_what_is_found_in_the_last_text_of_a_broken_stream_cuts_it(event: Event) -> None:
    guard = stream()
    commands = play(guard, [text(CONTENT, "so BAD"), event])
    assert said(commands) == {CONTENT: "so "}
    assert finishes(commands) == {0: FinishChoice(0, "content_filter", CUT_CONTENT)}
    assert commands[-1] == EndStream()
    assert CancelUpstream() not in commands
    ends(guard, commands)


def test_one_choice_cut_and_one_broken_is_a_failure() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "so BAD"), text(SECOND, "hello"), BROKE])
    assert set(finishes(commands)) == {0}
    assert said(commands) == {CONTENT: "so ", SECOND: "hello"}
    assert isinstance(commands[-1], FailStream)
    ends(guard, commands)


def test_an_upstream_that_breaks_after_every_choice_was_finished_has_done_its_work() -> None:
    guard = stream()
    commands = play(guard, [text(CONTENT, "hello"), FINISHED, BROKE])
    assert commands[-1] == EndStream()
    ends(guard, commands)


# --- deadlines


@pytest.mark.parametrize("kind", Deadline)
def test_a_deadline_ends_the_stream_and_releases_nothing(kind: Deadline) -> None:
    words = Words("w", ["BAD"])
    guard = stream(words)
    events: list[Event] = [
        text(CONTENT, "hello"),
        ToolCallOpened(0, 0, "c", "a"),
        text(TOOL, "{}"),
        text(CONTENT, " and more"),
    ]
    play(guard, events)
    settled = list(words.settles[CONTENT])
    commands = play(guard, [DeadlinePassed(kind)])
    assert commands == [CancelUpstream(), FailStream(f"deadline_{kind.value}", DEADLINE_MESSAGES[kind])]
    assert words.settles[CONTENT] == settled
    ends(guard, commands)


def test_a_deadline_before_anything_was_said() -> None:
    guard = stream()
    commands = play(guard, [DeadlinePassed(Deadline.FIRST_BYTE)])
    assert commands[-1] == FailStream("deadline_first_byte", "The model did not begin to answer in time.")
    ends(guard, commands)


def test_a_deadline_after_every_choice_was_finished_changes_nothing_about_the_answer() -> None:
    guard = stream()
    commands = play(guard, [text(CONTENT, "hello"), FINISHED, DeadlinePassed(Deadline.BETWEEN_EVENTS)])
    assert [type(command) for command in commands][-4:] == [FinishChoice, CancelUpstream, SendUsage, EndStream]
    ends(guard, commands)


def test_a_deadline_while_another_choice_is_still_to_come_is_a_failure() -> None:
    guard = stream(choices=2)
    commands = play(guard, [text(CONTENT, "hello"), FINISHED, DeadlinePassed(Deadline.TOTAL)])
    assert isinstance(commands[-1], FailStream)
    ends(guard, commands)


def test_every_deadline_has_its_sentence() -> None:
    assert set(DEADLINE_MESSAGES) == set(Deadline)


# --- the prompt


def test_clean_parts_of_the_prompt_go_upstream_as_they_are() -> None:
    guard = stream()
    commands = play(guard, [part(0, "Be kind."), part(2, "What is "), part(2, "2+2?"), part(3, "")])
    assert commands == []
    commands = play(guard, [PROMPT_ENDED])
    assert commands == [SendPrompt(0, "Be kind."), SendPrompt(2, "What is 2+2?"), SendPrompt(3, "")]
    assert not guard.ended
    assert said(play(guard, [text(CONTENT, "four"), FINISHED])) == {CONTENT: "four"}


def test_a_masked_part_goes_upstream_masked() -> None:
    commands = play(stream(do=Mask()), [part(0, "my BAD word"), part(1, "fine"), PROMPT_ENDED])
    assert [command for command in commands if isinstance(command, SendPrompt)] == [
        SendPrompt(0, "my <hit> word"), SendPrompt(1, "fine")
    ]  # fmt: skip
    (record,) = records(commands)
    assert (record.lane, record.finding.span, record.at) == (Lane(PROMPT_CHOICE, Channel.PROMPT, 0), (3, 6), 8)


def test_a_flagged_part_goes_upstream_and_is_on_the_record() -> None:
    commands = play(stream(do=Flag()), [part(0, "my BAD word"), PROMPT_ENDED])
    assert [type(command).__name__ for command in commands] == ["RecordDecision", "SendPrompt"]


@pytest.mark.parametrize(
    ("action", "notice", "finish"),
    [
        (Cut("Not this."), "Not this.", "content_filter"),
        (Cut(finish="stop"), DEFAULT_NOTICE, "stop"),
        (Repair("hand_over", otherwise=Cut("Nor that.", "length")), "Nor that.", "length"),
    ],
)
def test_a_prompt_that_is_cut_is_answered_with_the_notice_and_upstream_is_never_called(
    action: Action, notice: str, finish: str
) -> None:
    guard = stream(do=action, repairs=["hand_over"])
    commands = play(guard, [part(0, "fine"), part(1, "my BAD word"), part(2, "BAD again"), PROMPT_ENDED])
    assert seen(commands) == [
        OpenChoice(0),
        SendNotice(0, notice),
        FinishChoice(0, finish, Intervention("cut", "w", "w", "hit", "prompt")),
        NO_USAGE,
        EndStream(),
    ]
    assert [(record.lane.tool, record.decision.action) for record in records(commands)] == [
        (number, action if isinstance(action, Cut) else action.otherwise) for number in (1, 2)  # type: ignore[union-attr]
    ]  # fmt: skip
    ends(guard, commands)


def test_a_part_that_is_too_long_is_cut() -> None:
    guard = stream()
    commands = play(guard, [part(0, "x" * 1_000), PROMPT_ENDED])
    assert finishes(commands)[0].intervention == Intervention("cut", "hold_limit", "hold", "limit", "prompt")
    ends(guard, commands)


def test_a_prompt_without_parts() -> None:
    guard = stream()
    assert play(guard, [PROMPT_ENDED]) == []
    assert not guard.ended


@pytest.mark.parametrize("before", [[part(0, "hi"), PROMPT_ENDED], [text(CONTENT, "hello")]])
def test_an_upstream_cannot_speak_as_the_prompt(before: list[Event]) -> None:
    guard = stream()
    play(guard, before)
    assert play(guard, [part(0, "my BAD word"), part(7, "fine"), PROMPT_ENDED]) == []
    assert not guard.ended


def test_the_prompt_spends_nothing() -> None:
    guard = stream()
    play(guard, [part(0, "x" * 500), PROMPT_ENDED, text(CONTENT, "abcd")])
    assert guard.spent(0) == 1
    assert guard.spent(PROMPT_CHOICE) == 0


# --- repairs

REPAIR = Repair("resample", otherwise=CUT)


def test_a_repair_lets_go_of_upstream_and_then_asks_to_go_on() -> None:
    guard = stream(do=REPAIR, repairs=["resample"])
    commands = play(guard, [text(REASONING, "so BAD, really")])
    assert seen(commands) == [
        OpenChoice(0), SendText(REASONING, "so "), CancelUpstream(), Resume(0, REASONING, "so ", "", REPAIR, 1, 4_096)
    ]  # fmt: skip
    assert not guard.ended


def test_while_a_choice_is_paused_what_the_old_upstream_still_says_is_dropped() -> None:
    guard = stream(do=REPAIR, repairs=["resample"])
    play(guard, [text(REASONING, "so BAD, really")])
    assert play(guard, [text(REASONING, "on and on"), FINISHED, UsageReported(Usage(1, 1)), UpstreamResumed(1)]) == []
    assert not guard.ended


@pytest.mark.parametrize("event", [BROKE, UpstreamEnded()])
def test_when_upstream_breaks_off_a_repair_is_its_otherwise(event: Event) -> None:
    guard = stream(do=REPAIR, repairs=["resample"])
    commands = play(guard, [text(CONTENT, "so BAD"), event])
    assert finishes(commands) == {0: FinishChoice(0, "content_filter", CUT_CONTENT)}
    assert not any(isinstance(command, Resume) for command in commands)
    ends(guard, commands)


def test_a_repair_found_at_the_finish_pauses_the_choice_all_the_same() -> None:
    guard = stream(do=REPAIR, repairs=["resample"])
    commands = play(guard, [text(CONTENT, "so BAD"), FINISHED])
    assert commands[-2:] == [CancelUpstream(), Resume(0, CONTENT, "", "so ", REPAIR, 1, 4_096)]
    assert not guard.ended


def test_with_several_choices_a_repair_is_its_otherwise() -> None:
    guard = stream(do=REPAIR, repairs=["resample"], choices=2)
    commands = play(guard, [text(CONTENT, "so BAD, really")])
    assert finishes(commands) == {0: FinishChoice(0, "content_filter", CUT_CONTENT)}
    assert [record.decision.action for record in records(commands)] == [CUT]


def test_answered_once_every_choice_is_over() -> None:
    guard = StreamGuard(plan_of(), Context(), choices=2)
    assert not guard.answered
    guard.receive(ChoiceFinished(0, "stop"))
    assert not guard.answered
    guard.receive(ChoiceFinished(1, "stop"))
    assert guard.answered
