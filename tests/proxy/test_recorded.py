"""The audit over the whole app: on disk before anything leaves, and no stream passes a disk that takes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from guard.contract import Channel
from guard.events import ChoiceFinished, ChoiceOpened, Mask, UpstreamEnded
from guard.observe.audit import AuditLog
from guard.observe.audit_file import chain_files
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from guard.wire.record import RecordedEvent
from tests.support.audits import largest_file, records
from tests.support.engine import Words, plan_of
from tests.support.proxy import (
    CHAT,
    FixedPolicy,
    answer_of,
    ask,
    content,
    gateway_of,
    metric,
    read_stream,
    script,
    scripted,
    thought,
    words_policy,
)

pytestmark = pytest.mark.anyio

CUT = answer_of(thought("Well. "), content("So it begins. SECRET and STOP! and more"))
MASKED = answer_of(content("It is SECRET indeed, and that is all."))


class Exchange:
    """One request to the app, without a server between: `on_body` sees every write before the next one can happen."""

    def __init__(self, gateway: Gateway, on_body: Callable[[bytes], None] = lambda _body: None) -> None:
        self.app = create_app(gateway=gateway)
        self.on_body = on_body
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.left = asyncio.Event()

    async def ask(self, path: str = CHAT, headers: Mapping[str, str] | None = None, **fields: Any) -> Exchange:
        body = json.dumps(ask(**fields)).encode()
        told = [{"type": "http.request", "body": body, "more_body": False}]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        }

        async def receive() -> Any:
            if told:
                return told.pop()
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            elif message["body"]:
                self.on_body(message["body"])
                self.body += message["body"]

        await self.app(scope, receive, send)
        return self

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


@pytest.fixture(autouse=True)
def _log_nowhere() -> Iterator[None]:
    """No file may grow in some of these tests, nor may the one that pytest captures output in."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def audited(folder: Path, *events: RecordedEvent, policy: FixedPolicy | None = None, **options: Any) -> Gateway:
    gateway = gateway_of(scripted(*events), policy or words_policy())
    gateway.audit = AuditLog(folder, metrics=gateway.metrics, **options)
    gateway.audit.open()
    return gateway


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("excerpt", [0, 40])
async def test_a_decision_is_in_the_file_before_its_end_leaves(
    folder: Path, fsync: bool, stream: bool, excerpt: int
) -> None:
    gateway = audited(folder, *CUT, fsync=fsync, excerpt_chars=excerpt)
    at_the_end: list[list[str]] = []

    def on_body(body: bytes) -> None:
        if b"Stopped here." in body or b'"finish_reason":"' in body or b"[DONE]" in body:
            at_the_end.append([record["rule"] for record in records(folder)])

    answer = await Exchange(gateway, on_body).ask(stream=stream)
    assert at_the_end
    assert all(rules == ["stopper", "masker"] for rules in at_the_end)
    assert answer.status == 200
    for record in records(folder):
        assert record["stream_id"] == answer.headers["x-guard-request-id"]
        assert record["request_id"] == answer.headers["x-request-id"]
        assert (record["policy"], record["model"], record["route"]) == ("house@v1", "scripted", "chat")
    shown = [record.get("excerpt") for record in records(folder)]
    assert shown == (
        ["<hidden> and STOP! and more", "it begins. <hidden> and STOP! and more"] if excerpt else [None] * 2
    )


async def test_a_mask_is_in_the_file_before_what_stands_for_it_leaves(folder: Path) -> None:
    gateway = audited(folder, *MASKED)
    seen: list[int] = []

    def on_body(body: bytes) -> None:
        if b"<hidden>" in body:
            seen.append(len(records(folder)))

    await Exchange(gateway, on_body).ask(stream=True)
    assert seen == [1]


async def test_the_proxys_request_id_is_in_every_line_and_the_guards_own_goes_upstream(folder: Path) -> None:
    gateway = audited(folder, *CUT)
    answer = await Exchange(gateway).ask(headers={"x-request-id": "7f3c-1"})
    assert answer.headers["x-request-id"] == "7f3c-1"
    own = answer.headers["x-guard-request-id"]
    assert {(record["request_id"], record["stream_id"]) for record in records(folder)} == {("7f3c-1", own)}
    body = json.loads(answer.body)
    assert body["guard"]["request_id"] == "7f3c-1"
    assert body["id"] == f"chatcmpl-{own}"
    assert gateway.backend.requests[0].request_id == own  # type: ignore[attr-defined]


@pytest.mark.parametrize("fsync", [False, True])
async def test_a_stream_whose_decision_cannot_be_recorded_ends_with_an_error(folder: Path, fsync: bool) -> None:
    gateway = audited(folder, *CUT, fsync=fsync)
    with largest_file(10):
        answer = await Exchange(gateway).ask(stream=True)
        events = read_stream(answer.body)
        assert events[-1]["error"]["code"] == "audit_unavailable"
        said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events[:-1])
        assert "STOP" not in said
        assert "hidden" not in said
        assert "Stopped" not in said
        refused = await Exchange(gateway).ask(stream=True)
        assert (refused.status, refused.error["code"]) == (503, "audit_unavailable")
        assert refused.headers["retry-after"] == "1"
    assert records(folder) == []
    assert not gateway.live
    assert gateway.backend.closed == 1  # type: ignore[attr-defined]
    assert metric(gateway, "guard_requests_refused_total", reason="audit_unavailable") in (0, 1)
    assert metric(gateway, "guard_upstream_errors_total", backend="scripted", code="other") == 0


