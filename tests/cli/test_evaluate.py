from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guard.cli import build_app
from tests.support import transcripts
from tests.support.transcripts import looping, record, write

PLAIN = [
    {"id": 1, "text": "poison", "role": "prompt", "harmful": True, "category": "hate"},
    {"id": 2, "text": "fine", "role": "response", "context": "how?", "harmful": False},
    {"id": 3, "text": "also poison", "role": "response", "harmful": True, "category": "hate"},
]


@pytest.fixture(autouse=True)
def _policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    transcripts.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    transcripts.policy(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["evaluate", "--policy", "./house.yaml", "--workers", "2", *arguments])


def test_a_report_on_the_screen_and_in_files() -> None:
    write(Path("in.jsonl"), looping("one"), record("two", "fine"), looping("three"))
    done = run("in.jsonl", "--json", "out.json", "--html", "out.html", "--scores", "scores.jsonl")
    assert done.exit_code == 0, done.output
    assert "in.jsonl: 3 records" in done.stdout
    assert "loop: alarm = a finding of 0.9 or more" in done.stdout
    report = json.loads(Path("out.json").read_text())
    (loop,) = [each for each in report["detectors"] if each["name"] == "loop"]
    every = loop["rows"]["0.9"][0]
    assert (every["positives"], every["hits"], every["clean"], every["alarms"]) == (2, 2, 1, 0)
    assert loop["microseconds_per_token"] > 0
    assert Path("out.html").read_text().startswith("<!doctype html>")
    scores = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert [each["id"] for each in scores] == ["one", "two", "three"]
    assert scores[0]["labels"] == {"loop": True, "language": False, "length": False}
    assert scores[0]["scores"]["loop"] == {"often": 0.9, "never": 0.0}
    assert scores[1]["scores"]["loop"] == {"often": 0.0, "never": 0.0}


def test_records_keep_their_order_on_all_cores() -> None:
    write(Path("in.jsonl"), *(record(f"r{number}", "text " * (number % 7)) for number in range(200)))
    assert run("in.jsonl", "--scores", "scores.jsonl").exit_code == 0
    ids = [json.loads(line)["id"] for line in Path("scores.jsonl").read_text().splitlines()]
    assert ids == [f"r{number}" for number in range(200)]


def test_packed_files_and_plain_text() -> None:
    Path("in.jsonl.xz").write_bytes(lzma.compress(b"".join(json.dumps(each).encode() + b"\n" for each in PLAIN)))
    done = run("in.jsonl.xz", "--scores", "scores.jsonl")
    assert done.exit_code == 0, done.output
    assert "AUPRC 1.000" in done.stdout
    scores = [json.loads(line)["scores"] for line in Path("scores.jsonl").read_text().splitlines()]
    assert [each["hazard"]["violent_crimes"] for each in scores] == [0.9, 0.0, 0.9]
    assert scores[0]["loop"] is None  # the policy does not watch prompts for loops


def test_a_detector_can_be_named_for_harm() -> None:
    write(Path("in.jsonl"), *PLAIN[1:])
    done = run("in.jsonl", "--harm-detector", "language", "--json", "out.json")
    assert done.exit_code == 0, done.output
    subjects = {each["name"]: each["subject"] for each in json.loads(Path("out.json").read_text())["detectors"]}
    assert subjects == {"loop": "loop", "language": "harm", "hazard": "harm"}


def test_what_cannot_be_read_is_said_with_its_line() -> None:
    with write(Path("in.jsonl"), looping(), {"id": 1, "output": "x"}).open("a") as file:
        file.write("no json\n")
    done = run("in.jsonl", "--json", "out.json")
    assert done.exit_code == 1
    assert "in.jsonl:2: has no labels" in done.stderr
    assert "in.jsonl:3: is no labelled record" in done.stderr
    assert json.loads(Path("out.json").read_text())["records"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.jsonl",), "guard: none.jsonl: "),
        (("in.jsonl", "--policy", "nowhere.yaml"), "nowhere.yaml"),
        (("in.jsonl", "--harm-detector", "harm"), "policy house has no detector harm; it has loop, language, hazard"),
        (("in.jsonl", "--json", "no/where.json"), "guard: no"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(arguments: tuple[str, ...], told: str) -> None:
    write(Path("in.jsonl"), looping())
    done = run(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_to_measure_is_no_error() -> None:
    Path("in.jsonl").write_text("\n")
    done = run("in.jsonl", "--html", "out.html")
    assert done.exit_code == 0
    assert "in.jsonl: 0 records" in done.stdout
