"""The command `guard`.

Each command is a function in the module of its name. These modules import what they need only when they run, so that
`guard --help` answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Final

import typer

COMMANDS: Final = ("serve", "scan", "evaluate", "check", "detectors", "audit")
"""Commands in the order of `guard --help`, each the function, or the group of commands, of this name in
`guard.cli.<name>`."""

_HELP: Final = "QwQ Guard: reviews what a reasoning model writes, while it writes it."
_INTERRUPTED: Final = 130
"""Exit status of a shell command that ended by Ctrl-C: 128 + SIGINT."""


def build_app() -> typer.Typer:
    """The command-line application."""
    app = typer.Typer(
        name="guard",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(help=_HELP)(_options)
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"guard.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Run `guard`. Whatever goes wrong ends in a sentence on standard error; GUARD_DEBUG=1 shows the traceback."""
    try:
        build_app()()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; keep the interpreter from trying again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("GUARD_DEBUG"):
            raise
        told = f"{type(error).__name__}: {error}".rstrip(": ")
        sys.exit(f"guard: this should not have happened: {told}\nSet GUARD_DEBUG=1 to see where, and please report it.")


def _say_version(wanted: bool) -> None:
    if wanted:
        from guard import __version__

        typer.echo(f"guard {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options of `guard` itself."""
