from __future__ import annotations

from collections.abc import Sequence

import pytest

from guard.contract import Channel, Finding, Lane, Span
from guard.events import (
    Command,
    Cut,
    Decision,
    EndStream,
    FailStream,
    FinishChoice,
    Flag,
    Intervention,
    Mask,
    RecordDecision,
    SendText,
)
from guard.observe.metrics import Metrics
from guard.proxy.summary import Summary
from tests.support.metrics import total

LANE = Lane(0, Channel.CONTENT)
FINDING = Finding("d", "l", 0.9, Span(0, 1))


def recorded(rule: str, action: Flag | Mask | Cut) -> RecordDecision:
    return RecordDecision(LANE, FINDING, Decision(rule, action), 1)


def finished(action: str = "") -> FinishChoice:
    if action == "mask":
        return FinishChoice(0, "stop", Intervention("mask", "r", "d", "l", "content"))
    return FinishChoice(0, "content_filter", Intervention("cut", "r", "d", "l", "content") if action else None)


def noted(*commands: Command, max_tokens: int | None = None, metrics: Metrics | None = None) -> Summary:
    summary = Summary(max_tokens)
    summary.note(commands, 0.5, lambda _choice: 30, (metrics or Metrics()).stream_opened("chat"))
    return summary


@pytest.mark.parametrize(
    ("commands", "outcome"),
    [
        ([], "passed"),
        ([SendText(LANE, "x"), finished(), EndStream()], "passed"),
        ([recorded("", Flag())], "passed"),
        ([recorded("r", Flag())], "flagged"),
        ([recorded("r", Mask()), recorded("r", Flag()), finished("mask")], "masked"),
        ([recorded("r", Cut()), recorded("r", Mask()), finished("cut")], "cut"),
        ([finished("cut"), FailStream("upstream_reset", "It broke.")], "error"),
    ],
)
def test_the_worst_is_the_outcome(commands: Sequence[Command], outcome: str) -> None:
    assert noted(*commands).outcome == outcome


def test_a_client_that_left_outweighs_all() -> None:
    summary = noted(FailStream("upstream_reset", "It broke."))
    summary.worsen("client_left")
    summary.worsen("passed")
    assert (summary.outcome, summary.error) == ("client_left", "upstream_reset")


@pytest.mark.parametrize(("limit", "saved"), [(None, 0), (10, 0), (30, 0), (100, 70)])
def test_tokens_saved_are_what_was_left_at_a_cut(limit: int | None, saved: float) -> None:
    assert noted(finished("cut"), max_tokens=limit).tokens_saved == saved
    assert noted(finished("mask"), finished(), max_tokens=limit).tokens_saved == 0


def test_released_tokens_are_summed_by_channel_and_the_first_is_timed_once() -> None:
    metrics = Metrics()
    thinking = Lane(0, Channel.REASONING)
    summary = noted(SendText(thinking, "x" * 40), SendText(LANE, "y" * 80), SendText(LANE, "z" * 40), metrics=metrics)
    assert summary.tokens == pytest.approx({Channel.REASONING: 10, Channel.CONTENT: 30})
    assert total(metrics.registry, "guard_time_to_first_token_seconds_count") == 1
    assert total(metrics.registry, "guard_time_to_first_token_seconds_sum") == 0.5
