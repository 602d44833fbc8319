"""`guard detectors`: what can be named in a policy, and how it is set."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def detectors(
    name: Annotated[str | None, typer.Argument(help="Tell everything about this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
) -> None:
    """List the installed detectors with their labels and settings."""
    from guard.policy.problems import did_you_mean
    from guard.registry import available

    offered = available()
    if name is not None and name not in offered:
        told = f"there is no detector `{name}`{did_you_mean(name, offered)} (installed: {', '.join(offered) or 'none'})"
        typer.echo(f"guard: {told}", err=True)
        raise typer.Exit(1)
    described = [_describe(each) for each in ([name] if name is not None else offered)]
    if as_json:
        typer.echo(json.dumps({"detectors": described}, indent=2, ensure_ascii=False))
    else:
        _show(described, whole=name is not None)
    if name is not None and "problem" in described[0]:
        raise typer.Exit(1)


def _describe(name: str) -> dict[str, Any]:
    """All there is to say of a detector, as JSON data; of one that cannot be imported, why."""
    from guard.contract import DetectorError
    from guard.registry import detector_class

    try:
        cls = detector_class(name)
    except DetectorError as error:
        return {"name": name, "problem": str(error)}
    return {
        "name": name,
        "doc": inspect.getdoc(cls) or "",
        "labels": dict(cls.labels),
        "stability": str(cls.stability),
        "slow": cls.slow,
        "settings": describe_settings(cls.Settings),
        "class": f"{cls.__module__}:{cls.__qualname__}",
    }


def describe_settings(settings: type[Any]) -> list[dict[str, Any]]:
    """Name, type, default and documentation of every field of a dataclass, and of dataclasses in it."""
    documented = attribute_docstrings(settings)
    described = []
    for each in dataclasses.fields(settings):
        default = _default(each)
        described.append(
            {
                "name": each.name,
                "type": each.type if isinstance(each.type, str) else inspect.formatannotation(each.type),
                "default": dataclasses.asdict(default) if _is_dataclass(default) else _as_data(default),
                "doc": documented.get(each.name, ""),
                "fields": describe_settings(type(default)) if _is_dataclass(default) else [],
            }
        )
    return described


def attribute_docstrings(cls: type) -> dict[str, str]:
    """The strings that stand below the attributes of a class in its source; none if the source is not at hand."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    documented = {}
    for attribute, text in itertools.pairwise(body):
        if not isinstance(attribute, ast.AnnAssign) or not isinstance(attribute.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            documented[attribute.target.id] = inspect.cleandoc(text.value.value)
    return documented


def _show(described: list[dict[str, Any]], *, whole: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if whole:
        _show_one(console, described[0])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("detector", "labels", "stability", "what it finds"):
        table.add_column(column, overflow="fold")
    for each in described:
        if "problem" in each:
            cells = [each["name"], "", "broken", each["problem"]]
        else:
            finds = each["doc"].split("\n\n")[0].replace("\n", " ")
            stability = each["stability"] + (", slow" if each["slow"] else "")
            cells = [each["name"], ", ".join(each["labels"]), stability, finds]
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table, Text(""), Text("guard detectors NAME tells the settings of one."), sep="\n")


def _show_one(console: Console, one: dict[str, Any]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    def indented(text: str, by: int) -> None:
        console.print(Padding(Text(text), (0, 0, 0, by), expand=False))

    def settings(fields: list[dict[str, Any]], by: int) -> None:
        for each in fields:
            given = "" if each["fields"] else f" = {json.dumps(each['default'], ensure_ascii=False)}"
            indented(f"{each['name']}: {each['type']}{given}", by)
            if each["doc"]:
                indented(each["doc"], by + 4)
            settings(each["fields"], by + 4)

    if "problem" in one:
        console.print(Text(one["problem"]))
        return
    stability = one["stability"] + (", slow (runs beside the event loop)" if one["slow"] else "")
    console.print(Text.assemble((one["name"], "bold"), f"  {stability}  {one['class']}"))
    indented(one["doc"], 4)
    console.print(Text("labels", style="bold"))
    for label, meaning in one["labels"].items():
        indented(f"{label}: {meaning}", 4)
    indented("error: it failed (every detector has this one)", 4)
    console.print(Text("settings", style="bold"))
    settings(one["settings"], 4)


def _default(each: dataclasses.Field[Any]) -> Any:
    if each.default is not dataclasses.MISSING:
        return each.default
    return None if each.default_factory is dataclasses.MISSING else each.default_factory()


def _as_data(value: Any) -> Any:
    """A default as JSON can say it."""
    if isinstance(value, dict):
        return {str(key): _as_data(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_data(child) for child in (value if isinstance(value, list | tuple) else sorted(value))]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
