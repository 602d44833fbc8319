"""Repairs through the driver: what is asked of upstream, and what the client gets whatever upstream does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from guard.backends.base import Capabilities, Continuation, ModelRequest, ModelStream
from guard.backends.scripted import ScriptedBackend, in_turn
from guard.contract import Channel, Context, Report
from guard.engine.plan import Hold, Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Cut,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Intervention,
    OpenChoice,
    RecordDecision,
    Repair,
    RepairUsage,
    Resume,
    SendNotice,
    SendText,
    SendUsage,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from guard.observe.metrics import Metrics
from guard.proxy.app import create_app
from guard.proxy.clocks import Clocks
from guard.proxy.pump import Pump
from guard.proxy.repair import RepairWatch, asked, continued
from guard.wire.errors import UpstreamError
from guard.wire.record import RecordedEvent
from tests.support.engine import CONTENT, REASONING, Custom, Words, hit, plan_of, said
from tests.support.proxy import FixedPolicy, answer_of, content, gateway_of, read_stream, script, thought
from tests.support.pump import NEVER, QUIET, SOON, Client, clocks, until

pytestmark = pytest.mark.anyio

HOLD = {channel: Hold(step=4) for channel in (Channel.REASONING, Channel.CONTENT)}
CONCLUDE = Repair("conclude", "span_start", {"temperature": 0.5}, "So.", otherwise=Cut("Sorry."))
RESAMPLE = Repair("resample", "span_start", otherwise=Cut("Sorry."), instruction="Be brief.")
HAND_OVER = replace(RESAMPLE, how="hand_over")
EVERYTHING = frozenset({"conclude", "resample", "hand_over"})
ABLE = Capabilities(EVERYTHING, EVERYTHING)
REQUEST = ModelRequest("chat", {"messages": [{"role": "user", "content": "Hi"}]}, request_id="r1")
LOOPING = script(ChoiceOpened(0), thought("I wonder. AGAIN! AGAIN! AGAIN!"))
ANSWERED = answer_of(content("It is 4."))


def plan(repair: Repair, *more: Any) -> Plan:
    return plan_of(Words("again", ["AGAIN!"]), *more, actions={"again": repair}, hold=HOLD, keep_text=True)


class Run:
    """One answer of a backend that plays `answers` in turn."""

    def __init__(
        self,
        repair: Repair,
        *answers: Iterable[RecordedEvent] | UpstreamError,
        times: Clocks = QUIET,
        more: Sequence[Any] = (),
        backend: Any = None,
        streams: bool = True,
        **options: Any,
    ) -> None:
        self.backend = backend or ScriptedBackend(in_turn(*answers), capabilities=ABLE)
        self.client = Client(streams=streams)
        self.told: list[tuple[str, str]] = []
        self.seconds: list[float] = []
        guard = StreamGuard(plan(repair, *more), Context(prompt="Hi", max_tokens=100), repairs=EVERYTHING)
        self.pump = Pump(
            guard, self.backend, REQUEST, self.client, Metrics().stream_opened("chat"), clocks=times,
            on_repair=self.over, **options,
        )  # fmt: skip

    def over(self, how: str, outcome: str, seconds: float) -> None:
        self.told.append((how, outcome))
        self.seconds.append(seconds)

    async def __call__(self) -> Run:
        await self.pump.run()
        return self

    @property
    def text(self) -> dict[str, str]:
        return {str(lane.channel): text for lane, text in said(self.client.commands).items()}

    @property
    def finish(self) -> FinishChoice:
        (finish,) = (command for command in self.client.commands if isinstance(command, FinishChoice))
        return finish

    def is_cut(self) -> bool:
        """Is this a well-formed answer that ended in the repair's `otherwise`?"""
        commands = [command for command in self.client.commands if not isinstance(command, CancelUpstream)]
        ends = [type(command) for command in commands[-4:]]
        return ends == [SendNotice, FinishChoice, SendUsage, EndStream] and self.finish.reason == "content_filter"


# --- one answer


