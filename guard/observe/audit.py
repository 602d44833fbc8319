"""The record of every decision, written before anything that follows from it leaves.

    pump --commands--> StreamAudit.record --lines--> AuditLog --> AuditFile      then, and only then: client
                             |                          |
                             | not written: False       | fail_closed: the stream fails, new ones wait for the disk
                                                        | drop: counted, and a line `gap` tells of it later

With excerpts, the lines of a lane wait until its later masks are known: at the latest until its choice ends.

The file is long because what is written and what may then leave must be read together.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from guard.contract import PROMPT_CHOICE, Channel, Lane
from guard.events import (
    Command,
    Cut,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Mask,
    RecordDecision,
    Repair,
    Resume,
    TextReceived,
    ToolCallOpened,
)
from guard.observe.audit_excerpt import LaneText, Mark, Passage, excerpt
from guard.observe.audit_file import AuditError as AuditError
from guard.observe.audit_file import AuditFile, now
from guard.observe.metrics import Metrics

UNAVAILABLE: Final = "audit_unavailable"
"""Code of a stream that was ended, or not begun, because its decisions cannot be recorded."""
SORRY: Final = "The guard cannot record its decisions; nothing more was let through."
WRITE_SECONDS: Final = 10.0
"""A disk that has not kept a line after this long has failed."""
RETRY_SECONDS: Final = 1.0
MAX_WAITING: Final = 1_000
"""Lines of a stream that may wait for later masks; more are written without an excerpt."""
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,32}")
_MODEL_LENGTH: Final = 200

log = structlog.get_logger("guard")


class AuditLog:
    """The audit of one process. Streams write through `stream`; `writable` says whether new ones may be taken."""

    def __init__(
        self,
        folder: Path,
        *,
        on_error: Literal["fail_closed", "drop"] = "fail_closed",
        fsync: bool = False,
        max_bytes: int = 64 << 20,
        excerpt_chars: int = 0,
        key: bytes | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fsync` waits for the disk, in a thread. `key` makes hashes HMACs. `metrics` counts what is written."""
        self.excerpt_chars = excerpt_chars
        self._folder = folder
        self._closes = on_error == "fail_closed"
        self._fsync = fsync
        self._metrics = metrics
        self._clock = clock
        self._make: Callable[[], AuditFile] = lambda: AuditFile(folder, max_bytes=max_bytes, key=key)
        self._file = self._make()
        self._pid = 0
        self._lost = 0
        self._failed_at: float | None = None
        self._failing_since = ""
        self._queue: list[tuple[Sequence[Mapping[str, Any]], asyncio.Future[bool]]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._flushing: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Open the files. Raises `AuditError` if that cannot be done and decisions must not be lost."""
        try:
            self._reopen()
        except OSError as error:
            if self._closes:
                raise AuditError(
                    f"audit.folder {self._folder}: cannot be written ({_reason(error)}); give a folder that this "
                    "process may write to, or set audit.on_error: drop"
                ) from error
            self._fail(error, 0)

    def stream(self, told: Mapping[str, Any]) -> StreamAudit:
        """The audit of one stream. `told` is what all its lines carry."""
        return StreamAudit(self, told, LaneTexts(self.excerpt_chars) if self.excerpt_chars else None)

    def writable(self) -> bool:
        """May a new stream be taken? While writing fails, it is tried again once a second."""
        if self._failed_at is None or not self._closes:
            return True
        if self._clock() - self._failed_at >= RETRY_SECONDS:
            self._failed_at = self._clock()
            if not self._fsync:
                self._try(())
            elif self._flushing is None or self._flushing.done():
                self._enqueue(())
        return self._failed_at is None

    async def write(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Write decisions. False if the stream they belong to must end, because they could not be recorded."""
        if not self._fsync:
            return self._try(records) or not self._closes
        future = self._enqueue(records)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                done = await asyncio.shield(future)
        except TimeoutError as error:
            self._fail(error, len(records))
            done = False
        return done or not self._closes

    def write_last(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write decisions of a stream that has ended: nobody waits for them."""
        if self._fsync:
            self._enqueue(records)
        else:
            self._try(records)

    async def aclose(self) -> None:
        """Write what waits, and let go of the files."""
        if self._flushing is not None:
            await asyncio.wait((self._flushing,), timeout=WRITE_SECONDS)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        if self._file.is_open and self._pid == os.getpid():
            log.info("audit closed", file=str(self._file.path), lines=self._file.seq, head=self._file.head)
        self._file.close()

    # --- inside

    def _reopen(self) -> None:
        """Open the file in this process: after a fork the chain belongs to the parent."""
        if self._pid not in (0, os.getpid()):
            self._file.close()
            self._file = self._make()
            self._thread = None
        self._pid = os.getpid()
        self._file.open()

    def _enqueue(self, records: Sequence[Mapping[str, Any]]) -> asyncio.Future[bool]:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((records, future))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        return future

    async def _flush(self) -> None:
        """Write what waits in one go, as often as there is something: one wait for the disk serves many streams."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "audit")
        while self._queue:
            batch, self._queue = self._queue, []
            records = [record for each, _ in batch for record in each]
            done = await asyncio.get_running_loop().run_in_executor(self._thread, self._try, records)
            for _, future in batch:
                if not future.done():
                    future.set_result(done)

    def _try(self, records: Sequence[Mapping[str, Any]]) -> bool:
        count, gap = len(records), self._failed_at is not None
        try:
            if self._pid != os.getpid() or not self._file.is_open:
                self._reopen()
            if gap:
                records = [self._gap(), *records]
            self._file.append(records)
            if self._fsync:
                self._file.sync()
        except (OSError, AuditError, ValueError) as error:
            self._fail(error, count)
            return False
        if self._failed_at is not None:
            log.warning("audit is written again", lost=self._lost)
            self._failed_at = None
            self._lost = 0
        self._count(count, written=True)
        return True

    def _fail(self, error: Exception, lost: int) -> None:
        if self._failed_at is None:
            self._failing_since = now()
            then = "streams with decisions end" if self._closes else "decisions are dropped"
            log.error("audit cannot be written", folder=str(self._folder), error=_reason(error), then=then)
        self._failed_at = self._clock()
        self._lost += lost
        self._count(lost, written=False)

    def _count(self, records: int, *, written: bool) -> None:
        for _ in range(records if self._metrics is not None else 0):
            assert self._metrics is not None
            if written or self._closes:
                self._metrics.audit_written(written)
            else:
                self._metrics.audit_dropped()

    def _gap(self) -> dict[str, Any]:
        return {"kind": "gap", "time": now(), "since": self._failing_since, "lost": self._lost}


@dataclass(slots=True)
class LaneTexts:
    """What excerpts are cut from: the text of a stream's lanes, and what of it the policy masks."""

    length: int
    lanes: dict[Lane, LaneText] = field(default_factory=dict)
    marks: dict[Lane, list[Mark]] = field(default_factory=dict)
    lost: set[Lane] = field(default_factory=set)
    """Lanes whose positions are no longer known."""

    def heard(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, TextReceived):
                self.lanes.setdefault(event.lane, LaneText()).append(event.text)
            elif isinstance(event, ToolCallOpened):
                lane = Lane(event.choice, Channel.TOOL, event.tool)
                self.lanes.setdefault(lane, LaneText()).append(f"{event.name}\n")

    def resumed(self, choice: int) -> None:
        """A repair goes on behind what was sent: positions of the choice's lanes count anew."""
        self.lost.update(lane for lane in self.lanes if lane.choice == choice)

    def decided(self, command: RecordDecision) -> Passage | None:
        if command.lane in self.lost:
            return None
        lane, finding, action = command.lane, command.finding, command.decision.action
        if isinstance(action, Mask):
            mark = Mark(finding.span, action.replacement.replace("{label}", finding.label))
            self.marks.setdefault(lane, []).append(mark)
        return self.lanes.setdefault(lane, LaneText()).around(finding.span, self.length)

    def excerpt(self, lane: Lane, passage: Passage) -> str:
        return excerpt(passage, self.marks.get(lane, ()), self.length)


class StreamAudit:
    """One stream's part of the audit."""

    __slots__ = ("_log", "_told", "_waiting", "texts")

    def __init__(self, audit: AuditLog, told: Mapping[str, Any], texts: LaneTexts | None) -> None:
        self.texts = texts
        """Where excerpts are configured: to be told of every event."""
        self._log = audit
        self._told = dict(told)
        if len(str(self._told.get("model", ""))) > _MODEL_LENGTH:
            self._told["model"] = str(self._told["model"])[:_MODEL_LENGTH]
        self._waiting: list[tuple[Lane, Passage | None, dict[str, Any]]] = []

    async def record(self, commands: Sequence[Command]) -> bool:
        """Record the decisions among `commands`, which have not left yet. False if they must not leave."""
        lines: list[dict[str, Any]] = []
        for command in commands:
            if isinstance(command, RecordDecision):
                line = {**self._told, **decision_record(command)}
                if self.texts is None:
                    lines.append(line)
                else:
                    self._waiting.append((command.lane, self.texts.decided(command), line))
        if self.texts is not None:
            lines += self._due(commands)
            for command in commands:
                if isinstance(command, Resume):
                    self.texts.resumed(command.choice)
        return not lines or await self._log.write(lines)

    def close(self) -> None:
        """The stream is over, however it ended."""
        if self._waiting:
            self._log.write_last(self._with_excerpts(lambda _lane: True))

    def _due(self, commands: Sequence[Command]) -> list[dict[str, Any]]:
        """The lines whose lanes are over with `commands`; those of the prompt come all at once."""
        if any(isinstance(command, FailStream | EndStream) for command in commands):
            return self._with_excerpts(lambda _lane: True)
        if not self._waiting:
            return []
        over = {command.choice for command in commands if isinstance(command, FinishChoice | Resume)} | {PROMPT_CHOICE}
        lines = self._with_excerpts(lambda lane: lane.choice in over)
        if len(self._waiting) > MAX_WAITING:
            lines += [line for _, _, line in self._waiting]
            self._waiting.clear()
        return lines

    def _with_excerpts(self, over: Callable[[Lane], bool]) -> list[dict[str, Any]]:
        assert self.texts is not None
        lines = [
            line if passage is None else {**line, "excerpt": self.texts.excerpt(lane, passage)}
            for lane, passage, line in self._waiting
            if over(lane)
        ]
        self._waiting = [each for each in self._waiting if not over(each[0])]
        return lines


def decision_record(command: RecordDecision) -> dict[str, Any]:
    """A decision as the audit has it: no text of the model."""
    lane, finding, action = command.lane, command.finding, command.decision.action
    record: dict[str, Any] = {
        "kind": "decision",
        "time": now(),
        "rule": command.decision.rule,
        "detector": finding.detector,
        "label": finding.label,
        "score": _number(finding.score),
        "choice": lane.choice,
        "channel": str(lane.channel),
        "span": list(finding.span),
        "at": command.at,
        "action": type(action).__name__.lower(),
    }
    if lane.tool != -1:
        record["part" if lane.channel is Channel.PROMPT else "tool"] = lane.tool
    if finding.evidence is not None:
        record["evidence"] = list(finding.evidence)
    done: dict[str, Any] = {}
    if isinstance(action, Mask):
        done = {"replacement": action.replacement.replace("{label}", finding.label)}
    elif isinstance(action, Cut):
        done = {"finish": action.finish}
    elif isinstance(action, Repair):
        done = {"how": action.how, "keep": action.keep}
    if done:
        record["done"] = done
    detail = {name: value for name, raw in finding.detail.items() if (value := _plain(raw)) is not None}
    if detail:
        record["detail"] = detail
    return record


def _plain(value: str | float) -> str | float | None:
    """A detail that can be no text of the model: a number, or one short word of ASCII."""
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else None
    return _number(value)


def _number(value: float) -> float:
    """JSON knows no infinity, and six places say enough."""
    return value if isinstance(value, int) else round(value, 6) if math.isfinite(value) else -1.0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror}"
    return str(error) if isinstance(error, AuditError) else type(error).__name__
