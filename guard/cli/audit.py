"""`guard audit`: is the record of decisions whole, and what does it say?"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from guard.observe.audit_read import ChainReport, Verification, Wanted

KEY_VARIABLE: Final = "GUARD_AUDIT__HMAC_KEY"
_PROGRESS_FROM: Final = 16 << 20
"""Bytes that take long enough to show how far it is."""
_COLUMNS: Final = (
    "time",
    "request_id",
    "stream_id",
    "trace_id",
    "route",
    "model",
    "policy",
    "rule",
    "detector",
    "label",
    "score",
    "choice",
    "channel",
    "span",
    "at",
    "action",
    "done",
    "detail",
    "excerpt",
    "seq",
    "hash",
)

audit: Final = typer.Typer(
    help="Verify, show and export the record of decisions.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[
    Path,
    typer.Argument(envvar="GUARD_AUDIT__FOLDER", metavar="FOLDER", help="Where the audit's files are: `audit.folder`."),
]
Request = Annotated[str, typer.Option("--request", help="A request id, stream id or trace id.")]
Rules = Annotated[list[str] | None, typer.Option("--rule", help="Only decisions of this rule. May be repeated.")]
Detectors = Annotated[list[str] | None, typer.Option("--detector", help="Only findings of this detector.")]
Since = Annotated[
    str, typer.Option("--since", help="From this time on: 2026-01-31T12:00, or an age such as 90m, 2h, 7d.")
]
Until = Annotated[str, typer.Option("--until", help="Before this time.")]
AsJson = Annotated[bool, typer.Option("--json", help="Say it as JSON.")]


@audit.command("verify")
def verify_command(
    folder: Folder,
    partial: Annotated[bool, typer.Option("--partial", help="Older files may have been moved elsewhere.")] = False,
    contains: Annotated[
        list[str] | None, typer.Option("--contains", metavar="HASH", help="A hash noted down earlier must be there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no line was changed, added or taken out. Exit status 1, and the first such line, if one was.

    With HMACs the key is read from GUARD_AUDIT__HMAC_KEY.
    """
    from guard.observe.audit_read import verify

    files = _files(folder)
    key = os.environ.get(KEY_VARIABLE, "").encode() or None
    total = sum(path.stat().st_size for path in files)
    with _progress(total) as progress:
        found = verify(folder, key=key, partial=partial, contains=contains or (), progress=progress)
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=2))
    else:
        _show_verification(found, keyed=key is not None)
    if not found.whole:
        raise typer.Exit(1)


@audit.command("show")
def show_command(
    folder: Folder,
    request: Request = "",
    rule: Rules = None,
    detector: Detectors = None,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show decisions, oldest first. Nothing is verified."""
    from collections import deque

    from guard.observe.audit_read import select

    _files(folder)
    latest = deque(select(folder, _wanted(request, rule, detector, since, until)), limit)
    if as_json:
        for record in latest:
            typer.echo(json.dumps(record))
    else:
        _show(latest)


@audit.command("export")
def export_command(
    folder: Folder,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file, or - for standard output.")] = Path("-"),
    form: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="What to write.")] = "jsonl",
    request: Request = "",
    rule: Rules = None,
    detector: Detectors = None,
    since: Since = "",
    until: Until = "",
) -> None:
    """Write decisions to a file, as CSV or JSON Lines. Nothing is verified."""
    from guard.observe.audit_read import select

    _files(folder)
    records = select(folder, _wanted(request, rule, detector, since, until))
    write = _write_csv if form == "csv" else _write_jsonl
    if str(to) == "-":
        write(sys.stdout, records)
        return
    try:
        with to.open("x", encoding="utf-8", newline="") as file:
            count = write(file, records)
    except OSError as error:
        raise _stop(f"{to}: cannot be written ({error.strerror}); give the path of a new file") from None
    typer.echo(f"{count} decisions written to {to}", err=True)


# --- reading


def _files(folder: Path) -> Sequence[Path]:
    from guard.observe.audit_file import chain_files

    try:
        files = [path for chain in chain_files(folder).values() for path in chain]
        for path in files:
            path.open("rb").close()
    except OSError as error:
        raise _stop(f"{error.filename}: cannot be read ({error.strerror}); give the folder of an audit") from None
    if not files:
        raise _stop(f"{folder}: holds no audit (no file like audit-0-000001.jsonl); give what `audit.folder` says")
    return files


def _wanted(request: str, rules: list[str] | None, detectors: list[str] | None, since: str, until: str) -> Wanted:
    from guard.observe.audit_read import Wanted, parse_time

    times = []
    for option, given in (("--since", since), ("--until", until)):
        try:
            times.append(parse_time(given) if given else "")
        except (ValueError, OverflowError):
            raise _stop(
                f"{option} {given!r} is no time; write 2026-01-31T12:00, or an age such as 90m, 2h, 7d"
            ) from None
    return Wanted(request, rules or (), detectors or (), *times)


def _stop(says: str) -> typer.Exit:
    typer.echo(f"guard: {says}", err=True)
    return typer.Exit(2)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where somebody is there to see it and it takes long enough."""
    if total < _PROGRESS_FROM or not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying", total=total)
        yield lambda count: bar.advance(task, count)


# --- telling


def _as_json(found: Verification) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "whole": found.whole,
        "chains": [asdict(report) for report in found.chains],
        "missing": sorted(found.missing),
    }


def _show_verification(found: Verification, *, keyed: bool) -> None:
    from guard.observe.logs import printable

    for report in found.chains:
        typer.echo(f"chain {report.chain}: {_told(report)}")
        if report.lines:
            typer.echo(f"  head {report.head} at {printable(report.until)}")
        if report.problem:
            typer.echo(f"  {report.problem}")
    for digest in sorted(found.missing):
        typer.echo(f"no line has the hash {printable(digest)}: lines were taken out, or it is another audit's")
    if found.whole:
        typer.echo("whole" if keyed else "whole, as far as hashes without a key can tell")
    else:
        typer.echo("NOT whole", err=True)


def _told(report: ChainReport) -> str:
    told = f"{report.lines} lines, {report.decisions} decisions, {report.files} files"
    if report.first > 1:
        told += f", from number {report.first}"
    if report.lost:
        told += f", {report.lost} decisions could not be written"
    if report.mended:
        told += f", {report.mended} torn lines moved aside"
    return told


def _show(records: Sequence[dict[str, Any]] | Any) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from guard.observe.logs import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("time", "request", "rule", "finding", "score", "where", "action"):
        table.add_column(column, overflow="fold")
    for record in records:
        span = record.get("span") or ["", ""]
        cells = (
            str(record.get("time", ""))[:19].replace("T", " "),
            str(record.get("request_id", "")),
            str(record.get("rule") or "none"),
            f"{record.get('detector')}/{record.get('label')}",
            f"{record.get('score')}",
            f"{record.get('choice')}/{record.get('channel')} {span[0]}-{span[-1]}",
            str(record.get("action", "")),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
        if excerpt := record.get("excerpt"):
            table.add_row("", "", Text(printable(str(excerpt)), style="dim"))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def _write_jsonl(file: IO[str], records: Iterator[dict[str, Any]]) -> int:
    count = 0
    for record in records:
        file.write(json.dumps(record) + "\n")
        count += 1
    return count


def _write_csv(file: IO[str], records: Iterator[dict[str, Any]]) -> int:
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    count = 0
    for record in records:
        writer.writerow([_cell(record.get(name, "")) for name in _COLUMNS])
        count += 1
    return count


def _cell(value: Any) -> Any:
    """A value as a cell that no spreadsheet takes for a formula (OWASP, "CSV injection")."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
