"""Events and commands are plain values: comparable, immutable, and spelled as clients and files expect."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from guard import events
from guard.contract import Channel, Finding, Lane, Span

LANE = Lane(0, Channel.CONTENT)
EVENTS: list[events.Event] = [
    events.ChoiceOpened(0),
    events.TextReceived(LANE, "a"),
    events.ToolCallOpened(0, 0, "call_1", "get_weather"),
    events.ChoiceFinished(0, "stop"),
    events.UsageReported(events.Usage(1, 2)),
    events.DeadlinePassed(events.Deadline.TOTAL),
    events.UpstreamEnded(),
    events.UpstreamFailed("upstream_error", "It broke."),
    events.UpstreamResumed(0),
]
COMMANDS: list[events.Command] = [
    events.SendPrompt(0, "a"),
    events.OpenChoice(0),
    events.SendText(LANE, "a"),
    events.SendToolCall(0, 0, "call_1", "get_weather", "{}"),
    events.SendNotice(0, "Stopped."),
    events.FinishChoice(0, "stop"),
    events.SendUsage(events.Usage(), estimated=True),
    events.CancelUpstream(),
    events.Resume(0, LANE, "a", "", events.Repair("conclude"), 1, 4096),
    events.RecordDecision(LANE, Finding("d", "l", 1.0, Span(0, 1)), events.Decision("r", events.Flag()), 1),
    events.FailStream("upstream_error", "It broke."),
    events.EndStream(),
]
ACTIONS: list[events.Action] = [events.Flag(), events.Mask(), events.Cut(), events.Repair("resample")]


@pytest.mark.parametrize(
    ("union", "values"), [(events.Event, EVENTS), (events.Command, COMMANDS), (events.Action, ACTIONS)]
)
def test_every_kind_is_listed_here(union: Any, values: list[Any]) -> None:
    assert {type(value) for value in values} == set(get_args(union))


@pytest.mark.parametrize("value", [*EVENTS, *COMMANDS, *ACTIONS], ids=lambda value: type(value).__name__)
def test_values_are_equal_by_content_and_cannot_be_changed(value: Any) -> None:
    assert dataclasses.replace(value) == value
    assert not hasattr(value, "__dict__")
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)


def test_defaults_of_actions() -> None:
    assert events.Mask().replacement == "<{label}>"
    assert events.Cut() == events.Cut(notice="", finish="content_filter")
    repair = events.Repair("conclude")
    assert (repair.keep, repair.attempts, repair.otherwise) == ("first_copy", 1, events.Cut())


def test_deadlines_are_spelled_as_in_error_codes() -> None:
    assert list(events.Deadline) == ["first_byte", "between_events", "total", "detector", "shutdown"]


def test_usage_and_logprobs_leave_out_what_upstream_did_not_say() -> None:
    assert events.Usage() == (0, 0, None, None)
    assert events.Logprob("a", -0.5) == ("a", -0.5, None, ())
