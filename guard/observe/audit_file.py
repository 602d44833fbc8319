"""The files of one chain: written at the end only, one process at a time, mended after a crash.

folder/audit-0.lock             held by the process that writes chain 0
       audit-0-000001.jsonl     full; never touched again
       audit-0-000002.jsonl     grows by whole lines; carries on the chain of the file before
       audit-1-000001.jsonl     another process's chain
       audit-0-000002.torn-1    what a crash had left of a line

closed --open--> at the end of the last file --append--> ... --close--> closed
             a torn tail is moved aside, and a line of the chain says so
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from guard import __version__
from guard.observe.audit_chain import GENESIS, LineError, read_line, seal

FORMAT: Final = 1
NAME: Final = re.compile(r"audit-(\d+)-(\d{6,})\.jsonl")
MAX_CHAINS: Final = 1024
"""Processes that may write into one folder at a time."""
LONGEST_LINE: Final = 1 << 20
"""Bytes at the end of a file in which its last whole line is looked for."""


class AuditError(Exception):
    """The audit cannot be opened; the message says why and what to do."""


class AuditFile:
    """The end of one chain. For one thread at a time."""

    def __init__(self, folder: Path, *, max_bytes: int, key: bytes | None = None) -> None:
        """`max_bytes` is where the next file begins. With `key`, hashes are HMACs."""
        self.path = folder
        """The file that is written."""
        self.seq = 0
        """Number of the last line, and its hash."""
        self.head = GENESIS
        self._folder = folder
        self._max_bytes = max_bytes
        self._key = key
        self._chain = -1
        self._number = 0
        self._size = 0
        self._named = False
        """The disk keeps the file's name."""
        self._lock: int | None = None
        self._file: int | None = None

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def open(self) -> None:
        """Take a chain that nobody writes, and go to its end. Raises `OSError`, or `AuditError` for a file of the
        chain that is none."""
        try:
            if self._lock is None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._take_chain()
            self._go_to_end()
        except (OSError, AuditError):
            self.close()
            raise

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write `records`, all or none. Raises `OSError`; the chain is then as before, and a later call may succeed."""
        if self._file is None:
            self.open()
        lines, seq, head = self._sealed(records, self.seq, self.head)
        if self._size and self._size + len(lines) > self._max_bytes:
            self._begin_file(self._number + 1, "rotation")
            lines, seq, head = self._sealed(records, self.seq, self.head)
        self._write(lines)
        self.seq, self.head = seq, head

    def sync(self) -> None:
        """Have the disk keep what was written, and the file's name. Raises `OSError`; the file is then opened anew,
        because what the disk has of it is unknown."""
        if self._file is None:
            return
        try:
            os.fdatasync(self._file)
            if not self._named:
                _sync_folder(self._folder)
                self._named = True
        except OSError:
            self._release_file()
            raise

    def close(self) -> None:
        """Let go of the file and the chain."""
        self._release_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # --- inside

    def _sealed(self, records: Sequence[Mapping[str, Any]], seq: int, head: str) -> tuple[bytes, int, str]:
        lines = bytearray()
        for record in records:
            seq += 1
            line, head = seal(record, seq, head, self._key)
            lines += line
        return bytes(lines), seq, head

    def _take_chain(self) -> None:
        import fcntl  # not on Windows, where everything but the audit works

        for chain in range(MAX_CHAINS):
            lock = os.open(self._folder / f"audit-{chain}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            except OSError:
                os.close(lock)
                raise
            self._lock, self._chain = lock, chain
            return
        raise AuditError(f"{self._folder}: {MAX_CHAINS} processes write here already; give this one another folder")

    def _go_to_end(self) -> None:
        files = chain_files(self._folder).get(self._chain, [])
        if not files:
            self.seq, self.head = 0, GENESIS
            self._begin_file(1, "start")
            return
        torn = b""
        self._number = int(NAME.fullmatch(files[-1].name)[2])  # type: ignore[index]
        self._open_file(files[-1])
        for path in reversed(files):  # a crash may have come between a file's making and its first line
            last, after = _last_line(path)
            if path is files[-1]:
                torn = after
            if last is not None:
                self.seq, self.head = last["seq"], last["hash"]
                break
        else:
            self.seq, self.head = 0, GENESIS
        mended = [self._move_aside(torn)] if torn else []
        self.append([*mended, self._opened("start")])

    def _move_aside(self, torn: bytes) -> dict[str, Any]:
        """Take the torn tail out of the file; returns the record of it."""
        assert self._file is not None
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.torn-{number}")).exists():
            number += 1
        temporary = aside.with_name(f"{aside.name}.partial")
        copy = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(copy, torn)
            os.fsync(copy)
        finally:
            os.close(copy)
        temporary.rename(aside)
        self._size -= len(torn)
        os.ftruncate(self._file, self._size)
        return {
            "kind": "mended",
            "time": now(),
            "moved_to": aside.name,
            "bytes": len(torn),
            "sha256": hashlib.sha256(torn).hexdigest(),
        }

    def _begin_file(self, number: int, reason: str) -> None:
        """Make the next file of the chain, and write its first line."""
        old = self._file
        path = self._folder / f"audit-{self._chain}-{number:06}.jsonl"
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        line, digest = seal(self._opened(reason), self.seq + 1, self.head, self._key)
        try:
            _write_all(opened, line)
        except OSError:
            os.close(opened)
            path.unlink(missing_ok=True)
            raise
        self._file, self.path, self._number, self._size = opened, path, number, len(line)
        self.seq, self.head = self.seq + 1, digest
        self._named = False
        if old is not None:
            os.close(old)

    def _open_file(self, path: Path) -> None:
        self._release_file()
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self.path, self._size = path, os.fstat(self._file).st_size

    def _opened(self, reason: str) -> dict[str, Any]:
        return {
            "kind": "opened",
            "time": now(),
            "reason": reason,
            "format": FORMAT,
            "guard": __version__,
            "chain": self._chain,
            "hash_is": "sha256" if self._key is None else "hmac-sha256",
            "pid": os.getpid(),
        }

    def _write(self, lines: bytes) -> None:
        assert self._file is not None
        try:
            _write_all(self._file, lines)
        except OSError:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._release_file()  # opened again, the tail is found to be torn
            raise
        self._size += len(lines)

    def _release_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def now() -> str:
    """The time in UTC, to the microsecond (RFC 3339)."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def chain_files(folder: Path) -> dict[int, list[Path]]:
    """The files of each chain in a folder, in order. Raises `OSError`."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        if name := NAME.fullmatch(path.name):
            found.setdefault(int(name[1]), []).append((int(name[2]), path))
    return {chain: [path for _, path in sorted(found[chain])] for chain in sorted(found)}


def _last_line(path: Path) -> tuple[dict[str, Any] | None, bytes]:
    """The record of a file's last whole line, None if it has none, and the bytes after it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(size - LONGEST_LINE, 0)
        file.seek(start)
        tail = file.read()
    end = len(tail)
    while end > 0:
        end = tail.rfind(b"\n", 0, end) + 1
        if end == 0:
            break
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        if begin or not start:
            try:
                return read_line(tail[begin:end]), tail[end:]
            except LineError:
                end -= 1
                continue
        break
    if start:
        raise AuditError(
            f"{path}: its last {LONGEST_LINE} bytes hold no line of an audit; move the file away, and look at it"
        )
    return None, tail


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
