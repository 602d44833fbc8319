"""`guard scan`: a policy tried on recorded outputs, on all cores."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from guard.cli.jsonl import UNREADABLE, Line, follow, unreadable, write_whole
from guard.cli.parallel import map_batches

if TYPE_CHECKING:
    from guard.policy import CompiledPolicy

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

    from guard.contract import DetectorError
    from guard.policy import PolicyError, load_policy

    try:
        compiled = load_policy(policy)
        compiled.load()
    except PolicyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except DetectorError as error:
        typer.echo(f"guard: {error}", err=True)
        raise typer.Exit(1) from None
    started = monotonic()
    outcomes: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    problems: list[str] = []
    try:
        with write_whole(out) as write, follow(file, "scanning") as (lines, advance):
            for rows, bad, told in map_batches(lines, _scan_batch, prepare=_load, arguments=(policy,), workers=workers):
                for row in rows:
                    write.write(row + b"\n")
                problems += bad
                for outcome, acted in told:
                    outcomes[outcome] += 1
                    rules.update(acted)
                advance(len(rows) + len(bad))
    except UNREADABLE as error:
        typer.echo(f"guard: {unreadable(error, file)}", err=True)
        raise typer.Exit(2) from None
    for problem in problems[:20]:
        typer.echo(f"{file}:{problem}", err=True)
    if len(problems) > 20:
        typer.echo(f"... and {len(problems) - 20} more", err=True)
    summary = {
        "policy": compiled.name,
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
