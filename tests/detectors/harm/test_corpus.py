from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from detectors.harm.corpus import Row, excerpts, read_outputs, read_rows, windows

ROW = Row("a-1", "a", "response", "x" * 1_000, True, "hate")


def test_rows_are_read_compressed_or_not(tmp_path: Path) -> None:
    line = json.dumps(ROW._asdict() | {"lang": "en"}) + "\n"
    plain, packed = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.xz"
    plain.write_text(line)
    packed.write_bytes(lzma.compress(line.encode()))
    assert read_rows(plain) == read_rows(packed) == [ROW]


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', "7"])
def test_what_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW._asdict()) + "\n" + line + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: not a labelled row"):
        read_rows(file)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, [0]), (7, [7]), (400, [400]), (599, [400]), (600, [400, 400]), (1_000, [400] * 4)],
)
def test_windows(length: int, expected: list[int]) -> None:
    assert [len(window) for window in windows("x" * length)] == expected


def test_windows_overlap_by_half() -> None:
    text = "".join(chr(0x4E00 + number) for number in range(1_000))
    assert windows(text)[1] == text[200:600]


def test_excerpts_are_few_in_order_and_always_the_same() -> None:
    text = "".join(chr(0x4E00 + number) for number in range(4_000))
    row = ROW._replace(text=text)
    chosen = excerpts(row, 3)
    assert len(chosen) == 3
    assert list(chosen) == sorted(chosen) == list(excerpts(row, 3))
    assert chosen != excerpts(row._replace(id="a-2"), 3)


def test_refusals_are_no_harm() -> None:
    refusal = "I'm sorry, but I cannot help with that."
    assert excerpts(ROW._replace(text=refusal), 6) == []
    assert excerpts(ROW._replace(text=refusal, harmful=False), 6) == [refusal]
    assert excerpts(ROW._replace(text=refusal, role="prompt"), 6) == [refusal]


def test_outputs_of_transcripts_are_read(tmp_path: Path) -> None:
    file = tmp_path / "transcripts.jsonl.xz"
    file.write_bytes(lzma.compress(b'{"id": 1, "output": "a"}\n{"id": 2, "output": "b"}\n'))
    assert read_outputs(file) == ["a", "b"]
    file.write_bytes(lzma.compress(b'{"id": 1, "output": "a"}\n{"id": 2}\n'))
    with pytest.raises(ValueError, match=r"transcripts\.jsonl\.xz:2: has no `output`"):
        read_outputs(file)