async def test_a_repaired_answer_is_one_answer() -> None:
    first = [*LOOPING[:1], RecordedEvent(UsageReported(Usage(3, 4))), *LOOPING[1:]]
    second = script(ChoiceOpened(0), content("It is 4."), ChoiceFinished(0, "stop"), UsageReported(Usage(9, 5)))
    run = await Run(CONCLUDE, first, [*second, RecordedEvent(UpstreamEnded())])()
    assert [command for command in run.client.commands if not isinstance(command, RecordDecision)] == [
        OpenChoice(0),
        SendText(REASONING, "I wonder. "),
        CancelUpstream(),
        Resume(0, REASONING, "I wonder. ", "", CONCLUDE, 1, 98),
        SendText(CONTENT, "It is 4."),
        FinishChoice(0, "stop", Intervention("repair", "again", "again", "hit", "reasoning", "conclude")),
        SendUsage(Usage(12, 9), False, RepairUsage(1, 9, 91)),
        EndStream(),
    ]
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}
    assert run.pump.summary.outcome == "repaired"
    assert run.pump.summary.error == ""
    assert (run.backend.streams, run.backend.closed) == (2, 2)
    assert run.told == [("conclude", "answered")]
    assert run.seconds[0] >= 0


async def test_upstream_is_asked_to_go_on_with_what_is_kept() -> None:
    run = await Run(CONCLUDE, LOOPING, ANSWERED)()
    kept = Continuation("conclude", Channel.CONTENT, "I wonder. ", "", "So.", "", {"temperature": 0.5}, 98)
    assert run.backend.requests == [REQUEST, replace(REQUEST, continuation=kept, answered_by="scripted")]


@pytest.mark.parametrize("repair", [RESAMPLE, HAND_OVER])
async def test_an_answer_is_gone_on_with_where_the_client_has_it(repair: Repair) -> None:
    run = await Run(repair, script(thought("Hm. "), content("It is AGAIN! AGAIN!")), answer_of(content("four.")))()
    assert run.text == {"reasoning": "Hm. ", "content": "It is four."}
    kept = run.backend.requests[1].continuation
    assert kept == Continuation(
        repair.how, Channel.CONTENT, "Hm. ", "It is ", instruction="Be brief.", max_tokens=98
    )  # fmt: skip


async def test_what_upstream_still_said_in_the_same_read_is_not_taken_for_the_continuation() -> None:
    class Burst(ScriptedBackend):
        async def _play(self, script: Iterable[RecordedEvent]) -> Any:
            yield [event for event, _ in script]

    for last in (UpstreamEnded(), UpstreamFailed("upstream_reset", "It broke.")):
        first = [*LOOPING, *script(content("late"), ChoiceFinished(0, "stop"), last)]
        backend = Burst(in_turn(first, ANSWERED), capabilities=ABLE)
        run = await Run(CONCLUDE, backend=backend)()
        assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}


async def test_upstream_is_let_go_before_the_next_is_opened() -> None:
    backend = ScriptedBackend(in_turn(LOOPING, ANSWERED), capabilities=ABLE)
    open_then: list[int] = []
    plain = backend.stream

    def stream(request: ModelRequest) -> Any:
        open_then.append(backend.streams - backend.closed)
        return plain(request)

    backend.stream = stream  # type: ignore[method-assign]
    await Run(CONCLUDE, backend=backend)()
    assert open_then == [0, 0]


async def test_the_client_is_not_told_of_another_spelling() -> None:
    class Spelling(ScriptedBackend):
        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
            async with super().stream(request) as model:
                model.reasoning_field = "reasoning_content" if request.continuation else "reasoning"
                model.dropped["matched_stop"] += 1
                yield model

    resampled = [*script(thought("Now.")), *ANSWERED]
    run = await Run(RESAMPLE, backend=Spelling(in_turn(LOOPING, resampled), capabilities=ABLE))()
    assert set(run.client.fields) == {"reasoning"}
    assert run.pump.summary.dropped == {"matched_stop": 2}


async def test_slow_detectors_are_opened_again_off_the_event_loop() -> None:
    threads: list[int] = []
    slow = Custom("slow", opening=lambda lane, context: threads.append(threading.get_ident()))
    run = await Run(RESAMPLE, LOOPING, [*script(thought("Now.")), *ANSWERED], more=[slow], slow=True)()
    assert run.text["reasoning"] == "I wonder. Now."
    assert len(threads) == 3
    assert threading.get_ident() not in threads


async def test_a_folded_answer_is_repaired_as_well() -> None:
    run = await Run(CONCLUDE, LOOPING, ANSWERED, streams=False)()
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}


# --- whatever upstream does


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("repair", [CONCLUDE, RESAMPLE, HAND_OVER])
async def test_a_refused_continuation_is_the_repairs_otherwise(repair: Repair, streams: bool) -> None:
    run = await Run(repair, LOOPING, UpstreamError("No.", code="upstream_unreachable"), streams=streams)()
    assert run.is_cut()
    assert run.pump.summary.outcome == "cut"
    assert run.pump.summary.error == "upstream_unreachable"
    assert run.told == [(repair.how, "otherwise")]
    assert run.seconds == [0.0]


