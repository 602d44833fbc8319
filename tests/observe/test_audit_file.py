"""The file grows by whole lines, whatever the disk, a crash or another process does."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.observe.audit_chain import GENESIS
from guard.observe.audit_file import AuditError, AuditFile, chain_files
from tests.support.audits import fill, largest_file, lines, numbered, records, small_disk

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def file(folder: Path) -> Iterator[AuditFile]:
    file = AuditFile(folder, max_bytes=MIB)
    file.open()
    yield file
    file.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(folder: Path) -> list[int]:
    return [record["number"] for record in records(folder)]


def again(folder: Path, max_bytes: int = MIB) -> AuditFile:
    file = AuditFile(folder, max_bytes=max_bytes)
    file.open()
    return file


def test_a_new_chain(file: AuditFile, folder: Path) -> None:
    file.append(numbered(1, 2))
    file.append(numbered(3))
    assert names(folder) == ["audit-0-000001.jsonl", "audit-0.lock"]
    (opened,) = records(folder, "opened")
    assert (opened["seq"], opened["prev"], opened["reason"], opened["chain"]) == (1, GENESIS, "start", 0)
    assert opened["hash_is"] == "sha256"
    assert written(folder) == [1, 2, 3]
    assert (file.seq, file.head) == (4, records(folder)[-1]["hash"])


def test_only_the_owner_may_read_it(file: AuditFile, folder: Path) -> None:
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert oct(file.path.stat().st_mode)[-3:] == "600"


def test_a_later_process_carries_the_chain_on(file: AuditFile, folder: Path) -> None:
    file.append(numbered(1))
    file.close()
    later = again(folder)
    later.append(numbered(2))
    later.close()
    assert names(folder) == ["audit-0-000001.jsonl", "audit-0.lock"]
    assert written(folder) == [1, 2]


def test_the_chain_goes_on_over_files(folder: Path) -> None:
    file = AuditFile(folder, max_bytes=2_000)
    for number in range(40):
        file.append(numbered(number))
    file.close()
    files = chain_files(folder)[0]
    assert len(files) > 3
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert [lines(path)[0]["reason"] for path in files] == ["start"] + ["rotation"] * (len(files) - 1)
    assert written(folder) == [*range(40)]
    later = again(folder, 2_000)
    later.append(numbered(40))
    later.close()
    assert written(folder) == [*range(41)]


def test_lines_longer_than_a_file_are_written_all_the_same(folder: Path) -> None:
    file = AuditFile(folder, max_bytes=1_000)
    for _ in range(3):
        file.append([{"kind": "decision", "number": 0, "long": "x" * 5_000}])
    file.close()
    assert written(folder) == [0, 0, 0]


# --- crashes


@pytest.mark.parametrize("torn", [b"{", b'{"kind":"dec', b"\x00" * 5_000, b"not json\n", b'{"seq":9}\n{"s', b"\n"])
def test_a_torn_tail_is_moved_aside_and_told(file: AuditFile, folder: Path, torn: bytes) -> None:
    file.append(numbered(1, 2))
    file.close()
    with file.path.open("ab") as handle:
        handle.write(torn)
    later = again(folder)
    later.append(numbered(3))
    later.close()
    assert written(folder) == [1, 2, 3]
    (mended,) = records(folder, "mended")
    assert mended["sha256"] == hashlib.sha256(torn).hexdigest()
    assert mended["bytes"] == len(torn)
    assert (folder / mended["moved_to"]).read_bytes() == torn
    assert mended["moved_to"] == "audit-0-000001.torn-1"


def test_every_place_a_write_can_break_off_is_mended(folder: Path) -> None:
    file = again(folder)
    file.append(numbered(1))
    before = file.path.stat().st_size
    file.append(numbered(2))
    file.close()
    whole = file.path.read_bytes()
    for end in range(before + 1, len(whole), 7):
        file.path.write_bytes(whole[:end])
        for extra in folder.glob("*.torn-*"):
            extra.unlink()
        later = again(folder)
        later.append(numbered(3))
        later.close()
        assert written(folder) == [1, 3]
        assert len(records(folder, "mended")) == 1


def test_two_crashes_keep_two_tails(file: AuditFile, folder: Path) -> None:
    file.close()
    for torn in (b"one", b"two"):
        with file.path.open("ab") as handle:
            handle.write(torn)
        again(folder).close()
    assert [mended["moved_to"] for mended in records(folder, "mended")] == [
        "audit-0-000001.torn-1",
        "audit-0-000001.torn-2",
    ]


def test_a_crash_between_a_file_and_its_first_line(folder: Path) -> None:
    file = again(folder)
    file.append(numbered(1))
    file.close()
    (folder / "audit-0-000002.jsonl").write_bytes(b"")
    later = again(folder)
    later.append(numbered(2))
    later.close()
    assert written(folder) == [1, 2]
    assert later.path.name == "audit-0-000002.jsonl"


def test_a_file_that_was_never_an_audit_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    path = folder / "audit-0-000001.jsonl"
    path.write_bytes(b"x" * (3 * MIB))
    with pytest.raises(AuditError, match="hold no line of an audit; move the file away"):
        AuditFile(folder, max_bytes=MIB).open()
    assert path.stat().st_size == 3 * MIB


KILLED = """
import os, signal, sys
from pathlib import Path
from guard.observe.audit_file import AuditFile
file = AuditFile(Path(sys.argv[1]), max_bytes=20_000)
print("ready", flush=True)
for number in range(1_000_000):
    file.append([{"kind": "decision", "number": number}])
    print(number, flush=True)
