"""Time: what a client sees of a slow upstream, and what becomes of a client that does not read."""

from __future__ import annotations

import asyncio

import pytest

from guard.backends.failover import FailoverBackend
from guard.backends.http import HttpBackend
from tests.support.answers import finished, refused, well_formed
from tests.support.dialects import DONE, VLLM
from tests.support.guarded import SHORT, guarded
from tests.support.proxy import nothing_policy, scripted
from tests.support.upstream import HANG, RESET, Body, FakeUpstream, Forever, Pause, Reply, Until, json_reply, raw, reply

pytestmark = pytest.mark.anyio

OFTEN = 0.05
"""Seconds of a keep-alive that is meant to be seen."""
LONGER = 1.0
"""Seconds of a deadline that is not meant to pass."""


# --- keep-alive


@pytest.mark.parametrize("before", [0, 1, 2], ids=["before-head", "before-text", "between-events"])
async def test_a_client_that_waits_is_sent_comments(before: int) -> None:
    """They stop when the answer goes on, which is as whole as ever."""
    goes_on = asyncio.Event()
    chunks = VLLM.answer("Hello there, this is a first piece of text. ", "And this is a second.")
    whole = reply(*chunks[:before], Until(goes_on), *chunks[before:])
    stream = Reply([Until(goes_on), *reply(*chunks).steps]) if before == 0 else whole
    async with FakeUpstream(stream) as upstream, guarded(upstream, keep_alive=OFTEN) as proxy:
        async with proxy.begin(stream=True) as talk:
            await talk.until(b": guard keep-alive")
            goes_on.set()
            answer = await talk.answer()
        outcome = well_formed(answer)
        assert answer.comments >= 1
        assert (outcome.content[:5], outcome.finishes, outcome.error) == ("Hello", {0: "stop"}, None)


async def test_comments_are_not_mixed_into_events() -> None:
    """Slow bytes inside one event are no reason to write into it: a client gets whole events and whole comments."""
    slow = [piece for byte in VLLM.content("Hello world, hello.") for piece in (bytes([byte]), Pause(0.002))]
    stream = reply(*slow, VLLM.finish(), DONE)
    async with FakeUpstream(stream) as upstream, guarded(upstream, keep_alive=OFTEN) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert outcome.content == "Hello world, hello."


async def test_upstreams_own_comments_are_not_forwarded() -> None:
    pings = [piece for _ in range(5) for piece in (b": OPENROUTER PROCESSING\n\n", Pause(0.02))]
    async with FakeUpstream(reply(*pings, *VLLM.answer("Hi"))) as upstream, guarded(upstream) as proxy:
        answer = await proxy.ask(stream=True)
        assert b"OPENROUTER" not in answer.body
        assert answer.comments == 0


@pytest.mark.parametrize(
    ("late", "code"),
    [
        (json_reply({"error": {"message": "no"}}, status=500), "server_error"),
        (json_reply({"error": {"message": "Choose a lower temperature."}}, status=400), "invalid_request"),
        (raw(RESET), "upstream_reset"),
        (reply("<html>", headers={"content-type": "text/html"}), "server_error"),
    ],
    ids=["500", "400", "reset", "html"],
)
async def test_once_a_comment_was_sent_a_refusal_is_told_in_the_stream(late: Reply, code: str) -> None:
    slow = Reply([Pause(4 * OFTEN), *late.steps])
    async with FakeUpstream(slow) as upstream, guarded(upstream, keep_alive=OFTEN) as proxy:
        answer = await proxy.ask(stream=True)
        outcome = well_formed(answer)
        assert answer.comments >= 1
        assert outcome.error is not None
        assert outcome.error["code"] == code
        assert (await proxy.ask(stream=False)).status >= 400


async def test_who_answers_after_a_comment_is_told_where_it_still_can_be() -> None:
    slow = Reply([Pause(4 * OFTEN), *reply(*VLLM.answer("STOP! This is cut.")).steps])
    async with FakeUpstream(slow) as upstream, guarded(upstream, keep_alive=OFTEN) as proxy:
        answer = await proxy.ask(stream=True)
        assert "x-guard-backend" not in answer.headers
        assert b'"backend":"upstream"' in answer.body
        assert well_formed(answer).finishes == {0: "content_filter"}


