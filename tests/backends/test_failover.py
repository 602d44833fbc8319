"""Two backends as one: when the second takes over, when it must not, and how the breaker spares the first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Literal

import pytest

from guard.backends.base import Backend, Capabilities, Continuation, ModelRequest
from guard.backends.failover import CircuitBreaker, FailoverBackend
from guard.backends.http import HttpBackend
from guard.backends.scripted import Script, ScriptedBackend, refuse
from guard.contract import Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Event,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from guard.wire.errors import UpstreamError
from guard.wire.record import RecordedEvent
from tests.support.dialects import VLLM, event
from tests.support.upstream import (
    CLOSE,
    HANG,
    PATIENCE,
    RESET,
    FakeUpstream,
    Pause,
    Reply,
    json_reply,
    raw,
    reply,
    unused_port,
)

pytestmark = pytest.mark.anyio

REQUEST = ModelRequest(route="chat", body={"messages": []})
CONTENT = Lane(0, Channel.CONTENT)
DOWN = UpstreamError("It is down.", code="upstream_unreachable")


def playing(*events: Event, then: UpstreamError | None = None) -> Script:
    """A script of `events`, after which the stream breaks with `then`."""

    def script(_request: ModelRequest) -> Iterable[RecordedEvent]:
        yield from map(RecordedEvent, events)
        if then is not None:
            raise then

    return script


def saying(text: str) -> Script:
    return playing(ChoiceOpened(0), TextReceived(CONTENT, text), ChoiceFinished(0, "stop"), UpstreamEnded())


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """A failover backend of two scripts, which a test may change, and what it reported."""

    def __init__(self, first: Script, second: Script | None = None, *, threshold: int = 2) -> None:
        self.first = ScriptedBackend(lambda request: self.plays(request), name="first")
        self.second = ScriptedBackend(second or saying("second"), name="second")
        self.plays = first
        self.clock = Clock()
        self.switches: list[tuple[str, str, str]] = []
        self.backend = FailoverBackend(
            self.first,
            self.second,
            threshold=threshold,
            cool_down=30.0,
            clock=self.clock,
            on_failover=lambda *told: self.switches.append(told),
        )

    async def ask(self) -> tuple[str, list[Event]]:
        return await ask(self.backend)

    async def fails(self) -> UpstreamError:
        with pytest.raises(UpstreamError) as caught:
            await self.ask()
        return caught.value


async def ask(backend: Backend, request: ModelRequest = REQUEST) -> tuple[str, list[Event]]:
    """Who answered, and with what."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE), backend.stream(request) as model:
        async for batch in model.events:
            events += batch
    return model.backend, events


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextReceived))


# --- who answers


async def test_the_first_answers_while_it_can() -> None:
    pair = Pair(saying("first"))
    name, events = await pair.ask()
    assert (name, text(events)) == ("first", "first")
    assert events == [ChoiceOpened(0), TextReceived(CONTENT, "first"), ChoiceFinished(0, "stop"), UpstreamEnded()]
    assert pair.switches == []
    assert pair.second.streams == 0


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refuse(DOWN), "upstream_unreachable"),
        (refuse(UpstreamError("busy", code="rate_limit", status=429)), "rate_limit"),
        (playing(UpstreamFailed("server_error", "It failed.")), "server_error"),
        (playing(ChoiceOpened(0), UpstreamFailed("upstream_aborted", "It failed.")), "upstream_aborted"),
        (playing(), "upstream_empty"),
        (playing(UpstreamEnded()), "upstream_empty"),
        (playing(ChoiceOpened(0), UpstreamEnded()), "upstream_empty"),
        (playing(ChoiceOpened(0), UsageReported(Usage(3, 0)), UpstreamEnded()), "upstream_empty"),
        (playing(then=UpstreamError("broke", code="upstream_reset")), "upstream_reset"),
        (playing(ChoiceOpened(0), then=UpstreamError("broke", code="upstream_reset")), "upstream_reset"),
    ],
    ids=["down", "busy", "error", "abort", "nothing", "end", "role", "usage", "broke", "role-broke"],
)
async def test_the_second_takes_over_until_the_first_has_said_something(script: Script, code: str) -> None:
    pair = Pair(script)
    name, events = await pair.ask()
    assert (name, text(events)) == ("second", "second")
    assert [type(event) for event in events].count(ChoiceOpened) == 1
    assert pair.switches == [("first", "second", code)]
    assert pair.first.closed == pair.first.streams
    assert pair.second.closed == 1


