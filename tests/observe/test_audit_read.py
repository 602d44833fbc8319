"""Every change of an audit is seen, where it begins, but those that a hash chain cannot show."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.observe.audit_chain import seal
from guard.observe.audit_file import AuditFile, chain_files
from guard.observe.audit_read import Verification, Wanted, parse_time, select, verify
from tests.support.audits import numbered

KEY = b"0123456789abcdef"


def write(folder: Path, *numbers: int, max_bytes: int = 1_500, key: bytes | None = None) -> None:
    file = AuditFile(folder, max_bytes=max_bytes, key=key)
    for number in numbers:
        file.append(numbered(number))
    file.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    write(folder, *range(20))
    return folder


def files_of(folder: Path) -> Sequence[Path]:
    return chain_files(folder)[0]


def problem(found: Verification) -> str:
    (report,) = found.chains
    assert found.whole is not bool(report.problem)
    return report.problem.rpartition("/")[2]


def change(path: Path, line: int, edit: Callable[[list[bytes]], object]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    path.write_bytes(b"".join(lines))


def test_a_whole_audit(folder: Path) -> None:
    found = verify(folder)
    (report,) = found.chains
    assert found.whole
    assert len(files_of(folder)) > 2
    assert (report.files, report.decisions, report.first) == (len(files_of(folder)), 20, 1)
    last = json.loads(files_of(folder)[-1].read_bytes().splitlines()[-1])
    assert (report.head, report.lines, report.until) == (last["hash"], last["seq"], last.get("time", ""))


def swap(lines: list[bytes]) -> None:
    lines[2], lines[3] = lines[3], lines[2]


def forge(lines: list[bytes]) -> None:
    """Change a line and compute its hash anew, as one who knows the format would."""
    old = json.loads(lines[2])
    record = {name: value for name, value in old.items() if name not in ("seq", "prev", "hash")}
    lines[2] = seal({**record, "number": 99}, old["seq"], old["prev"]).line


TAMPERED: dict[str, tuple[Callable[[list[bytes]], object], str]] = {
    "changed": (lambda lines: lines.__setitem__(2, lines[2].replace(b'"number":', b'"nu_ber":')), ":3: was changed"),
    "taken out": (lambda lines: lines.pop(2), ":3: is number 4, but number 3 comes here: lines were taken out"),
    "put in twice": (lambda lines: lines.insert(2, lines[2]), ":4: is number 3, but number 4"),
    "put in": (lambda lines: lines.insert(2, b"{}\n"), ":3: has no number"),
    "swapped": (swap, ":3: is number 4, but number 3"),
    "emptied": (lambda lines: lines.__setitem__(2, b"\n"), ":3: is no JSON"),
    "forged": (forge, ":4: does not follow the line before it"),
    "half": (lambda lines: lines.__setitem__(slice(3, None), [lines[3][:50]]), ":4: breaks off in mid-line"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_done_to_it_is_seen_where_it_begins(folder: Path, name: str) -> None:
    edit, says = TAMPERED[name]
    change(files_of(folder)[0], 0, edit)
    assert problem(verify(folder)).startswith(f"audit-0-000001.jsonl{says}")


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_byte_of_any_file_can_be_changed_unseen(folder: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_of(folder)))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != before[at]))
    path.write_bytes(before[:at] + bytes([byte]) + before[at + 1 :])
    try:
        assert not verify(folder).whole
    finally:
        path.write_bytes(before)


def test_a_file_that_is_missing_in_the_middle(folder: Path) -> None:
    files_of(folder)[1].unlink()
    assert "audit-0-000003.jsonl:1: is number" in problem(verify(folder))


def test_older_files_may_be_moved_away_if_told(folder: Path) -> None:
    files_of(folder)[0].unlink()
    assert "are missing (--partial if they were moved away)" in problem(verify(folder))
    found = verify(folder, partial=True)
    assert found.whole
    assert found.chains[0].first > 1


def test_a_file_of_another_chain(folder: Path) -> None:
    for path in files_of(folder):
        path.rename(path.with_name(path.name.replace("audit-0", "audit-7")))
    assert problem(verify(folder)) == "audit-7-000001.jsonl:1: belongs to chain 0: the file was renamed"


def test_a_chain_that_was_written_anew_is_seen_with_a_key_or_a_hash_noted_down(tmp_path: Path) -> None:
    honest, forged = tmp_path / "honest", tmp_path / "forged"
    write(honest, 1, 2, 3, key=KEY)
    write(forged, 1, 3)
    noted = verify(honest, key=KEY).chains[0].head
    assert verify(forged).whole
    assert not verify(forged, key=KEY).whole
    assert verify(honest, key=KEY, contains=[noted]).whole
    assert verify(forged, contains=[noted]).missing == {noted}
    assert "was changed" in problem(verify(honest))


def test_the_end_can_be_cut_off_unseen_unless_its_hash_was_noted_down(folder: Path) -> None:
    noted = verify(folder).chains[0].head
    change(files_of(folder)[-1], 0, lambda lines: lines.pop())
    assert verify(folder).whole
    assert not verify(folder, contains=[noted]).whole


def test_chains_are_told_apart(folder: Path) -> None:
    one = AuditFile(folder, max_bytes=10_000)
    one.open()
    write(folder, 1, 2)
    one.close()
    change(folder / "audit-1-000001.jsonl", 0, lambda lines: lines.pop(0))
    found = verify(folder)
    assert [(report.chain, bool(report.problem)) for report in found.chains] == [(0, False), (1, True)]


def test_gaps_and_torn_lines_are_told(tmp_path: Path) -> None:
    file = AuditFile(tmp_path, max_bytes=10_000)
    file.append([{"kind": "gap", "lost": 3, "time": "t"}])
    file.close()
    with file.path.open("ab") as handle:
        handle.write(b"{")
    write(tmp_path, 1)
    (report,) = verify(tmp_path).chains
    assert (report.lost, report.mended, report.problem) == (3, 1, "")


def test_progress_reaches_the_end(folder: Path) -> None:
    told: list[int] = []
    verify(folder, progress=told.append)
    assert sum(told) == sum(path.stat().st_size for path in files_of(folder))


# --- selecting

DECISIONS: Sequence[dict[str, Any]] = [
    {"time": "2026-01-01T10:00:00.000000Z", "rule": "a", "detector": "loop", "request_id": "r1", "stream_id": "s1"},
    {"time": "2026-01-01T11:00:00.000000Z", "rule": "b", "detector": "loop", "request_id": "r2", "stream_id": "s2"},
    {"time": "2026-01-01T12:00:00.000000Z", "rule": "b", "detector": "pii", "request_id": "r1", "stream_id": "s3"},
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [0, 1, 2]),
        (Wanted(request="r1"), [0, 2]),
        (Wanted(request="s2"), [1]),
        (Wanted(request="t3"), [2]),
        (Wanted(rules=["b"]), [1, 2]),
        (Wanted(rules=["a", "b"], detectors=["pii"]), [2]),
        (Wanted(since=parse_time("2026-01-01T11:00")), [1, 2]),
        (Wanted(until=parse_time("2026-01-01T11:00")), [0]),
        (Wanted(request="none"), []),
    ],
)
def test_what_is_selected(tmp_path: Path, wanted: Wanted, found: list[int]) -> None:
    first, second = AuditFile(tmp_path, max_bytes=10_000), AuditFile(tmp_path, max_bytes=10_000)
    for number, file in ((1, first), (0, second), (2, second)):
        file.append([{"kind": "decision", "number": number, "trace_id": f"t{number + 1}", **DECISIONS[number]}])
    first.close()
    second.close()
    with first.path.open("ab") as handle:
        handle.write(b"no json\n[]\n")
    assert [record["number"] for record in select(tmp_path, wanted)] == found


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:00.000000Z"),
        ("2026-01-01T10:00:00.5Z", "2026-01-01T10:00:00.500000Z"),
        ("90m", "2026-01-31T10:30:00.000000Z"),
        ("30s", "2026-01-31T11:59:30.000000Z"),
        ("2h", "2026-01-31T10:00:00.000000Z"),
        ("7d", "2026-01-24T12:00:00.000000Z"),
    ],
)
def test_times(text: str, time: str) -> None:
    assert parse_time(text, datetime(2026, 1, 31, 12, tzinfo=UTC)) == time


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "7w", ""])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
