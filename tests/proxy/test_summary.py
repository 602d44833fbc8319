from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import httpx
import pytest

from guard.contract import Channel, Finding, Lane, Span
from guard.events import (
    Action,
    ChoiceFinished,
    Command,
    Cut,
    Decision,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Flag,
    Intervention,
    Mask,
    RecordDecision,
    Repair,
    Resume,
    SendText,
    SendToolCall,
    SendUsage,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
)
from guard.observe.metrics import Known, Metrics
from guard.proxy.app import create_app
from guard.proxy.summary import Summary
from tests.support.metrics import total
from tests.support.proxy import CHAT, ask, content, gateway_of, metric, script, scripted

LANE = Lane(0, Channel.CONTENT)
THOUGHT = Lane(0, Channel.REASONING)
FINDING = Finding("d", "l", 0.9, Span(0, 1))


def resume() -> Resume:
    return Resume(0, THOUGHT, "kept", "", Repair("resample"), 1, 4_096)


def recorded(rule: str, action: Flag | Mask | Cut) -> RecordDecision:
    return RecordDecision(LANE, FINDING, Decision(rule, action), 1)


def finished(action: Literal["", "mask", "cut", "repair"] = "") -> FinishChoice:
    if action in ("mask", "repair"):
        return FinishChoice(0, "stop", Intervention(action, "r", "d", "l", "content"))
    return FinishChoice(0, "content_filter", Intervention("cut", "r", "d", "l", "content") if action else None)


class Reviewed:
    """An engine that has spent 30 tokens on 120 characters of choice 0."""

    def __init__(self, **fed: int) -> None:
        self._lanes = [Reviewed.Lane(Lane(0, Channel(channel)), count) for channel, count in fed.items()]

    class Lane:
        def __init__(self, lane: Lane, fed: int) -> None:
            self.lane = lane
            self.fed = fed

        def counters(self) -> dict[tuple[str, str], float]:
            return {("d", "judged"): 2.0, ("d", "made_up"): 1.0, ("d", "negative"): -1.0}

    def spent(self, choice: int) -> int:
        return 30 if choice == 0 else 0

    def written(self, choice: int) -> int:
        return 120 if choice == 0 else 0

    def lanes(self) -> Sequence[Any]:
        return self._lanes


def noted(
    *commands: Command,
    max_tokens: int | None = None,
    metrics: Metrics | None = None,
    engine: Reviewed | None = None,
    close: bool = False,
) -> Summary:
    summary = Summary(max_tokens)
    stream = (metrics or Metrics()).stream_opened("chat")
    summary.note(commands, 0.5, engine or Reviewed(), stream)
    if close:
        summary.close(engine or Reviewed(), stream)
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
        ([recorded("r", Mask()), finished("repair")], "repaired"),
        ([finished("repair"), finished("cut")], "cut"),
        ([finished("cut"), FailStream("upstream_reset", "It broke.")], "error"),
    ],
)
def test_the_worst_is_the_outcome(commands: Sequence[Command], outcome: str) -> None:
    assert noted(*commands).outcome == outcome


def test_every_decision_is_told_and_nothing_else() -> None:
    told: list[RecordDecision] = []
    metrics = Metrics().stream_opened("chat")
    decision = recorded("r", Cut("Stopped."))
    summary = Summary(on_decision=told.append)
    summary.note([SendText(LANE, "a"), decision, finished("cut"), EndStream()], 0.1, Reviewed(), metrics)
    assert told == [decision]


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
    summary = noted(SendText(THOUGHT, "x" * 40), SendText(LANE, "y" * 80), SendText(LANE, "z" * 40), metrics=metrics)
    assert summary.tokens == pytest.approx({Channel.REASONING: 10, Channel.CONTENT: 30})
    assert total(metrics.registry, "guard_time_to_first_token_seconds_count") == 1
    assert total(metrics.registry, "guard_time_to_first_token_seconds_sum") == 0.5