@pytest.mark.parametrize("code", ["context_length_exceeded", "invalid_request", "content_filter", "model_not_found"])
async def test_a_request_that_is_at_fault_is_not_handed_on(code: str) -> None:
    """Said with a status or, as some servers do, in the stream."""
    for script in (
        refuse(UpstreamError("bad", code=code, status=400, retry=False)),
        playing(UpstreamFailed(code, "bad")),
    ):
        pair = Pair(script)
        error = await pair.fails()
        assert (error.message, error.code, error.retry) == ("bad", code, False)
        assert 400 <= error.status < 500
        assert pair.switches == []
        assert pair.second.streams == 0
        assert not pair.backend.breaker.open


@pytest.mark.parametrize(
    "begun",
    [
        TextReceived(CONTENT, "Hi"),
        TextReceived(Lane(0, Channel.REASONING), "Hm"),
        ToolCallOpened(0, 0, "call_1", "lookup"),
        ChoiceFinished(0, "stop"),
    ],
    ids=["content", "reasoning", "tool", "finish"],
)
async def test_nothing_is_switched_once_an_answer_has_begun(begun: Event) -> None:
    failure = UpstreamFailed("server_error", "It failed.")
    pair = Pair(playing(ChoiceOpened(0), begun, failure))
    assert await pair.ask() == ("first", [ChoiceOpened(0), begun, failure])

    pair.plays = playing(begun, then=UpstreamError("broke", code="upstream_reset"))
    assert (await pair.fails()).code == "upstream_reset"
    assert pair.switches == []
    assert pair.second.streams == 0


async def test_text_and_an_error_in_one_read_are_text_and_then_an_error() -> None:
    failure = UpstreamFailed("server_error", "It failed.")
    said = TextReceived(CONTENT, "Hi")

    class OneRead(ScriptedBackend):
        async def _play(self, script: Iterable[RecordedEvent]) -> AsyncGenerator[Sequence[Event]]:
            yield [recorded.event for recorded in script]

    second = ScriptedBackend(saying("second"))
    assert await ask(FailoverBackend(OneRead(playing(said, failure)), second)) == ("scripted", [said, failure])
    assert second.streams == 0


async def test_an_error_of_the_caller_is_not_the_backends() -> None:
    pair = Pair(saying("first"), threshold=1)
    with pytest.raises(UpstreamError, match="mine"):
        async with pair.backend.stream(REQUEST):
            raise UpstreamError("mine")
    assert pair.second.streams == 0
    assert not pair.backend.breaker.open
    assert pair.first.closed == 1


async def test_if_both_fail_both_are_told() -> None:
    busy = UpstreamError("It is busy.", code="queue_full", status=429, retry_after="1")
    error = await Pair(refuse(DOWN), refuse(busy)).fails()
    assert (error.code, error.status, error.retry_after) == ("upstream_unreachable", 429, "1")
    assert "It is down." in error.message
    assert "It is busy." in error.message


async def test_if_the_second_finds_the_request_at_fault_that_is_told() -> None:
    bad = UpstreamError("Too long.", code="context_length_exceeded", status=400, retry=False)
    error = await Pair(refuse(DOWN), refuse(bad)).fails()
    assert (error.code, error.status, error.message) == ("context_length_exceeded", 400, "Too long.")


async def test_a_second_that_breaks_later_breaks_the_stream() -> None:
    pair = Pair(refuse(DOWN), playing(TextReceived(CONTENT, "a"), then=UpstreamError("gone", code="upstream_reset")))
    error = await pair.fails()
    assert (error.code, error.message) == ("upstream_reset", "gone")
    assert pair.second.closed == 1


# --- the breaker


async def test_after_so_many_failures_the_first_is_left_alone_and_then_tried_by_one() -> None:
    pair = Pair(refuse(DOWN), threshold=2)
    for _ in range(4):
        assert (await pair.ask())[0] == "second"
    assert len(pair.first.requests) == 2
    assert [code for *_, code in pair.switches] == ["upstream_unreachable"] * 2 + ["breaker_open"] * 2

    pair.clock.now = 29.9
    await pair.ask()
    assert len(pair.first.requests) == 2

    pair.clock.now = 30.0
    await pair.ask()
    await pair.ask()
    assert len(pair.first.requests) == 3

    pair.plays = saying("first")
    pair.clock.now = 60.0
    assert (await pair.ask())[0] == "first"
    assert not pair.backend.breaker.open
    assert (await pair.ask())[0] == "first"


