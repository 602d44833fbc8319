"""`guard scan`: a policy tried on recorded outputs, on all cores."""

from __future__ import annotations

import contextlib
import lzma
import os
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from guard.policy import CompiledPolicy

BATCH = 16
"""Records per task: enough to make hand-over cheap, few enough to keep the bar moving."""

Line = tuple[int, bytes]
Done = tuple[list[bytes], list[str], list[tuple[str, list[str]]]]
"""Rows, problems, and per row its outcome and the rules that acted."""

_policy: CompiledPolicy | None = None


def scan(
    file: Annotated[Path, typer.Argument(help="Recorded outputs: JSON Lines, may be compressed with xz.")],
    policy: Annotated[str, typer.Option(help="A built-in policy's name, or the path of a policy file.")] = "default",
    out: Annotated[Path | None, typer.Option(help="Where the decisions go, one JSON object per record.")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run recorded outputs through a policy, and say what it would have done."""
    import json

    from guard.policy import PolicyError, load_policy

    try:
        name = load_policy(policy).name
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    started = monotonic()
    outcomes: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    problems: list[str] = []
    try:
        with _writer(out) as write, _progress(file) as (lines, advance):
            for rows, bad, told in _scan_all(lines, policy, workers or os.cpu_count() or 1):
                for row in rows:
                    write.write(row + b"\n")
                problems += bad
                for outcome, acted in told:
                    outcomes[outcome] += 1
                    rules.update(acted)
                advance(len(rows) + len(bad))
    except (OSError, lzma.LZMAError, EOFError) as error:
        typer.echo(f"guard: {file if not isinstance(error, OSError) else error.filename or file}: {error}", err=True)
        raise typer.Exit(2) from None
    for problem in problems[:20]:
        typer.echo(f"{file}:{problem}", err=True)
    if len(problems) > 20:
        typer.echo(f"... and {len(problems) - 20} more", err=True)
    summary = {
        "policy": name,
        "records": outcomes.total(),
        "unreadable": len(problems),
        "outcomes": dict(outcomes.most_common()),
        "rules": dict(rules.most_common()),
        "seconds": round(monotonic() - started, 2),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _print(summary, outcomes, rules, out)
    if problems:
        raise typer.Exit(1)


def _print(summary: dict[str, object], outcomes: Counter[str], rules: Counter[str], out: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['records']} records under policy {summary['policy']}, {summary['seconds']} s")
    table.add_column("outcome")
    table.add_column("records", justify="right")
    table.add_column("share", justify="right")
    for outcome, count in outcomes.most_common():
        table.add_row(outcome, str(count), f"{count / max(outcomes.total(), 1):.1%}")
    console = Console()
    console.print(table)
    for rule, count in rules.most_common():
        console.print(f"  {rule}: {count} records", highlight=False)
    if out is not None:
        console.print(f"Decisions are in {out}", highlight=False)


def _scan_all(lines: Iterator[Line], policy: str, workers: int) -> Iterator[Done]:
    """Results in the order of the records, with at most a few batches under way."""
    batches = _batches(lines)
    with ProcessPoolExecutor(workers, initializer=_load, initargs=(policy,)) as pool:
        waiting: deque[Future[Done]] = deque()
        for batch in batches:
            waiting.append(pool.submit(_scan_batch, batch))
            if len(waiting) > workers * 4:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _load(policy: str) -> None:
    global _policy
    from guard.policy import load_policy

    _policy = load_policy(policy)
    _policy.load()


def _scan_batch(lines: list[Line]) -> Done:
    import msgspec

    from guard.offline import RecordError, read_record, scan

    assert _policy is not None
    rows: list[bytes] = []
    problems: list[str] = []
    told: list[tuple[str, list[str]]] = []
    for number, line in lines:
        try:
            result = scan(read_record(line), _policy)
        except RecordError as error:
            problems.append(f"{number}: {error}")
            continue
        rows.append(msgspec.json.encode(result))
        told.append((result.outcome, sorted({action.rule for action in result.actions})))
    return rows, problems, told


@contextlib.contextmanager
def _writer(out: Path | None) -> Iterator[IO[bytes]]:
    """The output file, which appears only when it is complete; or nowhere."""
    if out is None:
        with open(os.devnull, "wb") as nowhere:
            yield nowhere
        return
    with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, out)
        except BaseException:
            os.unlink(file.name)
            raise


@contextlib.contextmanager
def _progress(file: Path) -> Iterator[tuple[Iterator[Line], Callable[[int], None]]]:
    """The numbered lines of the file, and a bar on standard error that follows them."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("scanning"), BarColumn(), TextColumn("{task.fields[records]} records"), TimeRemainingColumn())
    with open(file, "rb") as raw, Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("", total=os.stat(file).st_size, records=0)
        seen = 0

        def advance(records: int) -> None:
            nonlocal seen
            seen += records
            progress.update(task, completed=raw.tell(), records=seen)

        yield _lines(raw, file), advance


def _lines(raw: IO[bytes], file: Path) -> Iterator[Line]:
    with contextlib.nullcontext(raw) if file.suffix != ".xz" else lzma.LZMAFile(raw) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line
