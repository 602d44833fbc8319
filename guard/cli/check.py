"""`guard check`: is this policy right, and what does it come to?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from guard.policy import CompiledPolicy, Problem


def check(
    policies: Annotated[
        list[str] | None, typer.Argument(metavar="POLICY...", help="Built-in names or paths of policy files.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of policy files and stop.")] = False,
) -> None:
    """Check policies: every problem with its place, and the rules' own examples. Exit status 1 if one has errors."""
    if schema:
        from guard.policy.schema import Policy

        typer.echo(json.dumps(Policy.model_json_schema(), indent=2, ensure_ascii=False))
        return
    if not policies:
        raise typer.BadParameter("name at least one, such as `guard check default` or `guard check ./house.yaml`")
    results = [_check(each) for each in policies]
    if as_json:
        typer.echo(json.dumps({"policies": [_as_json(*result) for result in results]}, indent=2, ensure_ascii=False))
    else:
        for _, policy, problems in results:
            _show(policy, problems)
        _summarise([problem for _, _, problems in results for problem in problems], len(results))
    if any(policy is None for _, policy, _ in results):
        raise typer.Exit(1)


def _check(name: str) -> tuple[str, CompiledPolicy | None, list[Problem]]:
    """One policy, if it has no errors, and all its problems."""
    from guard.contract import DetectorError
    from guard.policy import PolicyError, compile_policy, read_policy, try_examples
    from guard.policy.problems import Place, Problem

    try:
        source = read_policy(name)
        policy = compile_policy(source)
        failed = try_examples(source, policy)
    except PolicyError as error:
        return name, None, list(error.problems)
    except DetectorError as error:
        return name, None, [Problem("P111", Place(name), str(error))]
    return name, None if failed else policy, [*policy.warnings, *failed]


def _as_json(name: str, policy: CompiledPolicy | None, problems: list[Problem]) -> dict[str, Any]:
    said: dict[str, Any] = {"policy": name, "ok": policy is not None}
    if policy is not None:
        said |= {
            "name": policy.name,
            "version": policy.version,
            "description": policy.description,
            "detectors": [detector.name for detector in policy.detectors],
            "rules": list(policy.rule_ids),
        }
    return said | {"problems": [problem.as_json() for problem in problems]}


def _show(policy: CompiledPolicy | None, problems: list[Problem]) -> None:
    from guard.policy.problems import render

    if problems:
        typer.echo(render(problems) + "\n")
    if policy is None:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("rule", "detector", "label", "channel", "score", "does"):
        table.add_column(column, overflow="fold")
    for rule in policy.rules:
        cells = (
            rule.id,
            ", ".join(detector.name for detector in policy.detectors if detector.name in rule.detectors),
            ", ".join(sorted(rule.labels)) if rule.labels else "any",
            ", ".join(rule.channels),
            f"{rule.score:g}",
            type(rule.action).__name__.lower(),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(soft_wrap=False, highlight=False)
    console.print(Text(f"{policy.name} {policy.version}", style="bold"), Text(policy.description))
    console.print(table, Text(""), sep="\n")


def _summarise(problems: list[Problem], checked: int) -> None:
    errors = sum(problem.severity == "error" for problem in problems)
    told = f"{_count(checked, 'policy', 'policies')}: {_count(errors, 'error', 'errors')}"
    if warnings := len(problems) - errors:
        told += f", {_count(warnings, 'warning', 'warnings')}"
    typer.echo(told)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