async def test_only_one_request_tries_at_a_time() -> None:
    """The others do not wait for it."""
    pair = Pair(refuse(DOWN), threshold=1)
    await pair.ask()
    pair.clock.now = 30.0
    pair.plays = lambda _request: [RecordedEvent(TextReceived(CONTENT, "first"), after=0.2)]
    names = sorted([name for name, _ in await asyncio.gather(*(pair.ask() for _ in range(5)))])
    assert names == ["first", "second", "second", "second", "second"]


async def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    pair = Pair(refuse(DOWN), threshold=2)
    for _ in range(3):
        pair.plays = refuse(DOWN)
        await pair.ask()
        pair.plays = saying("first")
        await pair.ask()
    assert not pair.backend.breaker.open
    assert len(pair.first.requests) == 6


async def test_a_refused_request_shows_that_the_first_is_alive() -> None:
    pair = Pair(refuse(DOWN), threshold=1)
    await pair.ask()
    pair.clock.now = 30.0
    pair.plays = refuse(UpstreamError("bad", code="invalid_request", status=400, retry=False))
    await pair.fails()
    assert not pair.backend.breaker.open


async def test_a_client_that_leaves_while_trying_says_nothing_of_the_first() -> None:
    pair = Pair(lambda _request: [RecordedEvent(ChoiceOpened(0), after=60.0)], threshold=1)
    asking = asyncio.create_task(pair.ask())
    await asyncio.sleep(0.02)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not pair.backend.breaker.open
    assert pair.first.closed == 1
    assert pair.second.streams == 0


def test_a_breaker_counts_only_failures_in_a_row() -> None:
    breaker = CircuitBreaker(3, 10.0, clock := Clock())
    for outcome in (breaker.failed, breaker.failed, breaker.succeeded, breaker.failed, breaker.failed):
        outcome()
        assert breaker.allows()
    breaker.failed()
    assert breaker.open
    assert not breaker.allows()
    clock.now = 10.0
    assert breaker.allows()
    assert not breaker.allows()
    breaker.failed()
    clock.now = 19.0
    assert not breaker.allows()
    clock.now = 20.0
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.open


def test_a_breaker_tells_when_it_opens_and_when_it_closes() -> None:
    told: list[bool] = []
    breaker = CircuitBreaker(2, 10.0, Clock(), told.append)
    for outcome in (breaker.succeeded, breaker.failed, breaker.failed, breaker.failed):
        outcome()
    assert told == [True]
    breaker.succeeded()
    breaker.succeeded()
    assert told == [True, False]