async def test_a_whole_answer_has_no_comments() -> None:
    slow = Reply([Pause(4 * OFTEN), *reply(*VLLM.answer("Hi")).steps])
    async with FakeUpstream(slow) as upstream, guarded(upstream, keep_alive=OFTEN) as proxy:
        (choice,) = finished(await proxy.ask(stream=False))
        assert choice["message"]["content"] == "Hi"


# --- deadlines


@pytest.mark.parametrize("keep_alive", [OFTEN, 10.0], ids=["after-comments", "nothing-sent"])
@pytest.mark.parametrize(
    "silent", [raw(HANG), reply(HANG), reply(Forever(b": ping\n\n"))], ids=["head", "body", "pings"]
)
async def test_a_model_that_does_not_begin_is_given_up(silent: Reply, keep_alive: float) -> None:
    times = {"first_byte": SHORT}
    async with FakeUpstream(silent) as upstream, guarded(upstream, timeouts=times, keep_alive=keep_alive) as proxy:
        answer = await proxy.ask(stream=True)
        error = refused(answer) if answer.status != 200 else well_formed(answer).error
        assert error is not None
        assert error["code"] == "deadline_first_byte"
        assert answer.status in (200, 504)
        whole = await proxy.ask(stream=False)
        assert whole.status == 504
        assert refused(whole)["code"] == "deadline_first_byte"
        await upstream.gone()


async def test_a_model_that_stops_is_given_up_and_what_was_clean_stays() -> None:
    stream = reply(VLLM.opening(), VLLM.content("Hello there, this is a whole sentence. "), HANG)
    async with FakeUpstream(stream) as upstream, guarded(upstream, timeouts={"between_events": SHORT}) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert outcome.content.startswith("Hello there")
        assert outcome.error is not None
        assert outcome.error["code"] == "deadline_between_events"
        whole = await proxy.ask(stream=False)
        assert (whole.status, refused(whole)["code"]) == (504, "deadline_between_events")
        await upstream.gone()


async def test_an_answer_that_never_ends_is_ended() -> None:
    endless: list[Body] = [VLLM.content("and so on, "), Pause(0.01)] * 1_000
    async with FakeUpstream(reply(*endless)) as upstream, guarded(upstream, timeouts={"total": SHORT}) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert outcome.error is not None
        assert outcome.error["code"] == "deadline_total"
        assert refused(await proxy.ask(stream=False))["code"] == "deadline_total"
        await upstream.gone()


async def test_a_slow_model_that_goes_on_is_waited_for() -> None:
    """Each event starts the clock anew: the answer takes longer than any of its deadlines but the total one."""
    numbers = ("one", "two", "three", "four", "five", "six")
    pieces: list[Body] = [each for word in numbers for each in (VLLM.content(word), Pause(LONGER / 4))]
    stream = reply(*pieces, VLLM.finish(), DONE)
    times = {"first_byte": LONGER, "between_events": LONGER}
    async with FakeUpstream(stream) as upstream, guarded(upstream, timeouts=times) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert (outcome.content, outcome.error) == ("".join(numbers), None)


async def test_a_deadline_releases_nothing_that_was_held() -> None:
    stream = reply(VLLM.content("A secret: SECRE"), HANG)
    async with FakeUpstream(stream) as upstream, guarded(upstream, timeouts={"between_events": SHORT}) as proxy:
        answer = await proxy.ask(stream=True)
        assert b"SECRE" not in answer.body


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_shutting_down_ends_every_stream_with_an_error(stream: bool) -> None:
    begun = reply(VLLM.opening(), VLLM.content("Hello there, this is a whole sentence. "), HANG)
    async with FakeUpstream(begun) as upstream, guarded(upstream) as proxy:
        asking = [asyncio.create_task(proxy.ask(stream=stream)) for _ in range(5)]
        await upstream.arrived(5)
        await asyncio.sleep(0.05)
        await proxy.gateway.drain(0.0)
        for answer in await asyncio.gather(*asking):
            if stream:
                error = well_formed(answer).error
                assert error is not None
                assert error["code"] == "deadline_shutdown"
            else:
                assert answer.status == 503
                assert refused(answer)["code"] == "shutting_down"
        refusal = await proxy.ask(stream=stream)
        assert (refusal.status, refused(refusal)["code"]) == (503, "shutting_down")
        await upstream.gone()