"""


def test_what_was_appended_survives_a_kill(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        while said.readline().strip() != "300":
            pass
        process.kill()
        last = int(([300] + [int(line) for line in said.read().split()])[-1])
    process.wait()
    again(folder).close()
    numbers = written(folder)
    assert numbers == [*range(len(numbers))]
    assert len(numbers) > last


# --- disks that fail


def test_a_write_that_fails_leaves_no_half_line(file: AuditFile, folder: Path) -> None:
    file.append(numbered(1))
    size = file.path.stat().st_size
    with largest_file(size + 40), pytest.raises(OSError, match="too large"):
        file.append(numbered(2))
    assert file.path.stat().st_size == size
    file.append(numbered(3))
    assert written(folder) == [1, 3]


def test_rotation_onto_a_full_disk_can_be_tried_again(folder: Path) -> None:
    file = AuditFile(folder, max_bytes=1_000)
    file.append(numbered(1))
    with largest_file(10):
        for _ in range(3):
            with pytest.raises(OSError, match="too large"):
                file.append([{"kind": "decision", "number": 2, "long": "x" * 900}])
    file.append([{"kind": "decision", "number": 2, "long": "x" * 900}])
    file.close()
    assert written(folder) == [1, 2]
    assert names(folder) == ["audit-0-000001.jsonl", "audit-0-000002.jsonl", "audit-0.lock"]


def fits(file: AuditFile, number: int) -> bool:
    try:
        file.append(numbered(number))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        file = again(disk / "audit")
        file.append(numbered(1))
        filler = fill(disk)
        number = 2
        while fits(file, number):  # the last page of the file still takes some
            number += 1
            assert number < 200
        filler.unlink()
        file.append(numbered(number))
        file.close()
        assert written(disk / "audit") == [*range(1, number + 1)]


def test_a_torn_tail_on_a_full_disk_waits(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        file = again(disk / "audit")
        file.append(numbered(1))
        file.close()
        with file.path.open("ab") as handle:
            handle.write(b'{"torn')
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left"):
            again(disk / "audit")
        assert file.path.read_bytes().endswith(b'{"torn')
        filler.unlink()
        again(disk / "audit").close()
        assert len(records(disk / "audit", "mended")) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        AuditFile(tmp_path / "file" / "audit", max_bytes=MIB).open()


def test_sync_reaches_the_disk_and_the_folder(file: AuditFile, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def told(handle: int, real: object = real) -> None:
            synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
            real(handle)  # type: ignore[operator]

        monkeypatch.setattr(os, name, told)
    file.append(numbered(1))
    file.sync()
    file.append(numbered(2))
    file.sync()
    assert synced == ["audit-0-000001.jsonl", "audit", "audit-0-000001.jsonl"]


# --- several processes


def _child(folder: Path, count: int) -> None:
    file = AuditFile(folder, max_bytes=5_000)
    for number in range(count):
        file.append([{"kind": "decision", "number": number, "pid": os.getpid()}])


def test_processes_write_chains_of_their_own(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    first = again(folder)
    children = [context.Process(target=_child, args=(folder, 50)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    first.append(numbered(0))
    first.close()
    chains = chain_files(folder)
    assert 0 in chains
    assert len(chains) in (2, 3)  # the second child may come after the first has gone, and carry on its chain
    assert len(written(folder)) == 101


def test_a_chain_that_was_let_go_is_taken_up(folder: Path) -> None:
    one, two = again(folder), again(folder)
    assert [path.name for path in (one.path, two.path)] == ["audit-0-000001.jsonl", "audit-1-000001.jsonl"]
    one.close()
    three = again(folder)
    assert three.path == one.path
    three.close()
    two.close()


def test_names_of_other_files_are_no_chains(folder: Path) -> None:
    folder.mkdir()
    for name in ("audit-0.lock", "audit-0-000001.torn-1", "audit-x-000001.jsonl", "notes.txt", "audit-10-000001.jsonl"):
        (folder / name).touch()
    (folder / "audit-2-1000000.jsonl").touch()
    (folder / "audit-2-999999.jsonl").touch()
    found = {chain: [path.name for path in files] for chain, files in chain_files(folder).items()}
    assert found == {2: ["audit-2-999999.jsonl", "audit-2-1000000.jsonl"], 10: ["audit-10-000001.jsonl"]}


def test_lines_are_ascii_so_a_terminal_may_show_them(file: AuditFile) -> None:
    file.append([{"kind": "decision", "model": "evil\n\x1b[2J\u2028\u202e\x9b你"}])
    assert file.path.read_bytes().isascii()
    assert b"\x1b" not in file.path.read_bytes()
    assert len(file.path.read_bytes().splitlines()) == 2
    assert json.loads(file.path.read_bytes().splitlines()[1])["model"] == "evil\n\x1b[2J\u2028\u202e\x9b你"
