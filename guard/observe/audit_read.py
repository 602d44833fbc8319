"""Reading an audit: is it whole, and what does it say?

folder --chain by chain, line by line--> verify --> a report for each chain, with its first broken line
       --all chains, by time-----------> select --> decisions that match
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from guard.observe.audit_chain import GENESIS, LineError, unseal
from guard.observe.audit_file import chain_files

_AGO: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EVERY: Final = 1_000
"""Lines between two reports of progress."""


@dataclass(slots=True)
class ChainReport:
    """What was found out about one chain."""

    chain: int
    files: int = 0
    lines: int = 0
    decisions: int = 0
    first: int = 0
    """Number of the first line; 1 if nothing is missing before it."""
    head: str = GENESIS
    """Hash of the last good line."""
    until: str = ""
    """Its time."""
    lost: int = 0
    """Decisions that the chain says could not be written."""
    mended: int = 0
    """Torn lines that were moved aside after a crash."""
    problem: str = ""
    """The first line that is not as it should be: `file:line: what is wrong`. Nothing after it is vouched for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions. Empty means any."""

    request: str = ""
    """A request id, a stream id or a trace id."""
    rules: Collection[str] = ()
    detectors: Collection[str] = ()
    since: str = ""
    """Times as lines have them; from here on ..."""
    until: str = ""
    """... and before here."""

    def takes(self, record: dict[str, Any]) -> bool:
        time = str(record.get("time", ""))
        return (
            record.get("kind") == "decision"
            and (not self.rules or record.get("rule") in self.rules)
            and (not self.detectors or record.get("detector") in self.detectors)
            and (not self.since or time >= self.since)
            and (not self.until or time < self.until)
            and (
                not self.request
                or self.request in (record.get(f"{name}_id") for name in ("request", "stream", "trace"))
            )
        )


@dataclass(slots=True)
class Verification:
    """The reports of all chains, and which of the hashes that were asked for stand in them."""

    chains: list[ChainReport] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return not self.missing and not any(report.problem for report in self.chains)


def verify(
    folder: Path,
    *,
    key: bytes | None = None,
    partial: bool = False,
    contains: Collection[str] = (),
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Verification:
    """Check every chain of a folder. `partial` allows for older files that were moved elsewhere. `contains` are hashes
    that were noted down earlier: each must be that of a line. `progress` is told of bytes read. Raises `OSError`."""
    found = Verification(missing=set(contains))
    for chain, files in chain_files(folder).items():
        report = ChainReport(chain, files=len(files))
        found.chains.append(report)
        unreported = 0
        for place, line in _lines(files):
            unreported += len(line)
            if report.lines % _EVERY == 0:
                progress(unreported)
                unreported = 0
            try:
                record = _checked(line, report, key, partial)
            except LineError as error:
                report.problem = f"{place}: {error}"
                break
            _take(record, report)
            found.missing.discard(record["hash"])
        progress(unreported)
    return found


def select(folder: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The decisions of all chains that match, by time. What is no JSON is passed over: `verify` tells of it. Raises
    `OSError`."""
    chains = [_decisions(files, wanted) for files in chain_files(folder).values()]
    return heapq.merge(*chains, key=lambda record: str(record.get("time", "")))


def parse_time(text: str, now: datetime | None = None) -> str:
    """A time as lines have it, from an ISO 8601 time (UTC unless it says otherwise) or an age such as `90m`, `2h`,
    `7d`. Raises `ValueError`."""
    if ago := _AGO.fullmatch(text):
        when = (now or datetime.now(UTC)) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _lines(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for path in files:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield f"{path}:{number}", line


def _checked(line: bytes, report: ChainReport, key: bytes | None, partial: bool) -> dict[str, Any]:
    """The record of the next line of a chain. Raises `LineError`."""
    if not line.endswith(b"\n"):
        raise LineError("breaks off in mid-line: a crash, or it is being written; the guard mends it when it starts")
    record = unseal(line, key)
    seq, prev = record["seq"], record["prev"]
    if not report.lines:
        if seq == 1 and prev != GENESIS:
            raise LineError("is number 1, but does not begin a chain")
        if seq != 1 and not partial:
            raise LineError(f"is number {seq}: the {seq - 1} before it are missing (--partial if they were moved away)")
        report.first = seq
    elif seq != report.first + report.lines:
        raise LineError(f"is number {seq}, but number {report.first + report.lines} comes here: lines were taken out")
    elif prev != report.head:
        raise LineError("does not follow the line before it")
    if record.get("kind") == "opened" and record.get("chain") != report.chain:
        raise LineError(f"belongs to chain {record.get('chain')}: the file was renamed")
    return record


def _take(record: dict[str, Any], report: ChainReport) -> None:
    report.lines += 1
    report.head = record["hash"]
    report.until = str(record.get("time", ""))
    match record.get("kind"):
        case "decision":
            report.decisions += 1
        case "gap":
            report.lost += int(record.get("lost", 0))
        case "mended":
            report.mended += 1


def _decisions(files: Sequence[Path], wanted: Wanted) -> Iterator[dict[str, Any]]:
    for _, line in _lines(files):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and wanted.takes(record):
            yield record
