"""Files of JSON Lines, in and out, as `guard scan` and `guard evaluate` use them."""

from __future__ import annotations

import contextlib
import lzma
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

Line = tuple[int, bytes]
"""A line and its number, from 1."""

UNREADABLE = (OSError, lzma.LZMAError, EOFError)
"""What reading or writing such a file can raise."""


@contextlib.contextmanager
def follow(file: Path, doing: str) -> Iterator[tuple[Iterator[Line], Callable[[int], None]]]:
    """The numbered lines of `file`, and a bar on standard error that is advanced by numbers of records.

    A name that ends in `.xz` is decompressed; blank lines are skipped. Raises what `UNREADABLE` names.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(), TextColumn("{task.fields[records]} records"), TimeRemainingColumn())
    with open(file, "rb") as raw, Progress(*columns, console=Console(file=sys.stderr)) as progress:
        task = progress.add_task("", total=os.stat(file).st_size, records=0)
        seen = 0

        def advance(records: int) -> None:
            nonlocal seen
            seen += records
            progress.update(task, completed=raw.tell(), records=seen)

        yield _lines(raw, file), advance


def read_lines(file: Path) -> Iterator[Line]:
    """The numbered lines of `file`, as `follow` gives them, without the bar."""
    with open(file, "rb") as raw:
        yield from _lines(raw, file)


@contextlib.contextmanager
def write_whole(out: Path | None) -> Iterator[IO[bytes]]:
    """A file to write to, which appears at `out` only when it is complete; `None` writes nowhere.

    What is there and is no file (a pipe, a device) is written to as it is. Raises `OSError` that names `out`.
    """
    if out is None or (out.exists() and not out.is_file()):
        with open(out or os.devnull, "wb") as stream:
            yield stream
        return
    out_file = out.resolve()
    try:
        file = tempfile.NamedTemporaryFile(dir=out_file.parent, prefix=f".{out_file.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(out)) from error
    with file:
        try:
            yield file
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, out_file)
        except BaseException:
            os.unlink(file.name)
            raise


def unreadable(error: Exception, file: Path) -> str:
    """What went wrong with a file, in a line; `file` is meant where the error names none."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or file}: {error.strerror}"
    return f"{file}: {error}"


def _lines(raw: IO[bytes], file: Path) -> Iterator[Line]:
    with contextlib.nullcontext(raw) if file.suffix != ".xz" else lzma.LZMAFile(raw) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, line
