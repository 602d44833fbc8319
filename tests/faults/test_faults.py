"""Whatever an upstream does to an answer, and whenever: the client gets a proper end, and nothing that is not true.

Every fault is tried before the head, after it, after the role, inside an event, between events and after the finish;
each of them streaming and not. The two tables of faults make this file long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.answers import finished, refused, well_formed
from tests.support.dialects import DONE, VLLM, event
from tests.support.guarded import SHORT, Guarded, guarded
from tests.support.upstream import (
    CLOSE,
    HANG,
    RESET,
    Body,
    FakeUpstream,
    Forever,
    Pause,
    Reply,
    json_reply,
    raw,
    reply,
    unused_port,
)

pytestmark = pytest.mark.anyio

SETTLED: Final = Pause(0.03)
"""Long enough for what was written to be read by itself."""
TEXT: Final = "Hello world"
BEGUN: Final = (VLLM.opening(), VLLM.content("Hello"))


@dataclass(frozen=True, slots=True)
class Phase:
    """How far an answer has come. `whole` says that the client can be given all of it."""

    name: str
    before: Sequence[bytes]
    whole: bool = False


PHASES: Final = (
    Phase("after-head", ()),
    Phase("after-role", (VLLM.opening(),)),
    Phase("inside-event", (*BEGUN, VLLM.content(" world")[:60])),
    Phase("between-events", BEGUN),
    Phase("after-finish", (*BEGUN, VLLM.content(" world"), VLLM.finish()), whole=True),
)

ERROR: Final = {"message": "CUDA out of memory in /srv/model.py", "type": "server_error", "code": 500}
FAULTS: Final[Mapping[str, tuple[Sequence[Body], set[str]]]] = {
    "reset": ((RESET,), {"upstream_reset"}),
    "broken-off": ((CLOSE,), {"upstream_reset"}),
    "ended": ((), {"upstream_incomplete", "upstream_empty"}),
    "end-mark": ((b"\n\n" + DONE,), {"upstream_incomplete", "upstream_empty", "upstream_protocol"}),
    "stall": ((HANG,), {"deadline_first_byte", "deadline_between_events"}),
    "drip": (
        [each for byte in VLLM.content("drip") for each in (bytes([byte]), Pause(SHORT / 5))],
        {"deadline_first_byte", "deadline_between_events", "upstream_protocol"},
    ),
    "no-json": ((b"\n\ndata: {oops\n\n", HANG), {"upstream_protocol"}),
    "no-object": ((b"\n\ndata: [1, 2]\n\n", HANG), {"upstream_protocol"}),
    "wrong-type": ((b"\n\n" + event({"choices": {"0": "text"}}), HANG), {"upstream_protocol"}),
    "no-text": ((b"\n\n" + event({"choices": [{"index": 0, "delta": {"content": 7}}]}), HANG), {"upstream_protocol"}),
    "deep": ((b"\n\ndata: " + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"\n\n", HANG), {"upstream_protocol"}),
    "endless-line": ((Forever(b"a" * 4_096),), {"upstream_protocol"}),
    "endless-event": ((b"\n\n", Forever(b"data: aaaaaaaaaaaaaaa\n" * 100)), {"upstream_protocol"}),
    "endless-comments": ((Forever(b": still here\n\n" * 300),), {"upstream_protocol"}),
    "html": (
        (b"\n\n<html>502 Bad Gateway</html>\n\n",),
        {"upstream_incomplete", "upstream_empty", "upstream_protocol"},
    ),
    "error": ((b"\n\n" + event({"error": ERROR}), HANG), {"server_error", "upstream_protocol"}),
    "error-named": ((b"\n\nevent: error\n" + event(ERROR), HANG), {"server_error", "upstream_protocol"}),
    "error-old": ((b"\n\n" + event({"object": "error", **ERROR}), DONE), {"server_error", "upstream_protocol"}),
    "error-text": ((b"\n\n" + event({"error": "CUDA out of memory"}), DONE), {"server_error", "upstream_protocol"}),
    "abort": ((b"\n\n" + VLLM.finish("abort"), HANG), {"upstream_aborted", "upstream_protocol"}),
}
"""What happens, and the codes it may have. An event that was begun before is ended by an empty line."""

LIMITS: Final = {"sse_line_bytes": "32KiB", "sse_event_bytes": "32KiB", "sse_total_bytes": "256KiB"}
DEADLINES: Final = {"first_byte": SHORT, "between_events": SHORT}


def times_for(fault: str) -> Mapping[str, float]:
    """Short deadlines where one is meant to pass, and only there: a busy machine must not bring others about."""
    return DEADLINES if fault in ("stall", "drip", "json-half", "abort") else {}


async def tried(proxy: Guarded, codes: set[str], *, stream: bool, whole: bool = False) -> None:
    """Ask, and check the answer against what may have come of the fault."""
    answer = await proxy.ask(stream=stream)
    assert b"CUDA" not in answer.body
    assert b"html" not in answer.body
    if stream and answer.status == 200:
        outcome = well_formed(answer)
        assert TEXT.startswith(outcome.content)
        if whole:
            assert (outcome.content, outcome.finishes, outcome.error) == (TEXT, {0: "stop"}, None)
        else:
            assert outcome.finishes == {}
            assert outcome.error is not None
            assert outcome.error["code"] in codes
    elif whole:
        (choice,) = finished(answer)
        assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")
    else:
        error = refused(answer)
        assert error["code"] in codes
        assert answer.status == (504 if error["code"].startswith("deadline_") else 502)
    await proxy.idle()
    assert proxy.outcomes() == ({"passed": 1.0} if whole else {"error": 1.0})


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_on_the_way_is_one_proper_end(fault: str, phase: Phase, stream: bool) -> None:
    steps, codes = FAULTS[fault]
    settled = [SETTLED] if phase.before else []
    async with (
        FakeUpstream(reply(*phase.before, *settled, *steps)) as upstream,
        guarded(upstream, timeouts=times_for(fault), limits=LIMITS) as proxy,
    ):
        await tried(proxy, codes, stream=stream, whole=phase.whole)
        if steps and not isinstance(steps[-1], bytes | str):
            await upstream.gone()


HEADS: Final[Mapping[str, tuple[Reply, set[str]]]] = {
    "reset": (raw(RESET), {"upstream_reset"}),
    "broken-off": (raw(CLOSE), {"upstream_reset"}),
    "stall": (raw(HANG), {"deadline_first_byte"}),
    "half-a-head": (raw(b"HTTP/1.1 200 OK\r\ncontent-ty", CLOSE), {"upstream_reset", "upstream_protocol"}),
    "no-http": (raw(b"220 smtp ready\r\n", HANG), {"upstream_protocol"}),
    "endless-head": (raw(b"HTTP/1.1 200 OK\r\n", Forever(b"x: y\r\n" * 100)), {"upstream_protocol"}),
    "redirect": (reply(status=307, headers={"location": "http://elsewhere.invalid/"}), {"upstream_redirect"}),
    "compressed": (reply(b"\x1f\x8b", headers={"content-encoding": "gzip"}), {"upstream_encoding"}),
    "html": (reply("<html>It works!</html>", headers={"content-type": "text/html"}), {"server_error"}),
    "text": (reply("Internal Server Error", status=500, headers={"content-type": "text/plain"}), {"server_error"}),
    "endless-page": (reply(Forever(b"<p>sorry"), status=500, headers={"content-type": "text/html"}), {"server_error"}),
    "error": (json_reply({"error": ERROR}, status=500), {"server_error"}),
    "no-stream": (json_reply({"detail": "Not Found"}, status=502), {"server_error"}),
    "empty-json": (json_reply({}), {"upstream_empty"}),
    "json-no-choices": (json_reply({"choices": []}), {"upstream_empty"}),
    "json-list": (json_reply([]), {"upstream_protocol"}),
    "json-half": (reply("{", HANG, headers={"content-type": "application/json"}), {"deadline_first_byte"}),
    "json-error": (json_reply({"error": ERROR}), {"server_error"}),
    "both-lengths": (
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", HANG),
        {"upstream_protocol", "server_error"},
    ),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", HEADS)
async def test_a_fault_before_the_answer_is_a_status_or_one_error(fault: str, stream: bool) -> None:
    stream_reply, codes = HEADS[fault]
    async with (
        FakeUpstream(stream_reply) as upstream,
        guarded(upstream, timeouts=times_for(fault), limits=LIMITS) as proxy,
    ):
        await tried(proxy, codes, stream=stream)


NO_ANSWER: Final = sorted(set(HEADS) - {"empty-json", "json-no-choices", "json-list", "json-half", "json-error"})


@pytest.mark.parametrize("fault", NO_ANSWER)
async def test_where_nothing_was_sent_a_stream_is_refused_with_a_status(fault: str) -> None:
    """A client can tell that from a broken answer, and its library may try again."""
    async with FakeUpstream(HEADS[fault][0]) as upstream, guarded(upstream, timeouts=times_for(fault)) as proxy:
        refused(await proxy.ask(stream=True))


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_upstream_that_is_down_is_said_to_be(stream: bool) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    async with guarded(url) as proxy:
        answer = await proxy.ask(stream=stream)
    assert answer.status == 502
    error = refused(answer)
    assert error["code"] == "upstream_unreachable"
    assert url in error["message"]
    assert "Is it running?" in error["message"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("status", "passed_on", "code"),
    [
        (400, 400, "invalid_request"),
        (401, 401, "authentication"),
        (403, 403, "authentication"),
        (404, 404, "model_not_found"),
        (413, 413, "invalid_request"),
        (422, 422, "invalid_request"),
        (429, 429, "rate_limit"),
        (500, 502, "server_error"),
        (503, 503, "server_overloaded"),
        (504, 502, "server_error"),
    ],
)
async def test_what_upstream_refuses_keeps_its_status_where_clients_read_it_right(
    status: int, passed_on: int, code: str, stream: bool
) -> None:
    told = json_reply({"error": {"message": "Do it differently."}}, status=status, headers={"retry-after": "3"})
    async with FakeUpstream(told) as upstream, guarded(upstream) as proxy:
        answer = await proxy.ask(stream=stream)
    assert answer.status == passed_on
    assert refused(answer)["code"] == code
    assert answer.headers.get("retry-after") == ("3" if status in (429, 503) else None)
    if status < 500:
        assert answer.json["error"]["message"] == "Do it differently."


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_wrong_credentials_of_the_guard_are_not_the_clients_fault(stream: bool) -> None:
    told = json_reply({"error": {"message": "Incorrect API key provided: sk-ours"}}, status=401)
    async with FakeUpstream(told) as upstream, guarded(upstream, api_key="sk-ours") as proxy:
        answer = await proxy.ask(stream=stream)
    assert answer.status == 502
    assert "sk-ours" not in str(refused(answer))


# --- several choices, tools, and other shapes


@pytest.mark.parametrize("fault", ["reset", "ended", "stall", "error", "no-json"])
async def test_a_choice_that_was_finished_stays_finished(fault: str) -> None:
    steps, codes = FAULTS[fault]
    begun = (VLLM.content("one", 0), VLLM.content("two", 1), VLLM.finish("stop", 1), SETTLED)
    async with FakeUpstream(reply(*begun, *steps)) as upstream, guarded(upstream, timeouts=times_for(fault)) as proxy:
        outcome = well_formed(await proxy.ask(stream=True, n=2))
        assert outcome.finishes == {1: "stop"}
        assert outcome.error is not None
        assert outcome.error["code"] in codes
        assert refused(await proxy.ask(stream=False, n=2))["code"] in codes


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", ["reset", "ended", "stall", "error", "end-mark"])
async def test_half_a_tool_call_never_leaves(fault: str, stream: bool) -> None:
    steps, _ = FAULTS[fault]
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "run", "arguments": '{"cmd": "rm -'}}
    chunk = event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]})
    async with (
        FakeUpstream(reply(VLLM.opening(), chunk, SETTLED, *steps)) as upstream,
        guarded(upstream, timeouts=times_for(fault)) as proxy,
    ):
        answer = await proxy.ask(stream=stream)
        assert b"rm" not in answer.body
        assert b"tool_calls" not in answer.body
        if answer.status == 200:
            assert well_formed(answer).finishes == {}


@pytest.mark.parametrize("fault", ["reset", "ended", "stall", "error", "no-json"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_what_was_held_leaves_a_broken_answer_reviewed_or_not_at_all(fault: str, stream: bool) -> None:
    """A break settles what was received, a deadline does not."""
    steps, _ = FAULTS[fault]
    begun = (VLLM.content("Hello SECRET"), SETTLED)
    async with FakeUpstream(reply(*begun, *steps)) as upstream, guarded(upstream, timeouts=times_for(fault)) as proxy:
        answer = await proxy.ask(stream=stream)
        assert b"SECRET" not in answer.body
        if stream:
            assert well_formed(answer).content == ("" if fault == "stall" else "Hello <hidden>")
        else:
            refused(answer)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "ending",
    [
        (),
        (VLLM.usage(), DONE),
        (VLLM.finish("length"), DONE),
        (VLLM.content(" more"), DONE),
        (event({"choices": [{"index": 5, "delta": {"content": "stray"}}]}), DONE),
        (DONE, VLLM.content(" more"), DONE),
        (b": bye\n\n", DONE),
    ],
    ids=["no-mark", "usage", "second-finish", "text", "stray-choice", "after-mark", "comment"],
)
async def test_what_follows_a_finish_changes_nothing(ending: Sequence[bytes], stream: bool) -> None:
    whole = (*BEGUN, VLLM.content(" world"), VLLM.finish(), *ending)
    for together in (False, True):
        body = (b"".join(whole),) if together else whole
        async with FakeUpstream(reply(*body)) as upstream, guarded(upstream) as proxy:
            await tried(proxy, set(), stream=stream, whole=True)


@pytest.mark.parametrize("path", ["/v1/completions"])
@pytest.mark.parametrize("fault", ["reset", "ended", "stall", "error", "no-json"])
async def test_text_completions_end_as_properly(path: str, fault: str) -> None:
    steps, codes = FAULTS[fault]
    chunk = event({"object": "text_completion", "choices": [{"index": 0, "text": "Hello", "finish_reason": None}]})
    async with (
        FakeUpstream(reply(chunk, SETTLED, *steps)) as upstream,
        guarded(upstream, timeouts=times_for(fault)) as proxy,
    ):
        answer = await proxy.ask(path=path, stream=True)
        assert answer.status == 200
        assert answer.complete
        assert answer.body.count(DONE) == 1
        assert answer.body.endswith(DONE)
        assert answer.body.count(b'"error"') == 1
        assert refused(await proxy.ask(path=path))["code"] in codes