def breaking(*events: Event) -> Iterable[RecordedEvent]:
    yield from script(*events)
    raise UpstreamError("It broke.", code="upstream_reset")


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(lambda: script(content("It is 4."), UpstreamFailed("upstream_reset", "It broke.")), id="fails"),
        pytest.param(lambda: breaking(content("It is 4.")), id="breaks off"),
        pytest.param(lambda: script(content("It is 4.")), id="ends without a finish"),
    ],
)
async def test_a_continuation_that_breaks_off_is_cut(second: Callable[[], Iterable[RecordedEvent]]) -> None:
    run = await Run(CONCLUDE, LOOPING, second())()
    assert run.is_cut()
    assert run.text["content"] == "It is 4."
    assert run.told == [("conclude", "otherwise")]


async def test_a_continuation_that_goes_wrong_again_is_cut() -> None:
    run = await Run(RESAMPLE, LOOPING, LOOPING, ANSWERED)()
    assert run.is_cut()
    assert run.backend.streams == run.backend.closed == 2
    assert run.told == [("resample", "otherwise")]


async def test_a_repair_may_lead_to_another() -> None:
    run = await Run(replace(RESAMPLE, attempts=2), LOOPING, LOOPING, [*script(thought("Now.")), *ANSWERED])()
    assert run.text == {"reasoning": "I wonder. I wonder. Now.", "content": "It is 4."}
    assert run.told == [("resample", "failed"), ("resample", "answered")]
    assert [request.answered_by for request in run.backend.requests] == ["", "scripted", "scripted"]


async def test_a_detector_that_fails_to_open_again_may_lead_to_another_repair() -> None:
    opened: list[str] = []

    def opening(lane: Any, context: Any) -> None:
        opened.append(lane.channel)
        if len(opened) == 2:
            raise OSError("gone")

    found = Custom(
        "custom",
        feed=lambda text: Report(min(4, len(text)), [hit(4, 8)] if len(text) == 8 else []),
        opening=opening,
    )
    run = Run(RESAMPLE, script(thought("abcdefgh")), ANSWERED, answer_of(content("Four.")))
    actions = {"custom": replace(RESAMPLE, attempts=2), "custom/error": replace(RESAMPLE, attempts=2)}
    run.pump._guard = StreamGuard(
        plan_of(found, actions=actions, hold=HOLD, keep_text=True), Context(), repairs=EVERYTHING
    )
    await run()
    assert run.text == {"reasoning": "abcd", "content": "Four."}
    assert run.backend.streams == run.backend.closed == 3


@pytest.mark.parametrize(
    ("times", "second"),
    [
        (clocks(first_byte=SOON), script(content("late"), after=NEVER)),
        (clocks(between_events=SOON), [*script(content("It is 4.")), RecordedEvent(UpstreamEnded(), NEVER)]),
    ],
)
async def test_a_continuation_that_stalls_is_cut(times: Clocks, second: list[RecordedEvent]) -> None:
    run = await Run(CONCLUDE, LOOPING, second, times=times)()
    assert run.is_cut()
    assert run.backend.closed == 2


async def test_the_first_byte_of_a_continuation_has_its_own_time() -> None:
    """Between events there may be less."""
    run = await Run(CONCLUDE, LOOPING, answer_of(content("It is 4.")), times=clocks(between_events=5, first_byte=9))()
    assert run.text["content"] == "It is 4."
    waiting = Run(
        CONCLUDE, LOOPING, [RecordedEvent(ChoiceOpened(0), 4 * SOON), *ANSWERED], times=clocks(between_events=SOON)
    )
    await waiting()
    assert waiting.text["content"] == "It is 4."


@pytest.mark.parametrize("kind", ["total", "shutdown"])
async def test_clocks_of_the_whole_answer_fail_it(kind: str) -> None:
    times = clocks(total=5 * SOON) if kind == "total" else QUIET
    run = Run(CONCLUDE, LOOPING, script(content("late"), after=NEVER), times=times)
    task = asyncio.create_task(run())
    await until(lambda: run.backend.streams == 2)
    if kind == "shutdown":
        run.pump.shut_down()
    await task
    assert run.client.failure == f"deadline_{kind}"
    assert run.backend.closed == 2
    assert run.told == [("conclude", "failed")]


