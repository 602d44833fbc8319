from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.guard_process import guard_command

POLICY = """
policy_version: 1
name: house
detectors: {length: {content_characters: {soft: 20, hard: 40}}}
rules:
  - {id: longish, when: {detector: length, label: soft_budget}, do: flag}
  - {id: long, when: {detector: length, label: hard_budget}, do: {cut: {finish: length}}}
"""
FINE: dict[str, Any] = {"id": "fine", "output": "Hello."}
LONGISH: dict[str, Any] = {"id": "longish", "reasoning": "Hm.", "content": "word " * 6}
LONG: dict[str, Any] = {"id": 3, "prompt": "Hi", "output": "<think>Hm.</think>" + "word " * 30, "model": "m"}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "house.yaml").write_text(POLICY)
    return tmp_path


def lines(*records: dict[str, Any] | str) -> bytes:
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records).encode()


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.xz"])
@pytest.mark.parametrize("workers", [1, 2])
def test_decisions_are_written_in_the_order_of_the_records(house: Path, name: str, workers: int) -> None:
    records = [FINE, LONGISH, LONG, *({**FINE, "id": number} for number in range(50))]
    data = lines(*records)
    (house / name).write_bytes(lzma.compress(data) if name.endswith(".xz") else data)
    out = house / "out.jsonl"
    options = ["--policy", str(house / "house.yaml"), "--out", str(out), "--workers", str(workers), "--json"]
    done = guard_command("scan", str(house / name), *options)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    assert [row["outcome"] for row in rows[:3]] == ["passed", "flagged", "cut"]
    (action,) = [action for action in rows[2]["actions"] if action["action"] == "cut"]
    assert {name: action[name] for name in ("rule", "detector", "label", "channel")} == {
        "rule": "long",
        "detector": "length",
        "label": "hard_budget",
        "channel": "content",
    }
    assert set(action) == {"rule", "action", "detector", "label", "channel", "span", "at"}
    assert set(rows[2]["findings"][0]) == {"detector", "label", "score", "channel", "span", "evidence", "at"}
    assert rows[2]["released"] == {"reasoning": 3, "content": action["span"][0]}
    summary = json.loads(done.stdout)
    assert (summary["policy"], summary["records"], summary["unreadable"]) == ("house", 53, 0)
    assert summary["outcomes"] == {"passed": 51, "flagged": 1, "cut": 1}
    assert summary["rules"] == {"longish": 2, "long": 1}


def test_bad_lines_are_told_and_the_others_processed(house: Path) -> None:
    (house / "records.jsonl").write_bytes(lines(FINE, "nonsense", "", {"id": 1}, '{"output": "x"}', LONG))
    out = house / "out.jsonl"
    done = guard_command("scan", "records.jsonl", "--policy", "house.yaml", "--out", "out.jsonl", "--json", cwd=house)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("records.jsonl:")]
    assert [line.split(": ")[0] for line in told] == ["records.jsonl:2", "records.jsonl:4", "records.jsonl:5"]
    assert "has no text" in told[1]
    assert "`id`" in told[2]
    assert "Traceback" not in done.stderr
    assert [json.loads(line)["id"] for line in out.read_bytes().splitlines()] == ["fine", 3]
    assert json.loads(done.stdout)["unreadable"] == 3


def test_many_bad_lines_are_not_all_told(house: Path) -> None:
    (house / "records.jsonl").write_bytes(b"nonsense\n" * 100)
    done = guard_command("scan", "records.jsonl", "--policy", "house.yaml", cwd=house)
    assert done.returncode == 1
    assert done.stderr.count("is no record") == 20
    assert "... and 80 more" in done.stderr


def test_a_person_reads_a_table(house: Path) -> None:
    (house / "records.jsonl").write_bytes(lines(FINE, LONGISH, LONG, FINE))
    done = guard_command(
        "scan", "records.jsonl", "--policy", "house.yaml", "--out", "out.jsonl", cwd=house, env={"COLUMNS": "100"}
    )
    assert done.returncode == 0
    assert "4 records under policy house" in done.stdout
    assert "50.0%" in done.stdout
    assert "long: 1 records" in done.stdout
    assert "Decisions are in out.jsonl" in done.stdout


def test_an_empty_file_is_no_error(house: Path) -> None:
    (house / "records.jsonl").write_bytes(b"")
    done = guard_command("scan", "records.jsonl", "--policy", "house.yaml", "--json", cwd=house)
    assert done.returncode == 0
    assert json.loads(done.stdout)["records"] == 0


def test_a_file_that_breaks_off_leaves_no_report(house: Path) -> None:
    (house / "records.jsonl.xz").write_bytes(lzma.compress(lines(*[FINE] * 1_000))[:-20])
    done = guard_command("scan", "records.jsonl.xz", "--policy", "house.yaml", "--out", "out.jsonl", cwd=house)
    assert done.returncode == 2
    assert "guard: records.jsonl.xz: " in done.stderr
    assert sorted(path.name for path in house.iterdir()) == ["house.yaml", "records.jsonl.xz"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.jsonl"], "guard: absent.jsonl: No such file or directory"),
        (["."], "guard: .: Is a directory"),
        (
            ["house.yaml", "--out", "no/such/folder/out.jsonl"],
            "guard: no/such/folder/out.jsonl: No such file or directory",
        ),
        (["house.yaml", "--out", "house.yaml/out.jsonl"], "guard: house.yaml/out.jsonl: Not a directory"),
        (["text.xz"], "guard: text.xz: Input format not supported by decoder"),
        (["house.yaml", "--policy", "no_such_policy"], "no_such_policy"),
        (["house.yaml", "--policy", "broken.yaml"], "broken.yaml:2"),
        (["house.yaml", "--policy", "absent.yaml"], "absent.yaml"),
        (["house.yaml", "--workers", "-1"], "--workers"),
        ([], "Missing argument 'file'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(house: Path, arguments: list[str], says: str) -> None:
    (house / "text.xz").write_text("no xz at all")
    (house / "broken.yaml").write_text("policy_version: 1\nname: [house\n")
    if "--policy" not in arguments:
        arguments = [*arguments, "--policy", "house.yaml"]
    before = sorted(house.iterdir())
    done = guard_command("scan", *arguments, cwd=house)
    assert done.returncode == 2, done
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "should not have happened" not in done.stderr
    assert sorted(house.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_told(house: Path) -> None:
    (house / "records.jsonl").write_bytes(lines(FINE))
    locked = house / "locked"
    locked.mkdir(mode=0o500)
    done = guard_command("scan", "records.jsonl", "--policy", "house.yaml", "--out", "locked/out.jsonl", cwd=house)
    assert done.returncode == 2
    assert "guard: locked/out.jsonl: Permission denied" in done.stderr


def test_a_detector_that_cannot_load_is_one_sentence(house: Path) -> None:
    (house / "records.jsonl").write_bytes(lines(FINE))
    (house / "needy.yaml").write_text(
        "policy_version: 1\nname: needy\ndetectors: {length: {tokenizer: ./absent.json, content_tokens: {hard: 9}}}\n"
    )
    done = guard_command("scan", "records.jsonl", "--policy", "needy.yaml", cwd=house)
    assert done.returncode == 1
    assert "`length` cannot load" in done.stderr
    assert "Traceback" not in done.stderr
