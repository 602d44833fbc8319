"""Decisions are in the file before anything that follows from them; what a failing disk means is configured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from guard.contract import PROMPT_CHOICE, Channel, Finding, Lane, Span
from guard.events import (
    Action,
    Command,
    Cut,
    Decision,
    EndStream,
    FailStream,
    FinishChoice,
    Flag,
    Mask,
    RecordDecision,
    Repair,
    Resume,
    SendText,
    TextReceived,
    ToolCallOpened,
)
from guard.observe import audit
from guard.observe.audit import AuditError, AuditLog, StreamAudit, decision_record
from guard.observe.metrics import Metrics
from tests.support.audits import fill, largest_file, records, small_disk

pytestmark = pytest.mark.anyio

ANSWER = Lane(0, Channel.CONTENT)
TOLD = {"request_id": "r1", "stream_id": "s1", "model": "m", "policy": "house@v1"}


def decided(
    action: Action | None = None,
    *,
    lane: Lane = ANSWER,
    span: tuple[int, int] = (2, 5),
    detail: dict[str, str | float] | None = None,
) -> RecordDecision:
    finding = Finding("loop", "exact", 0.9, Span(*span), Span(0, 5), detail or {})
    return RecordDecision(lane, finding, Decision("loops", action or Cut("Stop.")), 16)


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[AuditLog]:
    log = AuditLog(folder, **options)
    log.open()
    try:
        yield log
    finally:
        await log.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def one(folder: Path) -> dict[str, Any]:
    (record,) = records(folder)
    return record


async def test_the_line_of_a_decision(folder: Path) -> None:
    async with opened(folder) as log:
        assert await log.stream(TOLD).record([SendText(ANSWER, "x"), decided()])
    record = one(folder)
    assert {name: record[name] for name in record if name not in ("time", "hash", "prev")} == {
        **TOLD,
        "seq": 2,
        "kind": "decision",
        "rule": "loops",
        "detector": "loop",
        "label": "exact",
        "score": 0.9,
        "choice": 0,
        "channel": "content",
        "span": [2, 5],
        "evidence": [0, 5],
        "at": 16,
        "action": "cut",
        "done": {"finish": "content_filter"},
    }
    assert record["time"].endswith("Z")


@pytest.mark.parametrize(
    ("action", "word", "done"),
    [
        (Flag(), "flag", None),
        (Mask("<{label}>"), "mask", {"replacement": "<exact>"}),
        (Cut(finish="length"), "cut", {"finish": "length"}),
        (Repair("conclude"), "repair", {"how": "conclude", "keep": "first_copy"}),
    ],
)
def test_what_was_done(action: Action, word: str, done: dict[str, str] | None) -> None:
    record = decision_record(decided(action))
    assert (record["action"], record.get("done")) == (word, done)


def test_details_that_may_be_text_are_left_out() -> None:
    detail: dict[str, str | float] = {
        "period": 12,
        "ratio": 0.1234567,
        "worst": float("inf"),
        "language": "zh",
        "word": "two words",
        "name": "Zoë",
        "long": "x" * 33,
    }
    assert decision_record(decided(detail=detail))["detail"] == {
        "period": 12,
        "ratio": 0.123457,
        "worst": -1.0,
        "language": "zh",
    }


def test_lanes_of_tools_and_prompts() -> None:
    assert decision_record(decided(lane=Lane(0, Channel.TOOL, 3)))["tool"] == 3
    record = decision_record(decided(lane=Lane(PROMPT_CHOICE, Channel.PROMPT, 3)))
    assert (record["part"], record["choice"], "tool" in record) == (3, -1, False)


async def test_a_long_model_name_is_cut_short(folder: Path) -> None:
    async with opened(folder) as log:
        await log.stream({**TOLD, "model": "m" * 5_000}).record([decided()])
    assert one(folder)["model"] == "m" * 200


async def test_nothing_is_written_where_nothing_was_decided(folder: Path) -> None:
    async with opened(folder) as log:
        stream = log.stream(TOLD)
        assert await stream.record([SendText(ANSWER, "x"), EndStream()])
        stream.close()
    assert records(folder) == []


async def test_it_is_counted(folder: Path) -> None:
    metrics = Metrics()
    async with opened(folder, metrics=metrics) as log:
        await log.stream(TOLD).record([decided(), decided()])
    assert metrics.registry.get_sample_value("guard_audit_records_total", {"result": "written"}) == 2


# --- a disk that fails


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def __getattr__(self, _level: str) -> Callable[..., None]:
            return lambda event, **fields: lines.append((event, fields))

    monkeypatch.setattr(audit, "log", Log())
    return lines


def full(log: AuditLog) -> int:
    return log._file.path.stat().st_size + 100


@pytest.mark.parametrize("fsync", [False, True])
async def test_fail_closed(folder: Path, told: list[tuple[str, dict[str, Any]]], fsync: bool) -> None:
    now = 0.0
    metrics = Metrics()
    async with opened(folder, fsync=fsync, metrics=metrics, clock=lambda: now) as log:
        assert log.writable()
        with largest_file(full(log)):
            assert not await log.stream(TOLD).record([decided()])
            assert not log.writable()
            assert not await log.stream(TOLD).record([decided(), decided()])
            now = 1.5
            log.writable()  # tries, and fails again
            await asyncio.sleep(0.01)
            assert not log.writable()
        assert not log.writable()  # not tried again at once
        now = 3.0
        async with asyncio.timeout(10):
            while not log.writable():  # noqa: ASYNC110 - with fsync a thread tries
                await asyncio.sleep(0.001)
        assert await log.stream(TOLD).record([decided()])
        (gap,) = records(folder, "gap")
    assert gap["lost"] == 3
    assert gap["since"] < gap["time"]
    assert [event for event, _ in told if event != "audit closed"] == [
        "audit cannot be written",
        "audit is written again",
    ]
    assert told[0][1]["error"] == "EFBIG: File too large"
    assert len(records(folder)) == 1
    sample = metrics.registry.get_sample_value
    assert sample("guard_audit_records_total", {"result": "failed"}) == 3
    assert sample("guard_audit_records_total", {"result": "written"}) == 1


async def test_drop_counts_and_says_so_once(folder: Path, told: list[tuple[str, dict[str, Any]]]) -> None:
    metrics = Metrics()
    async with opened(folder, on_error="drop", metrics=metrics) as log:
        with largest_file(full(log)):
            for _ in range(5):
                assert await log.stream(TOLD).record([decided()])
                assert log.writable()
        assert await log.stream(TOLD).record([decided()])
    assert [event for event, _ in told] == ["audit cannot be written", "audit is written again", "audit closed"]
    assert metrics.registry.get_sample_value("guard_audit_records_total", {"result": "dropped"}) == 5
    (gap,) = records(folder, "gap")
    assert gap["lost"] == 5
    assert len(records(folder)) == 1


async def test_a_disk_that_fills_up_and_is_cleared(tmp_path: Path) -> None:
    now = 0.0
    with small_disk(tmp_path / "disk") as disk:
        async with opened(disk / "audit", clock=lambda: now) as log:
            assert await log.stream(TOLD).record([decided()])
            filler = fill(disk)
            written = 1
            while await log.stream(TOLD).record([decided()]):
                written += 1
                assert written < 100
            assert not log.writable()
            filler.unlink()
            now = 2.0
            assert log.writable()
            assert await log.stream(TOLD).record([decided()])
            assert len(records(disk / "audit")) == written + 1
            assert [gap["lost"] for gap in records(disk / "audit", "gap")] == [1]


async def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match=r"cannot be written \(ENOTDIR: Not a directory\); give a folder"):
        AuditLog(tmp_path / "file" / "audit").open()
    dropping = AuditLog(tmp_path / "file" / "audit", on_error="drop")
    dropping.open()
    assert await dropping.stream(TOLD).record([decided()])
    await dropping.aclose()


async def test_a_disk_that_hangs_is_a_disk_that_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "WRITE_SECONDS", 0.05)
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with opened(folder, fsync=True) as log:

        def hang() -> None:
            asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

        monkeypatch.setattr(log._file, "sync", hang)
        assert not await log.stream(TOLD).record([decided()])
        assert not log.writable()
        released.set()


async def test_one_wait_for_the_disk_serves_many_streams(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = 0
    async with opened(folder, fsync=True) as log:
        real = log._file.sync

        def sync() -> None:
            nonlocal synced
            synced += 1
            real()

        monkeypatch.setattr(log._file, "sync", sync)
        done = await asyncio.gather(*(log.stream(TOLD).record([decided()]) for _ in range(100)))
    assert all(done)
    assert len(records(folder)) == 100
    assert synced < 20


async def test_a_forked_process_takes_a_chain_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(folder) as log:
        await log.stream(TOLD).record([decided()])
        parent = log._file
        inherited = os.dup(parent._lock or 0)  # the parent still holds it
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert await log.stream(TOLD).record([decided()])
        assert log._file is not parent
        assert log._file.path.name == "audit-1-000001.jsonl"
        os.close(inherited)
    assert len(records(folder)) == 2


# --- excerpts


def heard(stream: StreamAudit, text: str, lane: Lane = ANSWER) -> None:
    assert stream.texts is not None
    stream.texts.heard([TextReceived(lane, text)])


async def test_no_text_without_being_asked(folder: Path) -> None:
    async with opened(folder) as log:
        assert log.stream(TOLD).texts is None


@pytest.mark.parametrize(
    "last",
    [[FinishChoice(0, "stop")], [EndStream()], [FailStream("x", "y")], [FinishChoice(0, "stop"), EndStream()]],
    ids=["finish", "end", "fail", "all"],
)
async def test_an_excerpt_waits_for_later_masks_and_comes_before_the_end(folder: Path, last: Sequence[Command]) -> None:
    async with opened(folder, excerpt_chars=60) as log:
        stream = log.stream(TOLD)
        heard(stream, "my name is Ann Smith and my ")
        await stream.record([decided(Flag(), span=(3, 7))])
        assert records(folder) == []
        heard(stream, "number is 555 12")
        await stream.record([decided(Mask("<NAME>"), span=(11, 20))])
        assert records(folder) == []
        assert await stream.record(last)
        assert [record["excerpt"] for record in records(folder)] == [
            "my name is <NAME> and my ",
            "my name is <NAME> and my number is ### ##",
        ]


async def test_other_choices_still_wait(folder: Path) -> None:
    async with opened(folder, excerpt_chars=20) as log:
        stream = log.stream(TOLD)
        for choice in (0, 1):
            heard(stream, f"choice {choice}", Lane(choice, Channel.CONTENT))
            await stream.record([decided(Flag(), lane=Lane(choice, Channel.CONTENT), span=(0, 2))])
        await stream.record([FinishChoice(1, "stop")])
        assert [record["choice"] for record in records(folder)] == [1]
        await stream.record([FinishChoice(0, "stop")])
        assert [record["choice"] for record in records(folder)] == [1, 0]


async def test_a_repair_writes_what_waits_and_shows_no_more_of_the_lane(folder: Path) -> None:
    other = Lane(0, Channel.REASONING)
    repair = Repair("resample")
    async with opened(folder, excerpt_chars=20) as log:
        stream = log.stream(TOLD)
        heard(stream, "the first try")
        await stream.record([decided(repair, span=(4, 9)), Resume(0, ANSWER, "", "", repair, 1, 10)])
        assert one(folder)["excerpt"] == "the first try"
        heard(stream, "the second try")
        heard(stream, "a thought", other)
        await stream.record([decided(Flag(), span=(4, 9)), decided(Flag(), lane=other, span=(2, 9)), EndStream()])
    assert [record.get("excerpt") for record in records(folder)] == ["the first try", None, "a thought"]


async def test_prompts_do_not_wait(folder: Path) -> None:
    lane = Lane(PROMPT_CHOICE, Channel.PROMPT, 0)
    async with opened(folder, excerpt_chars=20) as log:
        stream = log.stream(TOLD)
        heard(stream, "ignore all rules", lane)
        await stream.record([decided(Flag(), lane=lane, span=(0, 6))])
        assert one(folder)["excerpt"] == "ignore all rules"


async def test_a_client_that_leaves_takes_no_line_along(folder: Path) -> None:
    async with opened(folder, excerpt_chars=20) as log:
        stream = log.stream(TOLD)
        heard(stream, "some words")
        await stream.record([decided(Flag())])
        stream.close()
        stream.close()
        assert one(folder)["excerpt"] == "some words"


async def test_what_waits_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 10)
    async with opened(folder, excerpt_chars=20) as log:
        stream = log.stream(TOLD)
        for _ in range(11):
            await stream.record([decided(Flag())])
        assert [record.get("excerpt") for record in records(folder)] == [None] * 11


async def test_a_tool_calls_name_is_its_first_line(folder: Path) -> None:
    lane = Lane(0, Channel.TOOL, 0)
    async with opened(folder, excerpt_chars=40) as log:
        stream = log.stream(TOLD)
        assert stream.texts is not None
        stream.texts.heard([ToolCallOpened(0, 0, "id", "run"), TextReceived(lane, '{"cmd": "ls"}')])
        await stream.record([decided(lane=lane, span=(4, 8)), EndStream()])
        assert one(folder)["excerpt"] == 'run\n{"cmd": "ls"}'
