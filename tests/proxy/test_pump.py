from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from guard.backends.base import Backend, ModelRequest, ModelStream, UpstreamError
from guard.backends.scripted import ScriptedBackend, refuse
from guard.contract import Channel, Context, Report
from guard.engine.plan import Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Command,
    Cut,
    Deadline,
    EndStream,
    Event,
    FinishChoice,
    Flag,
    Logprob,
    OpenChoice,
    RecordDecision,
    SendNotice,
    SendText,
    SendUsage,
    UpstreamEnded,
    UpstreamFailed,
)
from guard.observe.metrics import Metrics
from guard.proxy.clocks import Clocks
from guard.proxy.pump import Pump
from guard.wire.errors import RequestError
from guard.wire.record import RecordedEvent
from tests.support.engine import Custom, Words, hit, plan_of
from tests.support.metrics import total
from tests.support.proxy import answer_of, content, script, scripted, thought, words_policy
from tests.support.pump import NEVER, QUIET, SOON, Client, clocks, until

pytestmark = pytest.mark.anyio


def pump_of(
    backend: Backend,
    client: Client,
    *,
    plan: Plan | None = None,
    times: Clocks = QUIET,
    metrics: Metrics | None = None,
    body: dict[str, Any] | None = None,
    **options: Any,
) -> Pump:
    guard = StreamGuard(plan or words_policy().plan(""), Context(prompt="Hello"))
    opened = (metrics or Metrics()).stream_opened("chat")
    request = ModelRequest("chat", body or {"messages": []})
    return Pump(guard, backend, request, client, opened, clocks=times, **options)


def hanging(*events: Event) -> ScriptedBackend:
    """Plays `events`, then says nothing for good."""
    return scripted(*script(*events), RecordedEvent(UpstreamEnded(), NEVER))


class Closing:
    """A backend that takes its time to close: until `gate` is open."""

    name = "closing"
    capabilities = scripted().capabilities

    def __init__(self, inner: Backend, *, deaf: bool = False) -> None:
        self.inner = inner
        self.closing = asyncio.Event()
        self.gate = asyncio.Event()
        self.deaf = deaf
        """Even if it is cancelled."""

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        async with self.inner.stream(request) as model:
            try:
                yield model
            finally:
                self.closing.set()
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    if self.deaf:
                        await self.gate.wait()
                    raise

    async def models(self) -> Sequence[str]:
        return ()

    async def aclose(self) -> None:
        return None


class Unreachable:
    """A backend that never accepts a request."""

    name = "unreachable"
    capabilities = scripted().capabilities

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        await asyncio.Event().wait()
        yield ModelStream(self.name, _none())

    async def models(self) -> Sequence[str]:
        return ()

    async def aclose(self) -> None:
        return None


async def _none() -> AsyncIterator[Sequence[Event]]:
    return
    yield


# --- answers


async def test_an_answer_passes() -> None:
    backend, client = scripted(*answer_of(thought("Hm. "), content("Hello."))), Client()
    pump = pump_of(backend, client)
    await pump.run()
    assert client.starts == ["scripted"]
    assert client.text == "Hm. Hello."
    assert [type(command) for command in client.end] == [OpenChoice, FinishChoice, SendUsage, EndStream]
    assert (backend.streams, backend.closed) == (1, 1)
    assert pump.summary.outcome == "passed"
    assert pump.summary.backend == "scripted"
    assert pump.summary.error == ""
    assert set(pump.summary.tokens) == {Channel.REASONING, Channel.CONTENT}
    assert pump.summary.tokens_saved == 0


@pytest.mark.parametrize(
    ("text", "outcome", "reads"),
    [
        ("All is well.", "passed", "All is well."),
        ("A SECRET word.", "masked", "A <hidden> word."),
        ("Noted. SECRET. STOP! More.", "cut", "Noted. <hidden>. "),
        ("Much LONG! More.", "cut", "Much "),
    ],
)
async def test_the_worst_that_happened_is_the_outcome(text: str, outcome: str, reads: str) -> None:
    client = Client()
    pump = pump_of(scripted(*answer_of(content(text))), client)
    await pump.run()
    assert pump.summary.outcome == outcome
    assert client.text == reads


async def test_a_flag_is_an_outcome_only_if_a_rule_says_so() -> None:
    told = plan_of(Words("noted", ["x"]), actions={"noted": Flag()})
    untold = plan_of(Words("noted", ["x"]))
    for plan, outcome in ((told, "flagged"), (untold, "passed")):
        pump = pump_of(scripted(*answer_of(content("x"))), Client(), plan=plan)
        await pump.run()
        assert pump.summary.outcome == outcome