async def test_a_waiting_client_is_kept_alive_during_a_repair() -> None:
    run = Run(CONCLUDE, LOOPING, [RecordedEvent(ChoiceOpened(0), 10 * SOON), *ANSWERED], times=clocks(keep_alive=SOON))
    await run()
    assert run.client.comments >= 2
    assert run.text["content"] == "It is 4."


async def test_a_client_that_leaves_lets_go_of_the_continuation() -> None:
    run = Run(CONCLUDE, LOOPING, script(content("late"), after=NEVER))
    task = asyncio.create_task(run())
    await until(lambda: run.backend.streams == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.backend.closed == 2


class Stubborn(ScriptedBackend):
    """Cannot let go of a stream in order."""

    trouble: UpstreamError | float = UpstreamError("It broke.", code="upstream_reset")
    only_first = True

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        async with super().stream(request) as model:
            yield model
        if self.only_first == (request.continuation is None):
            if isinstance(self.trouble, UpstreamError):
                raise self.trouble
            await asyncio.sleep(self.trouble)


@pytest.mark.parametrize("only_first", [True, False])
async def test_an_upstream_that_breaks_while_it_is_let_go_changes_nothing(only_first: bool) -> None:
    backend = Stubborn(in_turn(LOOPING, ANSWERED), capabilities=ABLE)
    backend.only_first = only_first
    run = await Run(CONCLUDE, backend=backend)()
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}
    assert isinstance(run.client.commands[-1], EndStream)


async def test_an_upstream_that_is_not_let_go_in_time_ends_in_the_repairs_otherwise_behind_what_is_clean() -> None:
    backend = Stubborn(in_turn(LOOPING, ANSWERED), capabilities=ABLE)
    backend.trouble = NEVER
    run = await Run(CONCLUDE, backend=backend, times=clocks(between_events=SOON))()
    assert run.text == {"reasoning": "I wonder. "}
    assert run.is_cut()


# --- in the running request


class Live(ScriptedBackend):
    """An upstream that can be told to end its thinking, if it `agrees`."""

    agrees = True
    orders = 0

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        async with super().stream(request) as model:
            model.end_thinking = self.order
            yield model

    async def order(self) -> bool:
        self.orders += 1
        return self.agrees


async def test_a_thinking_is_ended_live_where_that_can_be_done() -> None:
    goes_on = script(
        thought(" AGAIN! and a"), content("It is 4."), ChoiceFinished(0, "stop"), UsageReported(Usage(2, 9))
    )
    backend = Live(in_turn([*LOOPING, *goes_on, RecordedEvent(UpstreamEnded())]), capabilities=ABLE)
    run = await Run(CONCLUDE, backend=backend)()
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}
    assert (backend.orders, backend.streams) == (1, 1)
    assert run.client.commands[-2] == SendUsage(Usage(2, 9), False, RepairUsage(1, 9, 91))
    assert run.told == [("conclude", "answered")]


@pytest.mark.parametrize(("repair", "orders"), [(CONCLUDE, 1), (RESAMPLE, 0)])
async def test_else_the_request_is_continued(repair: Repair, orders: int) -> None:
    backend = Live(in_turn(LOOPING, ANSWERED), capabilities=ABLE)
    backend.agrees = False
    run = await Run(repair, backend=backend)()
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}
    assert (backend.orders, backend.streams) == (orders, 2)


async def test_an_answer_that_has_begun_in_the_same_read_is_not_lost_to_a_live_order() -> None:
    class Burst(Live):
        async def _play(self, script: Iterable[RecordedEvent]) -> Any:
            yield [event for event, _ in script]

    backend = Burst(in_turn([*LOOPING, *ANSWERED], ANSWERED), capabilities=ABLE)
    run = await Run(CONCLUDE, backend=backend)()
    assert run.text == {"reasoning": "I wonder. ", "content": "It is 4."}
    assert (backend.orders, backend.streams) == (0, 2)


# --- the parts

RESUME = Resume(0, REASONING, "So far", "", CONCLUDE, 1, 9)


def test_what_was_asked_for_is_the_last_command() -> None:
    assert asked([]) is None
    assert asked([RESUME, EndStream()]) is None
    assert asked([EndStream(), RESUME]) == RESUME


