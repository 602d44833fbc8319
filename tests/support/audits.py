"""What tests of the audit share: records, folders, and a file system that is full."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guard.observe.audit_chain import GENESIS, unseal
from guard.observe.audit_file import chain_files


def records(folder: Path, kind: str = "decision", key: bytes | None = None) -> list[dict[str, Any]]:
    """The records of one kind in a folder, chain by chain, each checked against the one before."""
    found: list[dict[str, Any]] = []
    for files in chain_files(folder).values():
        prev, seq = GENESIS, 0
        for path in files:
            data = path.read_bytes()
            assert not data or data.endswith(b"\n")
            for line in data.splitlines():
                record = unseal(line, key)
                assert (record["prev"], record["seq"]) == (prev, seq + 1)
                prev, seq = record["hash"], record["seq"]
                found.append(record)
    return [record for record in found if not kind or record["kind"] == kind]


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file as JSON, unchecked."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing past `size` bytes of any file fails with EFBIG (setrlimit(2)); Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """A file system of `size` in `folder`; skips the test where none may be mounted."""
    folder.mkdir(exist_ok=True)
    options = ("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except OSError:
        pytest.skip("there is no `mount`")
    if done.returncode != 0:
        pytest.skip("this process may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to its last byte; removing the returned file frees it again."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def numbered(*numbers: int) -> Sequence[dict[str, Any]]:
    """Records that tell which they are."""
    return [{"kind": "decision", "number": number} for number in numbers]