# --- over HTTP


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (raw(RESET), "upstream_reset"),
        (raw(CLOSE), "upstream_reset"),
        (json_reply({"error": "x"}, status=500), "server_error"),
        (json_reply({"error": "x"}, status=503), "server_overloaded"),
        (json_reply({"error": "x"}, status=429), "rate_limit"),
        (reply(status=302, headers={"location": "/"}), "upstream_redirect"),
        (reply("<html>", headers={"content-type": "text/html"}), "server_error"),
        (reply(event({"error": {"message": "no", "code": 500}})), "server_error"),
        (reply(), "upstream_empty"),
        (reply(framing="close"), "upstream_empty"),
        (reply(VLLM.opening(), framing="close"), "upstream_empty"),
        (reply(VLLM.opening(), Pause(0.05), RESET), "upstream_reset"),
        (reply(b"data: nonsense\n\n"), "upstream_protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_http_upstream_that_fails_first_is_replaced_and_let_go(stream: Reply, code: str) -> None:
    second = ScriptedBackend(saying("second"))
    switches: list[str] = []
    async with FakeUpstream(stream) as upstream:
        backend = FailoverBackend(
            HttpBackend(url=upstream.url), second, on_failover=lambda _first, _second, code: switches.append(code)
        )
        async with aclosing(backend):
            assert text((await ask(backend))[1]) == "second"
        await upstream.gone()
    assert switches == [code]


async def test_an_http_upstream_that_is_down_is_replaced() -> None:
    backend = FailoverBackend(
        HttpBackend(url=f"http://127.0.0.1:{unused_port()}"), ScriptedBackend(saying("second"), name="spare")
    )
    async with aclosing(backend):
        name, events = await ask(backend)
    assert (name, text(events)) == ("spare", "second")


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
async def test_an_http_upstream_that_refuses_is_not_replaced(status: int) -> None:
    second = ScriptedBackend(saying("second"))
    async with (
        FakeUpstream(json_reply({"error": {"message": "no"}}, status=status)) as upstream,
        aclosing(FailoverBackend(HttpBackend(url=upstream.url), second)) as backend,
    ):
        with pytest.raises(UpstreamError):
            await ask(backend)
    assert second.streams == 0


@pytest.mark.parametrize("stream", [raw(HANG), reply(HANG), reply(VLLM.opening(), HANG)], ids=["head", "body", "role"])
async def test_cancelling_before_the_first_event_closes_upstream(stream: Reply) -> None:
    second = ScriptedBackend(saying("second"))
    async with (
        FakeUpstream(stream) as upstream,
        aclosing(FailoverBackend(HttpBackend(url=upstream.url), second)) as backend,
    ):
        asking = asyncio.create_task(ask(backend))
        await upstream.arrived()
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await upstream.gone()
    assert second.streams == 0


async def test_leaving_an_answer_of_the_first_closes_upstream() -> None:
    async with (
        FakeUpstream(reply(VLLM.content("Hi"), HANG)) as upstream,
        aclosing(FailoverBackend(HttpBackend(url=upstream.url), ScriptedBackend(saying("second")))) as backend,
    ):
        async with backend.stream(REQUEST) as model:
            async for batch in model.events:
                assert text(batch) == "Hi"
                break
        await upstream.gone()


# --- the other calls


async def test_models_are_the_firsts_or_else_the_seconds() -> None:
    second = ScriptedBackend(saying("x"), models=("spare",))
    async with (
        FakeUpstream(json_reply({"data": [{"id": "big"}]}), json_reply({}, status=500)) as upstream,
        aclosing(FailoverBackend(HttpBackend(url=upstream.url), second)) as backend,
    ):
        assert list(await backend.models()) == ["big"]
        assert list(await backend.models()) == ["spare"]


def test_it_repairs_what_the_first_can_and_hands_over() -> None:
    first, second = ScriptedBackend(saying("x"), capabilities=Capabilities()), ScriptedBackend(saying("y"))
    backend = FailoverBackend(first, second)
    assert backend.capabilities == Capabilities(frozenset({"hand_over"}), frozenset({"hand_over"}))
    first.capabilities = Capabilities(frozenset({"conclude"}), frozenset({"resample"}), embeddings=True)
    assert backend.capabilities == Capabilities(
        frozenset({"conclude", "hand_over"}), frozenset({"resample", "hand_over"}), embeddings=True
    )


# --- repairs

ABLE = Capabilities(frozenset({"conclude", "resample"}), frozenset({"resample"}))
PLAIN: Mapping[str, object] = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0.6, "max_tokens": 9}
TOOLS: Mapping[str, object] = {**PLAIN, "tools": [{"type": "function"}]}


def continued(
    how: Literal["conclude", "resample", "hand_over"],
    answered_by: str,
    body: Mapping[str, object] = PLAIN,
    *,
    content: str = "",
) -> ModelRequest:
    kept = Continuation(
        how, Channel.REASONING, "So far.", content, instruction="Be brief.", sampling={"temperature": 1.0}, max_tokens=5
    )
    return ModelRequest("chat", body, continuation=kept, answered_by=answered_by)


def pair(first: Capabilities, second: Capabilities) -> tuple[ScriptedBackend, ScriptedBackend, FailoverBackend]:
    backends = (
        ScriptedBackend(saying("one"), name="one", capabilities=first),
        ScriptedBackend(saying("two"), name="two", capabilities=second),
    )
    return *backends, FailoverBackend(*backends)


