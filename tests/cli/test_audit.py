"""`guard audit`: what it says, and how it exits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guard.cli import audit as commands
from guard.cli import build_app
from guard.observe.audit_file import AuditFile

KEY = "0123456789abcdef"


def decision(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "kind": "decision",
        "time": f"2026-01-01T10:00:{number:02}.000000Z",
        "request_id": f"r{number}",
        "stream_id": f"s{number}",
        "route": "chat",
        "model": "qwq",
        "policy": "house@v1",
        "rule": "loops",
        "detector": "loop",
        "label": "exact",
        "score": 0.9,
        "choice": 0,
        "channel": "content",
        "span": [2, 5],
        "at": 16,
        "action": "cut",
        "done": {"finish": "content_filter"},
        **fields,
    }


def write(folder: Path, records: Sequence[dict[str, Any]], key: bytes | None = None) -> Path:
    file = AuditFile(folder, max_bytes=1 << 20, key=key)
    file.append(records)
    file.close()
    return file.path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    write(folder, [decision(1), decision(2, rule="pii", detector="pii", action="mask"), decision(3)])
    return folder


def guard(*arguments: object, env: dict[str, str] | None = None) -> Result:
    clean = {"GUARD_AUDIT__HMAC_KEY": "", "GUARD_AUDIT__FOLDER": ""}
    done = CliRunner().invoke(build_app(), ["audit", *map(str, arguments)], env={**clean, **(env or {})})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


# --- verify


def test_a_whole_audit(folder: Path) -> None:
    done = guard("verify", folder)
    assert done.exit_code == 0
    assert "chain 0: 4 lines, 3 decisions, 1 files" in done.stdout
    assert "whole, as far as hashes without a key can tell" in done.stdout


def test_the_folder_may_come_from_the_environment(folder: Path) -> None:
    assert guard("verify", env={"GUARD_AUDIT__FOLDER": str(folder)}).exit_code == 0


def test_the_first_broken_line_is_named(folder: Path) -> None:
    path = folder / "audit-0-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"rule":"pii"', b'"rule":"piu"'))
    done = guard("verify", folder)
    assert done.exit_code == 1
    assert f"{path}:3: was changed: its hash is not that of its contents" in done.stdout
    assert "NOT whole" in done.stderr
    told = json.loads(guard("verify", folder, "--json").stdout)
    assert told["whole"] is False
    assert told["chains"][0]["problem"].startswith(f"{path}:3: ")
    assert told["chains"][0]["lines"] == 2


def test_with_a_key(tmp_path: Path) -> None:
    write(tmp_path, [decision(1)], KEY.encode())
    done = guard("verify", tmp_path, env={"GUARD_AUDIT__HMAC_KEY": KEY})
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "whole")
    assert guard("verify", tmp_path).exit_code == 1
    assert guard("verify", tmp_path, env={"GUARD_AUDIT__HMAC_KEY": KEY[::-1]}).exit_code == 1
    assert KEY not in done.stdout


def test_a_hash_that_was_noted_down(folder: Path) -> None:
    head = json.loads(guard("verify", folder, "--json").stdout)["chains"][0]["head"]
    assert guard("verify", folder, "--contains", head).exit_code == 0
    done = guard("verify", folder, "--contains", head, "--contains", "f" * 64)
    assert done.exit_code == 1
    assert f"no line has the hash {'f' * 64}" in done.stdout


def test_older_files_that_were_moved_away(tmp_path: Path) -> None:
    file = AuditFile(tmp_path, max_bytes=600)
    for number in range(3):
        file.append([decision(number)])
    file.close()
    (tmp_path / "audit-0-000001.jsonl").unlink()
    assert guard("verify", tmp_path).exit_code == 1
    done = guard("verify", tmp_path, "--partial")
    assert done.exit_code == 0
    assert ", from number " in done.stdout


def test_progress_is_shown_to_people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_PROGRESS_FROM", 1)
    monkeypatch.setattr("sys.stderr", type("Terminal", (io.StringIO,), {"isatty": lambda _self: True})())
    with commands._progress(100) as progress:
        progress(50)
        progress(50)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "absent"], "absent: cannot be read (No such file or directory); give the folder of an audit"),
        (["verify", "empty"], "empty: holds no audit (no file like audit-0-000001.jsonl)"),
        (["show", "file"], "file: cannot be read (Not a directory)"),
        (["show", "audit", "--since", "soon"], "--since 'soon' is no time; write 2026-01-31T12:00, or an age"),
        (["export", "audit", "--until", "9999999999d"], "--until '9999999999d' is no time"),
        (["export", "audit", "--to", "file"], "file: cannot be written (File exists); give the path of a new file"),
        (["export", "audit", "--to", "absent/x"], "absent/x: cannot be written"),
        (["export", "audit", "--format", "xml"], "xml"),
        (["show", "audit", "--limit", "0"], "--limit"),
        (["verify"], "FOLDER"),
    ],
)
def test_what_cannot_be_done_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("empty").mkdir()
    Path("file").touch()
    done = guard(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""


# --- show and export


def test_decisions_are_shown(folder: Path) -> None:
    done = guard("show", folder)
    assert done.exit_code == 0
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["time", "request", "rule", "finding", "score", "where", "action"]
    assert rows[1].split() == ["2026-01-01", "10:00:02", "r2", "pii", "pii/exact", "0.9", "0/content", "2-5", "mask"]
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        ([], ["r1", "r2", "r3"]),
        (["--request", "r2"], ["r2"]),
        (["--request", "s3"], ["r3"]),
        (["--rule", "loops"], ["r1", "r3"]),
        (["--rule", "loops", "--rule", "pii"], ["r1", "r2", "r3"]),
        (["--detector", "pii"], ["r2"]),
        (["--since", "2026-01-01T10:00:02"], ["r2", "r3"]),
        (["--until", "2026-01-01T10:00:02"], ["r1"]),
        (["--since", "1d"], []),
        (["--limit", "2"], ["r2", "r3"]),
    ],
)
def test_filters(folder: Path, arguments: list[str], requests: list[str]) -> None:
    lines = guard("show", folder, "--json", *arguments).stdout.splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == requests
    if "--limit" not in arguments:
        lines = guard("export", folder, *arguments).stdout.splitlines()
        assert [json.loads(line)["request_id"] for line in lines] == requests


def test_nothing_in_a_file_reaches_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, [decision(1, rule="evil\x1b[2J\n", request_id="\u202e", excerpt="[red]\x1b[31mtext[/red]")])
    shown = guard("show", tmp_path).stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "evil\\x1b[2J" in shown
    assert "[red]\\x1b[31mtext[/red]" in shown


def test_export_as_a_table(tmp_path: Path) -> None:
    folder, file = tmp_path / "audit", tmp_path / "decisions.csv"
    write(folder, [decision(1, model="=cmd|' /C calc'!A0", excerpt='a "quoted", text\nin two lines')])
    done = guard("export", folder, "--format", "csv", "--to", file)
    assert done.stderr == f"1 decisions written to {file}\n"
    (row,) = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))
    assert row["model"] == "'=cmd|' /C calc'!A0"
    assert row["excerpt"] == 'a "quoted", text\nin two lines'
    assert (row["span"], row["done"], row["score"]) == ("[2, 5]", '{"finish": "content_filter"}', "0.9")
    assert len(row["hash"]) == 64


def test_export_as_lines(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    guard("export", folder, "--to", file)
    assert [json.loads(line)["request_id"] for line in file.read_text().splitlines()] == ["r1", "r2", "r3"]