# --- clients that do not read


FLOOD = VLLM.content("a lot of text " * 400)


async def test_a_client_that_does_not_read_is_given_up() -> None:
    async with (
        FakeUpstream(reply(Forever(FLOOD))) as upstream,
        guarded(upstream, policy=nothing_policy(), clocks={"write": SHORT}) as proxy,
        proxy.begin(stream=True) as talk,
    ):
        await talk.until(b"a lot of text")
        await upstream.gone()
        await proxy.idle()
        assert proxy.outcomes() == {"client_left": 1.0}


async def test_a_slow_client_slows_upstream_down_and_loses_nothing() -> None:
    """What is buffered on the way is bounded, however much upstream would like to send."""
    pieces = [f"<{number:04d}>" + "x" * 60_000 for number in range(150)]
    async with (
        FakeUpstream(reply(*map(VLLM.content, pieces), VLLM.finish(), DONE)) as upstream,
        guarded(upstream, policy=nothing_policy()) as proxy,
        proxy.begin(stream=True) as talk,
    ):
        await talk.until(b"<0000>")
        await asyncio.sleep(SHORT)
        assert not upstream.request.answered.is_set()
        outcome = well_formed(await talk.answer())
        assert outcome.content == "".join(pieces)
        assert outcome.finishes == {0: "stop"}


async def test_a_client_that_reads_slowly_is_no_stalled_upstream() -> None:
    """Time that the client takes counts against none of upstream's deadlines."""
    times = {"first_byte": LONGER, "between_events": LONGER}
    async with (
        FakeUpstream(reply(*[FLOOD] * 500, VLLM.finish(), DONE)) as upstream,
        guarded(upstream, policy=nothing_policy(), timeouts=times) as proxy,
        proxy.begin(stream=True) as talk,
    ):
        await talk.until(b"a lot of text")
        await asyncio.sleep(1.5 * LONGER)
        outcome = well_formed(await talk.answer())
        assert (outcome.finishes, outcome.error) == ({0: "stop"}, None)


@pytest.mark.parametrize("end", ["total", "shutdown"])
async def test_a_client_that_does_not_read_keeps_no_stream_open_past_its_end(end: str) -> None:
    times = {"total": SHORT} if end == "total" else {}
    async with (
        FakeUpstream(reply(Forever(FLOOD))) as upstream,
        guarded(upstream, policy=nothing_policy(), timeouts=times, clocks={"write": 2 * SHORT}) as proxy,
        proxy.begin(stream=True) as talk,
    ):
        await talk.until(b"a lot of text")
        await asyncio.sleep(SHORT / 3)
        if end == "shutdown":
            await proxy.gateway.drain(0.0)
        await upstream.gone()
        await proxy.idle()


# --- two backends


@pytest.mark.parametrize("keep_alive", [OFTEN, 10.0], ids=["after-comments", "nothing-sent"])
async def test_a_second_backend_takes_over_from_a_slow_refusal(keep_alive: float) -> None:
    slow = Reply([Pause(4 * OFTEN), *json_reply({"error": "no"}, status=500).steps])
    async with FakeUpstream(slow) as upstream:
        pair = FailoverBackend(HttpBackend(url=upstream.url, name="upstream"), scripted(name="spare"))
        async with guarded(upstream, backend=pair, keep_alive=keep_alive) as proxy:
            answer = await proxy.ask(stream=True)
            outcome = well_formed(answer)
            assert (outcome.content, outcome.finishes) == ("Hello.", {0: "stop"})
            if keep_alive > 1.0:
                assert answer.headers["x-guard-backend"] == "spare"
            whole = await proxy.ask(stream=False)
            assert finished(whole)
            assert whole.headers["x-guard-backend"] == "spare"