async def test_a_whole_answer_whose_decision_cannot_be_recorded_is_a_503(folder: Path) -> None:
    gateway = audited(folder, *CUT)
    with largest_file(10):
        answer = await Exchange(gateway).ask()
    assert (answer.status, answer.error["code"]) == (503, "audit_unavailable")
    assert b"begins" not in answer.body


async def test_streams_are_taken_again_once_the_disk_is_back(folder: Path) -> None:
    now = 0.0
    gateway = audited(folder, *CUT, clock=lambda: now)
    with largest_file(10):
        await Exchange(gateway).ask()
    now = 5.0
    answer = await Exchange(gateway).ask()
    assert answer.status == 200
    assert [record["rule"] for record in records(folder)] == ["stopper", "masker"]
    assert [record["lost"] for record in records(folder, "gap")] == [2]


async def test_a_guard_that_cannot_record_is_not_ready(folder: Path) -> None:
    gateway = audited(folder, *CUT)
    assert gateway.unready() == ""
    with largest_file(10):
        await Exchange(gateway).ask()
        assert gateway.unready() == "the audit cannot be written"


async def test_a_stream_without_a_decision_needs_no_disk(folder: Path) -> None:
    gateway = audited(folder, *answer_of(content("All is well here, and nothing is found.")))
    with largest_file(10):
        answer = await Exchange(gateway).ask(stream=True)
    assert read_stream(answer.body)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_where_decisions_may_be_dropped_the_answer_is_the_same(folder: Path) -> None:
    gateway = audited(folder, *CUT, on_error="drop")
    with largest_file(10):
        answer = await Exchange(gateway).ask()
        again = await Exchange(gateway).ask()
    assert json.loads(answer.body)["guard"]["rule"] == "stopper"
    assert again.status == 200
    assert metric(gateway, "guard_audit_records_total", result="dropped") == 4


async def test_what_is_decided_as_upstream_breaks_off_is_recorded_too(folder: Path) -> None:
    cut_off = script(ChoiceOpened(0), content("So it begins. SECRET"), UpstreamEnded())
    gateway = audited(folder, *cut_off)
    answer = await Exchange(gateway).ask(stream=True)
    assert read_stream(answer.body)[-1]["error"]["code"] == "upstream_incomplete"
    assert [record["rule"] for record in records(folder)] == ["masker"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompts_decisions_are_recorded_before_upstream_is_asked(folder: Path, stream: bool) -> None:
    detector = Words("masker", ["Hello"])
    policy = FixedPolicy(plan_of(detector, actions={"masker": Mask("<x>")}, channels=[Channel.PROMPT]), ["masker"])
    gateway = audited(folder, policy=policy)
    await Exchange(gateway).ask(stream=stream)
    (record,) = records(folder)
    assert (record["channel"], record["choice"], record["part"], record["action"]) == ("prompt", -1, 0, "mask")
    with largest_file(10):
        refused = await Exchange(gateway).ask(stream=stream)
    assert (refused.status, refused.error["code"]) == (503, "audit_unavailable")
    assert gateway.backend.streams == 1  # type: ignore[attr-defined]


async def test_a_client_that_leaves_loses_no_line(folder: Path) -> None:
    events = [
        *script(ChoiceOpened(0), content("So it begins. SECRET and then some more")),
        RecordedEvent(ChoiceFinished(0, "stop"), 3_600.0),
    ]
    gateway = audited(folder, *events, excerpt_chars=30)
    exchange = Exchange(gateway)
    exchange.on_body = lambda body: exchange.left.set() if b"<hidden>" in body else None
    await asyncio.wait_for(exchange.ask(stream=True), 10)
    (record,) = records(folder)
    assert record["excerpt"] == "begins. <hidden> and then some"


async def test_a_slow_detectors_decisions_are_recorded(folder: Path) -> None:
    slow = Words("stopper", ["STOP!"])
    slow.slow = True  # type: ignore[misc]
    policy = FixedPolicy(plan_of(slow, actions={"stopper": Mask("<x>")}), ["stopper"])
    gateway = audited(folder, *CUT, policy=policy)
    await Exchange(gateway).ask(stream=True)
    assert [record["rule"] for record in records(folder)] == ["stopper"]


async def test_the_app_lets_the_file_go_when_it_stops(folder: Path) -> None:
    gateway = audited(folder, *CUT)
    app = create_app(gateway=gateway)
    async with app.router.lifespan_context(app):
        pass
    other = AuditLog(folder)
    other.open()
    assert list(chain_files(folder)) == [0]
    await other.aclose()