async def test_upstream_is_let_go_before_the_client_reads_of_the_cut() -> None:
    backend = scripted(*script(ChoiceOpened(0), content("Well. STOP! "), content("And more.")))
    open_upstreams: list[int] = []

    def taken(commands: Sequence[Command]) -> None:
        if any(isinstance(command, FinishChoice) for command in commands):
            open_upstreams.append(backend.streams - backend.closed)

    client = Client(taken=taken)
    pump = pump_of(backend, client)
    await pump.run()
    assert open_upstreams == [0]
    assert client.text == "Well. "
    assert [command.text for command in client.end if isinstance(command, SendNotice)] == ["\n\nStopped here."]


async def test_what_a_cut_saves_is_what_the_client_had_still_allowed() -> None:
    metrics = Metrics()
    for limit in (1_000, None, 2):
        pump = pump_of(scripted(*answer_of(content("x" * 33 + "STOP!"))), Client(), max_tokens=limit, metrics=metrics)
        await pump.run()
        spent = -(-38 // 4) - 1
        assert pump.summary.tokens_saved == (max(limit - spent, 0) if limit else 0)


async def test_how_upstream_spells_reasoning_is_handed_on() -> None:
    class Spelling(ScriptedBackend):
        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
            async with super().stream(request) as model:
                model.reasoning_field = "reasoning"
                yield model

    recording = answer_of(thought("Hm."))
    client = Client()
    await pump_of(Spelling(lambda _request: recording), client).run()
    assert set(client.fields) == {"reasoning"}


@pytest.mark.parametrize(("channels", "left"), [((Channel.CONTENT,), 1), ((), 0)])
async def test_log_probabilities_that_stay_behind_are_counted(channels: Iterable[Channel], left: int) -> None:
    client = Client()
    backend = scripted(*answer_of(content("Hello.", logprobs=[Logprob("Hello.", -0.1)])))
    pump = pump_of(backend, client, plan=words_policy(channels=channels).plan(""), body={"logprobs": True})
    await pump.run()
    assert pump.summary.dropped["logprobs"] == left
    sent = [command.logprobs for command in client.commands if isinstance(command, SendText)]
    assert [len(each) for each in sent] == [1 - left]


# --- failures


async def test_a_refusal_is_raised_while_nothing_has_been_sent() -> None:
    client = Client()
    pump = pump_of(ScriptedBackend(refuse(UpstreamError("No.", code="upstream_unreachable"))), client)
    with pytest.raises(UpstreamError, match="No"):
        await pump.run()
    assert not client.begun
    assert client.commands == []
    assert (pump.summary.outcome, pump.summary.error) == ("error", "upstream_unreachable")


async def test_a_refusal_after_a_keep_alive_is_told_in_band() -> None:
    client = Client()

    class Late(Unreachable):
        @asynccontextmanager
        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
            await until(lambda: client.comments > 0)
            async with ScriptedBackend(refuse(UpstreamError("No.", code="upstream_unreachable"))).stream(
                request
            ) as model:
                yield model

    pump = pump_of(Late(), client, times=clocks(keep_alive=SOON))
    await pump.run()
    assert client.starts == [""] * client.comments
    assert client.failure == "upstream_unreachable"
    assert (pump.summary.outcome, pump.summary.error) == ("error", "upstream_unreachable")


async def test_a_failure_in_mid_answer_is_told_in_band() -> None:
    client = Client()
    backend = scripted(*script(ChoiceOpened(0), content("Half"), UpstreamFailed("upstream_reset", "It broke.")))
    pump = pump_of(backend, client)
    await pump.run()
    assert client.text == "Half"
    assert client.failure == "upstream_reset"
    assert pump.summary.error == "upstream_reset"


async def test_a_backend_that_raises_in_mid_answer_is_a_failure_like_any() -> None:
    def breaking(_request: ModelRequest) -> Iterable[RecordedEvent]:
        def play() -> Iterable[RecordedEvent]:
            yield from script(ChoiceOpened(0), content("Half"))
            raise UpstreamError("It broke.", code="upstream_reset")

        return play()

    client = Client()
    backend = ScriptedBackend(breaking)
    await pump_of(backend, client).run()
    assert client.text == "Half"
    assert client.failure == "upstream_reset"
    assert backend.closed == 1


async def test_an_upstream_that_just_stops_is_no_success() -> None:
    client = Client()
    await pump_of(scripted(*script(ChoiceOpened(0), content("Half"))), client).run()
    assert client.failure == "upstream_incomplete"


async def test_a_failure_of_an_answer_in_one_piece_is_raised() -> None:
    backend = scripted(*script(ChoiceOpened(0), content("Half"), UpstreamFailed("upstream_reset", "It broke.")))
    with pytest.raises(UpstreamError, match="It broke") as caught:
        await pump_of(backend, Client(streams=False)).run()
    assert (caught.value.status, caught.value.code) == (502, "upstream_reset")


# --- clocks


async def test_a_waiting_client_is_told_that_the_connection_lives() -> None:
    metrics = Metrics()
    client = Client()
    pump = pump_of(
        hanging(ChoiceOpened(0)), client, times=clocks(keep_alive=SOON, between_events=10 * SOON), metrics=metrics
    )
    await pump.run()
    assert client.comments >= 2
    assert metrics.registry.get_sample_value("guard_keep_alives_total") == client.comments
    assert client.failure == "deadline_between_events"


async def test_nothing_is_said_while_text_leaves_often_enough() -> None:
    client = Client()
    await pump_of(scripted(*answer_of(*[content("word ")] * 50)), client, times=clocks(keep_alive=1)).run()
    assert client.comments == 0


@pytest.mark.parametrize(
    ("backend", "times", "code"),
    [
        (lambda: hanging(), {"first_byte": SOON}, "deadline_first_byte"),
        (lambda: hanging(ChoiceOpened(0), content("Half")), {"between_events": SOON}, "deadline_between_events"),
        (lambda: hanging(ChoiceOpened(0), content("Half")), {"total": SOON}, "deadline_total"),
        (lambda: hanging(), {"total": SOON}, "deadline_total"),
    ],
)
async def test_deadlines_end_a_stream(
    backend: Callable[[], ScriptedBackend], times: dict[str, float], code: str
) -> None:
    upstream, client = backend(), Client()
    pump = pump_of(upstream, client, times=clocks(**times))
    await pump.run()
    assert client.failure == code
    assert upstream.closed == 1
    assert (pump.summary.outcome, pump.summary.error) == ("error", code)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(("clock", "code"), [("first_byte", "deadline_first_byte"), ("total", "deadline_total")])
async def test_a_deadline_before_anything_was_sent_is_a_status(streams: bool, clock: str, code: str) -> None:
    client = Client(streams=streams)
    pump = pump_of(Unreachable(), client, times=clocks(**{clock: SOON}))
    with pytest.raises(UpstreamError) as caught:
        await pump.run()
    assert (caught.value.status, caught.value.code) == (504, code)
    assert not client.begun
    assert client.commands == []
    assert (pump.summary.outcome, pump.summary.error) == ("error", code)


async def test_a_stream_that_speaks_meets_no_first_byte_deadline() -> None:
    recording = [*script(ChoiceOpened(0)), *script(content("a"), after=3 * SOON), *answer_of()[1:]]
    client = Client()
    await pump_of(scripted(*recording), client, times=clocks(first_byte=SOON)).run()
    assert client.text == "a"
    assert isinstance(client.commands[-1], EndStream)


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    backend, client = hanging(ChoiceOpened(0), content("Hello")), Client(gate=asyncio.Event())
    pump = pump_of(backend, client, times=clocks(write=SOON, keep_alive=SOON))
    await pump.run()
    assert pump.stalled
    assert client.commands == []
    assert backend.closed == 1
    assert pump.summary.outcome == "client_left"


async def test_a_client_that_takes_no_end_is_given_up() -> None:
    backend = scripted(*answer_of(content("SECRET")))
    client = Client(gate=asyncio.Event())
    pump = pump_of(backend, client, plan=plan_of(Words("w", ["S"]), actions={"w": Cut()}), times=clocks(write=SOON))
    await pump.run()
    assert pump.stalled
    assert backend.closed == 1
    assert pump.summary.outcome == "client_left"


async def test_a_client_that_takes_no_deadline_is_given_up() -> None:
    client = Client(gate=asyncio.Event())
    backend = hanging(ChoiceOpened(0), content("Hello"))
    pump = pump_of(backend, client, times=clocks(write=5 * SOON, total=SOON))
    await pump.run()
    assert pump.stalled
    assert backend.closed == 1


async def test_no_comment_follows_the_end() -> None:
    """A comment that waits for the client is not sent once the answer has ended."""
    waiting = asyncio.Event()
    release = asyncio.Event()

    class Slow(Client):
        async def keep_alive(self) -> bool:
            await self.begin("")
            waiting.set()
            await release.wait()
            self.comments += 1
            return True

    client = Slow()
    pump = pump_of(hanging(ChoiceOpened(0)), client, times=clocks(keep_alive=SOON, between_events=5 * SOON))
    await pump.run()
    assert waiting.is_set()
    release.set()
    await asyncio.sleep(0)
    assert client.comments == 0


# --- slow detectors


async def test_a_slow_detector_runs_in_a_thread_and_changes_nothing() -> None:
    threads: set[int] = set()

    def feed(text: str) -> Report:
        threads.add(threading.get_ident())
        return Report(len(text), [hit(0, len(text))] if "!" in text else [])

    def plan() -> Plan:
        return plan_of(Custom(feed=feed), actions={"custom": Cut("Stopped.")})

    texts = [content(f"word {number} ") for number in range(20)] + [content("end! ") for _ in range(9)]
    told: list[list[Command]] = []
    for slow in (False, True):
        client = Client()
        threads.clear()
        await pump_of(scripted(*answer_of(*texts)), client, plan=plan(), slow=slow).run()
        assert (threading.get_ident() in threads) is not slow
        told.append(client.commands)
    assert told[0] == told[1]


@pytest.mark.parametrize("streams", [True, False])
async def test_a_detector_that_does_not_come_back_ends_the_stream(streams: bool) -> None:
    release = threading.Event()

    def feed(text: str) -> Report:
        release.wait(30)
        return Report(len(text))

    client = Client(streams=streams)
    plan = plan_of(Custom(feed=feed), actions={"custom": Cut()})
    backend = scripted(*script(ChoiceOpened(0), content("text " * 50)), *answer_of(content("more " * 50)))
    pump = pump_of(backend, client, plan=plan, slow=True, times=clocks(detector=SOON))
    try:
        if streams:
            await pump.run()
            assert client.failure == "deadline_detector"
        else:
            with pytest.raises(UpstreamError) as caught:
                await pump.run()
            assert (caught.value.status, caught.value.code) == (504, "deadline_detector")
    finally:
        release.set()
    assert client.text == ""
    assert backend.closed == 1
    assert (pump.summary.outcome, pump.summary.error) == ("error", "deadline_detector")


async def test_a_deadline_does_not_wait_for_a_slow_detector() -> None:
    release = threading.Event()

    def feed(text: str) -> Report:
        release.wait(30)
        return Report(len(text))

    client = Client()
    plan = plan_of(Custom(feed=feed), actions={"custom": Cut()})
    pump = pump_of(scripted(*answer_of(content("text " * 50))), client, plan=plan, slow=True, times=clocks(total=SOON))
    try:
        await pump.run()
    finally:
        release.set()
    assert client.text == ""
    assert client.failure == "deadline_total"


# --- the end of the process


async def test_a_shut_down_ends_a_stream_with_its_terminal_event() -> None:
    backend, client = hanging(ChoiceOpened(0), content("Half of an answer")), Client()
    pump = pump_of(backend, client)
    running = asyncio.create_task(pump.run())
    await until(lambda: client.text != "")
    pump.shut_down()
    pump.shut_down()
    await running
    assert client.failure == "deadline_shutdown"
    assert backend.closed == 1


async def test_a_shut_down_before_upstream_accepts_is_a_status() -> None:
    client = Client()
    pump = pump_of(Unreachable(), client)
    running = asyncio.create_task(pump.run())
    await asyncio.sleep(0)
    pump.shut_down()
    with pytest.raises(RequestError) as caught:
        await running
    assert (caught.value.status, caught.value.code) == (503, "shutting_down")
    assert not client.begun


async def test_a_shut_down_before_the_stream_is_not_forgotten() -> None:
    pump = pump_of(Unreachable(), Client())
    pump.shut_down()
    with pytest.raises(RequestError) as caught:
        await asyncio.wait_for(pump.run(), 10)
    assert (caught.value.status, caught.value.code) == (503, "shutting_down")


async def test_a_shut_down_does_not_swallow_an_answer_that_has_ended() -> None:
    backend = Closing(scripted(*answer_of(content("Well. STOP!"))))
    client = Client()
    pump = pump_of(backend, client)
    running = asyncio.create_task(pump.run())
    await asyncio.wait_for(backend.closing.wait(), 10)
    pump.shut_down()
    await running
    assert client.text == "Well. "
    assert [type(command) for command in client.end[-4:]] == [FinishChoice, CancelUpstream, SendUsage, EndStream]
    assert pump.summary.outcome == "cut"


async def test_a_shut_down_while_a_deadline_is_carried_out_changes_nothing() -> None:
    backend = Closing(hanging(ChoiceOpened(0), content("Half")), deaf=True)
    client = Client()
    pump = pump_of(backend, client, times=clocks(between_events=SOON))
    running = asyncio.create_task(pump.run())
    await asyncio.wait_for(backend.closing.wait(), 10)
    pump.shut_down()
    backend.gate.set()
    await running
    assert client.failure == f"deadline_{Deadline.BETWEEN_EVENTS}"


# --- prompts

PROMPTS = (Channel.PROMPT,)


@pytest.mark.parametrize(
    ("parts", "cleared"),
    [([], []), (["Hi"], ["Hi"]), (["", "Hi"], ["", "Hi"]), (["a SECRET b", "Hi"], ["a <hidden> b", "Hi"])],
)
async def test_a_prompt_goes_upstream_as_its_review_lets_it(parts: list[str], cleared: list[str]) -> None:
    backend, client = scripted(), Client()
    pump = pump_of(backend, client, plan=words_policy(channels=PROMPTS).plan(""))
    assert await pump.review_prompt(parts) == cleared
    pump.send_upstream({"messages": cleared})
    await pump.run()
    assert backend.requests[0].body == {"messages": cleared}
    assert client.text == "Hello."


async def test_a_blocked_prompt_never_reaches_upstream() -> None:
    backend, client = scripted(), Client()
    pump = pump_of(backend, client, plan=words_policy(channels=PROMPTS).plan(""))
    assert await pump.review_prompt(["Hi", "STOP! now"]) is None
    assert backend.streams == 0
    assert [type(command) for command in client.end if not isinstance(command, RecordDecision)] == [
        OpenChoice,
        SendNotice,
        FinishChoice,
        SendUsage,
        EndStream,
    ]
    assert pump.summary.outcome == "cut"


async def test_a_detector_that_hangs_on_a_prompt_ends_the_stream() -> None:
    release = threading.Event()

    def settle(text: str) -> Report:
        release.wait(30)
        return Report(len(text))

    plan = plan_of(Custom(settle=settle), actions={"custom": Cut()}, channels=PROMPTS)
    backend, client = scripted(), Client()
    pump = pump_of(backend, client, plan=plan, slow=True, times=clocks(detector=SOON))
    try:
        assert await pump.review_prompt(["Hello"]) is None
    finally:
        release.set()
    assert client.failure == "deadline_detector"
    assert backend.streams == 0


@pytest.mark.parametrize(("parts", "off"), [(["Hi"], False), (["Hi " * 20_000], True), (["Hi"] * 2_000, True)])
async def test_a_long_prompt_is_reviewed_off_the_event_loop(parts: list[str], off: bool) -> None:
    """A megabyte takes seconds, in which no other stream would move."""
    threads: set[threading.Thread] = set()

    def settle(text: str) -> Report:
        threads.add(threading.current_thread())
        return Report(len(text))

    plan = plan_of(Custom(settle=settle), actions={"custom": Cut()}, channels=PROMPTS)
    pump = pump_of(scripted(), Client(), plan=plan)
    assert await pump.review_prompt(parts) == parts
    assert (threading.current_thread() not in threads) is off


# --- metrics


async def test_time_to_first_token_and_time_per_event_are_observed() -> None:
    metrics = Metrics()
    await pump_of(scripted(*answer_of(content("a"), content("b"))), Client(), metrics=metrics).run()
    assert total(metrics.registry, "guard_time_to_first_token_seconds_count") == 1
    assert total(metrics.registry, "guard_added_latency_seconds_count") == 5


async def test_an_answer_that_is_whole_does_not_wait_for_its_usage() -> None:
    client = Client()
    backend = scripted(
        RecordedEvent(ChoiceOpened(0)),
        RecordedEvent(content("Done.")),
        RecordedEvent(ChoiceFinished(0, "stop")),
        RecordedEvent(UpstreamEnded(), NEVER),
    )
    pump = pump_of(backend, client, times=clocks(after_answer=SOON))
    await asyncio.wait_for(pump.run(), 10)
    assert [type(command) for command in client.end] == [OpenChoice, FinishChoice, CancelUpstream, SendUsage, EndStream]
    assert pump.summary.outcome == "passed"
    assert backend.closed == 1
