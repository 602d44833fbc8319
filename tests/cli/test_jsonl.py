from __future__ import annotations

import lzma
import os
from pathlib import Path

import pytest

from guard.cli.jsonl import UNREADABLE, follow, read_lines, unreadable, write_whole

LINES = b'{"a": 1}\n\n   \n{"b": 2}\n'


@pytest.mark.parametrize("name", ["plain.jsonl", "packed.jsonl.xz"])
def test_lines_keep_their_numbers_and_blank_ones_are_skipped(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(lzma.compress(LINES) if name.endswith(".xz") else LINES)
    expected = [(1, b'{"a": 1}\n'), (4, b'{"b": 2}\n')]
    assert list(read_lines(file)) == expected
    with follow(file, "reading") as (lines, advance):
        assert list(lines) == expected
        advance(2)


def test_the_bar_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(LINES)
    with follow(file, "weighing") as (lines, advance):
        advance(len(list(lines)))
    said = capsys.readouterr()
    assert said.out == ""
    assert "weighing" in said.err
    assert "2 records" in said.err


@pytest.mark.parametrize("content", [b"no xz at all", lzma.compress(LINES)[:-8], None])
def test_what_cannot_be_read_raises_what_is_promised(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "bad.jsonl.xz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UNREADABLE):
        list(read_lines(file))


def test_a_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with write_whole(out) as file:
        file.write(b"one\n")
        assert not out.exists()
    assert out.read_bytes() == b"one\n"


def write_and_fail(out: Path) -> None:
    with write_whole(out) as file:
        file.write(b"new\n")
        raise RuntimeError


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"old\n")
    with pytest.raises(RuntimeError):
        write_and_fail(out)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old\n"]


def test_no_file_is_wanted() -> None:
    with write_whole(None) as file:
        file.write(b"gone\n")


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with write_whole(pipe) as file:
            file.write(b"one\n")
        assert os.read(reader, 100) == b"one\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_goes_on_pointing_to_the_file(tmp_path: Path) -> None:
    target = tmp_path / "target.jsonl"
    target.write_bytes(b"old\n")
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    with write_whole(link) as file:
        file.write(b"new\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.jsonl"), "a.jsonl: No such file or directory"),
        (OSError(28, "No space left on device"), "given.jsonl: No space left on device"),
        (lzma.LZMAError("Corrupt input data"), "given.jsonl: Corrupt input data"),
        (EOFError("Ended early"), "given.jsonl: Ended early"),
    ],
)
def test_what_went_wrong_is_one_line(error: Exception, says: str) -> None:
    assert unreadable(error, Path("given.jsonl")) == says