@pytest.mark.parametrize(("answered_by", "how"), [("one", "resample"), ("two", "conclude")])
async def test_an_answer_goes_on_where_it_came_from(answered_by: str, how: Literal["conclude", "resample"]) -> None:
    one, two, backend = pair(ABLE, ABLE)
    request = continued(how, answered_by)
    assert text((await ask(backend, request))[1]) == answered_by
    assert (two if answered_by == "two" else one).requests == [request]


@pytest.mark.parametrize(
    ("answered_by", "how", "body", "able"),
    [
        ("one", "resample", PLAIN, (Capabilities(), ABLE)),
        ("two", "conclude", PLAIN, (ABLE, Capabilities())),
        ("one", "conclude", TOOLS, (ABLE, ABLE)),
        ("two", "hand_over", PLAIN, (ABLE, ABLE)),
    ],
)
async def test_what_nobody_can_go_on_with_is_refused(
    answered_by: str,
    how: Literal["conclude", "resample", "hand_over"],
    body: Mapping[str, object],
    able: tuple[Capabilities, Capabilities],
) -> None:
    one, two, backend = pair(*able)
    with pytest.raises(UpstreamError) as caught:
        await ask(backend, continued(how, answered_by, body))
    assert caught.value.code == "repair_unsupported"
    assert one.requests == two.requests == []


async def test_an_answer_is_handed_over_with_what_is_clean_of_it() -> None:
    switched: list[tuple[str, ...]] = []
    one, two, backend = pair(Capabilities(), ABLE)
    backend.on_failover = lambda *names: switched.append(names)
    request = continued("hand_over", "one", TOOLS, content="It is ")
    assert text((await ask(backend, request))[1]) == "two"
    assert one.requests == []
    (sent,) = two.requests
    assert request.continuation is not None
    assert sent == replace(request, continuation=replace(request.continuation, how="resample"))
    assert switched == [("one", "two", "hand_over")]


@pytest.mark.parametrize("able", [Capabilities(), ABLE])
async def test_a_thought_is_handed_over_anew(able: Capabilities) -> None:
    _, two, backend = pair(ABLE, able)
    assert text((await ask(backend, continued("hand_over", "one")))[1]) == "two"
    (sent,) = two.requests
    assert sent.continuation is None
    assert sent.body == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "temperature": 1.0,
        "max_tokens": 5,
    }


async def test_an_answer_that_was_begun_is_not_begun_anew() -> None:
    _, two, backend = pair(ABLE, Capabilities())
    with pytest.raises(UpstreamError, match="cannot go on with an answer that was begun"):
        await ask(backend, continued("hand_over", "one", content="It is "))
    assert two.requests == []


@pytest.mark.parametrize("broken", [True, False])
async def test_both_are_closed_whatever_the_first_does(broken: bool) -> None:
    closed: list[str] = []
    first, second = Closing("first", closed, broken=broken), Closing("second", closed)
    backend = FailoverBackend(first, second)
    if broken:
        with pytest.raises(OSError, match="stuck"):
            await backend.aclose()
    else:
        await backend.aclose()
    assert closed == ["first", "second"]


class Closing(ScriptedBackend):
    """Notes when it is closed."""

    def __init__(self, name: str, closed: list[str], *, broken: bool = False) -> None:
        super().__init__(saying("x"), name=name)
        self._note: Callable[[str], None] = closed.append
        self._broken = broken

    async def aclose(self) -> None:
        self._note(self.name)
        if self._broken:
            raise OSError("stuck")


# --- a first that says nothing


@pytest.mark.parametrize("reply_", [raw(HANG), reply(VLLM.opening(), HANG)], ids=["no head", "no word"])
async def test_a_first_that_says_nothing_is_not_waited_for(reply_: Reply) -> None:
    async with FakeUpstream(reply_) as upstream:
        first = HttpBackend(url=upstream.url, name="first")
        backend = FailoverBackend(first, ScriptedBackend(saying("second"), name="second"), threshold=1, patience=0.05)
        name, events = await ask(backend)
        assert (name, text(events)) == ("second", "second")
        assert backend.breaker.open
        await upstream.gone()
        await backend.aclose()


async def test_patience_ends_with_the_first_word() -> None:
    pair = Pair(lambda _request: [RecordedEvent(TextReceived(CONTENT, "first")), RecordedEvent(UpstreamEnded(), 0.1)])
    pair.backend.patience = 0.05
    name, events = await pair.ask()
    assert (name, text(events)) == ("first", "first")