@pytest.mark.parametrize(
    ("repair", "channel"),
    [(CONCLUDE, Channel.CONTENT), (RESAMPLE, Channel.REASONING), (HAND_OVER, Channel.REASONING)],
)
def test_a_conclusion_goes_on_behind_the_thinking(repair: Repair, channel: Channel) -> None:
    request = continued(REQUEST, replace(RESUME, repair=repair), "one")
    assert request.continuation is not None
    assert (request.continuation.how, request.continuation.channel) == (repair.how, channel)
    assert request.answered_by == "one"


def test_every_repair_is_told_once() -> None:
    told: list[tuple[str, str, float]] = []
    watch = RepairWatch(lambda *over: told.append(over))
    watch.look([FinishChoice(0, "stop")], 1.0)
    watch.begin(RESUME, 2.0)
    watch.look([SendText(CONTENT, "a")], 5.0)
    watch.look([SendText(CONTENT, "b")], 7.0)
    watch.look([FinishChoice(0, "stop", Intervention("mask", "r", "d", "l", "content"))], 8.0)
    watch.look([FinishChoice(0, "stop")], 9.0)
    assert told == [("conclude", "answered", 3.0)]
    watch.begin(RESUME, 10.0)
    watch.begin(replace(RESUME, repair=RESAMPLE), 11.0)
    watch.look([FailStream("deadline_total", "Late.")], 12.0)
    assert told[1:] == [("conclude", "failed", 0.0), ("resample", "failed", 0.0)]


# --- through the app

TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}


async def answer(backend: ScriptedBackend, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    app = create_app(gateway=gateway_of(backend, FixedPolicy(plan(RESAMPLE))))
    asked = {"prompt": "Hi"} if path == "/v1/completions" else {"messages": [{"role": "user", "content": "Hi"}]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        return await client.post(path, json={"model": "m", **asked, **fields})


def resampled(capabilities: Capabilities = ABLE) -> ScriptedBackend:
    first = script(ChoiceOpened(0), content("It is AGAIN! AGAIN! AGAIN!"))
    return ScriptedBackend(in_turn(first, answer_of(content("four."))), capabilities=capabilities)


async def test_a_streaming_client_reads_one_ordinary_answer() -> None:
    response = await answer(resampled(), stream=True, stream_options={"include_usage": True}, max_tokens=50)
    *_, finish, usage = chunks = read_stream(response.content)
    assert len({chunk["id"] for chunk in chunks}) == 1
    parts = [part for chunk in chunks for part in chunk["choices"]]
    assert [part["delta"]["role"] for part in parts if "role" in part["delta"]] == ["assistant"]
    assert "".join(part["delta"].get("content", "") for part in parts) == "It is four."
    assert [part["finish_reason"] for part in parts if part["finish_reason"]] == ["stop"]
    assert (finish["guard"]["action"], finish["guard"]["how"], finish["guard"]["rule"]) == (
        "repair",
        "resample",
        "again",
    )
    assert usage["guard"] == {
        "v": 1, "usage_estimated": True, "repair": {"attempts": 1, "tokens_spent": 4, "tokens_saved": 46}
    }  # fmt: skip
    assert usage["usage"]["completion_tokens"] == 4


async def test_a_client_that_waits_for_the_whole_gets_it_repaired() -> None:
    body = (await answer(resampled())).json()
    assert body["choices"][0]["message"]["content"] == "It is four."
    assert body["guard"]["action"] == "repair"
    assert body["guard"]["repair"] == {"attempts": 1, "tokens_spent": 4}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_text_completion_is_repaired_as_well(stream: bool) -> None:
    response = await answer(resampled(), "/v1/completions", stream=stream)
    bodies = read_stream(response.content) if stream else [response.json()]
    assert "".join(choice["text"] for body in bodies for choice in body["choices"]) == "It is four."


@pytest.mark.parametrize(
    ("fields", "able", "repaired"),
    [
        ({}, Capabilities(EVERYTHING), True),
        ({}, Capabilities(), False),
        (TOOLS, Capabilities(EVERYTHING), False),
        (TOOLS, ABLE, True),
        ({"response_format": {"type": "json_object"}}, Capabilities(EVERYTHING), False),
        ({"n": 2}, ABLE, False),
    ],
)
async def test_what_the_backend_cannot_continue_is_cut(
    fields: dict[str, Any], able: Capabilities, repaired: bool
) -> None:
    backend = resampled(able)
    body = (await answer(backend, **fields)).json()
    assert (body["choices"][0]["finish_reason"] == "stop") == repaired
    assert backend.streams == 1 + repaired