def loop(start: int, at: int, *, score: float = 0.9, action: Action | None = None) -> RecordDecision:
    found = Finding("loop", "exact", score, Span(start + 8, at), Span(start, at))
    return RecordDecision(THOUGHT, found, Decision("r", action or Flag()), at)


@pytest.mark.parametrize(
    ("commands", "fed", "wasted"),
    [
        ([], 100, 0),
        ([loop(40, 60, action=Cut()), finished("cut")], 60, 5),
        ([loop(40, 60), loop(20, 80)], 80, 15),
        ([loop(40, 60)], 100, 15),  # only flagged: it goes on to the end
        ([loop(40, 60, score=0.5)], 100, 0),
        ([loop(40, 60), FailStream("upstream_reset", "It broke.")], 80, 10),
        ([loop(40, 80), resume()], 40, 10),  # the lane was rewound, and what follows is of use
    ],
)
def test_what_was_written_after_a_loop_began_is_wasted(commands: Sequence[Command], fed: int, wasted: float) -> None:
    """30 tokens for 120 characters are a quarter of a token each."""
    metrics = Metrics(Known(detectors={"loop": ["exact"]}))
    summary = noted(*commands, metrics=metrics, engine=Reviewed(reasoning=fed), close=True)
    assert summary.tokens_wasted == wasted
    assert total(metrics.registry, "guard_tokens_wasted_total") == wasted


def test_tokens_spent_are_those_upstream_tells_or_else_an_estimate() -> None:
    metrics = Metrics()
    noted(SendUsage(Usage(7, 42), estimated=False), metrics=metrics, engine=Reviewed(content=9), close=True)
    assert total(metrics.registry, "guard_tokens_spent_total") == 42
    noted(FailStream("upstream_reset", "It broke."), metrics=metrics, engine=Reviewed(content=9), close=True)
    assert total(metrics.registry, "guard_tokens_spent_total") == 42 + 30


ENDED = FinishChoice(0, "length")


@pytest.mark.parametrize(
    ("commands", "unfinished", "thoughts"),
    [
        ([SendText(THOUGHT, "Hm. "), SendText(LANE, "Yes."), ENDED], 0, 1),
        ([SendText(THOUGHT, "Hm. "), ENDED], 1, 1),
        ([SendText(THOUGHT, "Hm. "), SendText(LANE, "\n\n"), ENDED], 1, 1),
        ([SendText(THOUGHT, "Hm. "), SendToolCall(0, 0, "id", "name", "{}"), ENDED], 0, 1),
        ([SendText(THOUGHT, "Hm. "), finished("cut")], 0, 1),
        ([SendText(THOUGHT, "Hm. "), FailStream("upstream_reset", "It broke.")], 0, 0),
    ],
)
def test_a_thought_without_an_answer_is_unfinished(
    commands: Sequence[Command], unfinished: float, thoughts: float
) -> None:
    metrics = Metrics()
    noted(*commands, metrics=metrics, engine=Reviewed(reasoning=4), close=True)
    assert total(metrics.registry, "guard_unfinished_thoughts_total") == unfinished
    assert total(metrics.registry, "guard_thinking_tokens_count") == thoughts
    assert total(metrics.registry, "guard_thinking_tokens_sum") == thoughts


@pytest.mark.parametrize(
    ("finish", "counted"),
    [
        (FinishChoice(0, "stop"), "stop"),
        (FinishChoice(0, "length", native="repetition"), "repetition"),
        (FinishChoice(0, "stop", native="stop_sequence"), "stop_sequence"),
        (FinishChoice(0, "stop", native="whatever"), "other"),
        (finished("cut"), None),
    ],
)
def test_upstreams_word_for_an_end_is_counted(finish: FinishChoice, counted: str | None) -> None:
    metrics = Metrics()
    noted(finish, metrics=metrics, engine=Reviewed(content=9))
    assert total(metrics.registry, "guard_finishes_total") == (counted is not None)
    assert total(metrics.registry, "guard_finishes_total", finish=counted or "") == (counted is not None)


