"""`guard evaluate`: a policy's detectors held against labelled transcripts, on all cores."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guard.cli.jsonl import UNREADABLE, Line, follow, read_lines, write_whole
from guard.cli.parallel import map_batches

if TYPE_CHECKING:
    from guard.evaluate.labels import Labelled, Subject
    from guard.evaluate.measure import Measured
    from guard.policy import CompiledPolicy

Done = tuple[int, list["Measured"], list[str]]
"""The process that did it, what it measured, and what it could not read."""

_policy: CompiledPolicy | None = None
_subjects: dict[str, Subject] = {}


def evaluate(
    file: Annotated[Path, typer.Argument(help="Labelled transcripts: JSON Lines, may be compressed with xz.")],
    policy: Annotated[str, typer.Option(help="A built-in policy's name, or the path of a policy file.")] = "default",
    json_out: Annotated[Path | None, typer.Option("--json", help="Where the report goes as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the report goes as a page with the transcripts.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Where the highest scores go, one object per record.")] = None,
    harm_detector: Annotated[
        list[str] | None, typer.Option(help="A detector that is held against `harmful`; others by their labels.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 for one per core.", min=0)] = 0,
) -> None:
    """Measure detectors on labelled transcripts: recall, false alarms, delay, cost, and every record got wrong."""
    import msgspec

    from guard.evaluate.page import build_page
    from guard.evaluate.report import build_report
    from guard.evaluate.subjects import subjects_of
    from guard.evaluate.tables import console, render
    from guard.policy import PolicyError, load_policy

    harm_detectors = harm_detector or []
    try:
        compiled = load_policy(policy)
        subjects = subjects_of(compiled, harm_detectors)
    except (PolicyError, ValueError) as error:
        typer.echo(str(error) if isinstance(error, PolicyError) else f"guard: {error}", err=True)
        raise typer.Exit(2) from None
    measured: list[Measured] = []
    problems: list[str] = []
    nanoseconds: Counter[tuple[str, int]] = Counter()
    tokens: defaultdict[tuple[str, int], float] = defaultdict(float)
    try:
        with write_whole(scores) as write, follow(file, "evaluating") as (lines, advance):
            done = map_batches(
                lines, _measure_batch, prepare=_load, arguments=(policy, harm_detectors), workers=workers
            )
            for process, batch, bad in done:
                for each in batch:
                    write.write(_scores(each) + b"\n")
                    for name, result in each.results.items():
                        nanoseconds[name, process] += result.nanoseconds
                        tokens[name, process] += result.tokens
                measured += batch
                problems += bad
                advance(len(batch) + len(bad))
        report = build_report(
            measured,
            file=file.name,
            policy=compiled.name,
            policy_version=compiled.version,
            subjects=subjects,
            unreadable=problems,
            costs=_costs(nanoseconds, tokens),
        )
        if json_out is not None:
            with write_whole(json_out) as write:
                write.write(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
        if html is not None:
            with write_whole(html) as write:
                write.write(build_page(report, measured, lambda wanted: _labelled(file, wanted)))
    except UNREADABLE as error:
        typer.echo(f"guard: {file if not isinstance(error, OSError) else error.filename or file}: {error}", err=True)
        raise typer.Exit(2) from None
    shown = console()
    for piece in render(report):
        shown.print(piece)
    for problem in problems[:20]:
        typer.echo(f"{file}:{problem}", err=True)
    if len(problems) > 20:
        typer.echo(f"... and {len(problems) - 20} more", err=True)
    if problems:
        raise typer.Exit(1)


def _load(policy: str, harm_detectors: Sequence[str]) -> None:
    global _policy, _subjects
    from guard.evaluate.subjects import subjects_of
    from guard.policy import load_policy

    _policy = load_policy(policy)
    _policy.load()
    _subjects = subjects_of(_policy, harm_detectors)


def _measure_batch(lines: list[Line]) -> Done:
    from guard.evaluate.labels import read_labelled
    from guard.evaluate.measure import measure
    from guard.offline import RecordError

    assert _policy is not None
    measured: list[Measured] = []
    problems: list[str] = []
    for number, line in lines:
        try:
            measured.append(measure(number, read_labelled(line), _policy, _subjects))
        except RecordError as error:
            problems.append(f"{number}: {error}")
    return os.getpid(), measured, problems


def _scores(measured: Measured) -> bytes:
    """A line for `--scores`. A detector that does not watch the record's channels has no scores."""
    import msgspec

    return msgspec.json.encode(
        {
            "id": measured.id,
            "source": measured.source,
            "labels": {subject: truth.positive for subject, truth in measured.truths.items()},
            "scores": {name: result.peaks if result.tokens else None for name, result in measured.results.items()},
        }
    )


def _costs(
    nanoseconds: Counter[tuple[str, int]], tokens: defaultdict[tuple[str, int], float]
) -> dict[str, list[float]]:
    """Microseconds per token, by detector, one figure for each process."""
    costs: dict[str, list[float]] = {}
    for (name, process), spent in nanoseconds.items():
        if tokens[name, process]:
            costs.setdefault(name, []).append(spent / 1_000 / tokens[name, process])
    return costs


def _labelled(file: Path, wanted: set[int]) -> Iterator[tuple[int, Labelled]]:
    """The records on these lines, read once more: keeping every text until the end would take too much memory."""
    from guard.evaluate.labels import read_labelled

    for number, line in read_lines(file):
        if number in wanted:
            yield number, read_labelled(line)