def test_an_answer_without_a_thought_has_none_to_finish() -> None:
    metrics = Metrics()
    noted(ENDED, metrics=metrics, engine=Reviewed(content=4), close=True)
    assert total(metrics.registry, "guard_thinking_tokens_count") == 0
    assert total(metrics.registry, "guard_unfinished_thoughts_total") == 0


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("upstream_incomplete", "upstream_died"),
        ("upstream_reset", "upstream_died"),
        ("deadline_total", "deadline"),
        ("deadline_detector", "guard_failed"),
        ("deadline_shutdown", "shutdown"),
        ("internal_error", "guard_failed"),
        ("context_length_exceeded", "refused"),
    ],
)
def test_an_error_says_how_the_stream_ended(code: str, state: str) -> None:
    metrics = Metrics()
    noted(FailStream(code, "It ended."), metrics=metrics, close=True)
    assert total(metrics.registry, "guard_streams_ended_total", state=state) == 1


def test_a_client_that_left_is_no_error_of_upstream() -> None:
    metrics = Metrics()
    summary = Summary()
    stream = metrics.stream_opened("chat")
    summary.note([FailStream("upstream_reset", "It broke.")], 0.5, Reviewed(), stream)
    summary.worsen("client_left")
    summary.close(Reviewed(), stream)
    assert total(metrics.registry, "guard_streams_ended_total", state="client_left") == 1
    assert total(metrics.registry, "guard_streams_ended_total") == 1


def test_what_detectors_count_is_counted_under_names_they_own_up_to() -> None:
    metrics = Metrics(Known(detectors={"d": []}, counters={"d": ["judged", "negative"]}))
    noted(metrics=metrics, engine=Reviewed(reasoning=1, content=1), close=True)
    assert total(metrics.registry, "guard_detector_counts_total", detector="d", counter="judged") == 4
    assert total(metrics.registry, "guard_detector_counts_total", detector="d", counter="other") == 2
    assert total(metrics.registry, "guard_detector_counts_total", detector="d", counter="negative") == 0


# --- from a request to what is counted

FINISHED: Final[list[Event]] = [ChoiceFinished(0, "stop"), UpstreamEnded()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("pieces", "end", "state", "up"),
    [
        (["Hello."], FINISHED, "complete", 1),
        (["Now STOP! there"], [ChoiceFinished(0, "stop")], "cut", 1),
        (["Hello, I was going to"], [UpstreamEnded()], "upstream_died", 0),
        (["Hello, I"], [UpstreamFailed("upstream_reset", "It broke.")], "upstream_died", 0),
        (["Hello, I"], [UpstreamFailed("content_filter", "It will not.")], "refused", None),
    ],
)
async def test_a_stream_counts_how_it_ended(
    pieces: Sequence[str], end: Sequence[Event], state: str, up: float | None
) -> None:
    gateway = gateway_of(scripted(*script(*map(content, pieces), *end)))
    transport = httpx.ASGITransport(create_app(gateway=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://guard") as client:
        await client.post(CHAT, json=ask(stream=True))
    assert metric(gateway, "guard_streams_ended_total", state=state) == 1
    assert metric(gateway, "guard_streams_ended_total") == metric(gateway, "guard_streams_total") == 1
    assert metric(gateway, "guard_tokens_spent_total") > 0
    assert gateway.metrics.registry.get_sample_value("guard_backend_up", {"backend": "scripted"}) == up


@pytest.mark.anyio
async def test_a_long_stream_tells_how_long_its_text_waited_and_how_long_detectors_took() -> None:
    texts = [content(f"This is sentence {number}. ") for number in range(40)]
    gateway = gateway_of(scripted(*script(*texts, *FINISHED)))
    transport = httpx.ASGITransport(create_app(gateway=gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://guard") as client:
        await client.post(CHAT, json=ask(stream=True))
    assert metric(gateway, "guard_held_characters_count", channel="content") == 2
    assert metric(gateway, "guard_held_seconds_count", channel="content") >= 1
    assert metric(gateway, "guard_detector_seconds_count", detector="stopper") > 40
