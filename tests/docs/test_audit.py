"""docs/audit.md: its settings load, its commands run, and its program checks a real audit."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from guard.cli import build_app
from guard.observe.audit_chain import unseal
from guard.observe.audit_file import AuditFile
from guard.settings import Audit, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    record = {name: value for name, value in json.loads(block("json")).items() if name not in ("seq", "prev", "hash")}
    file = AuditFile(tmp_path / "audit", max_bytes=1 << 20)
    file.append([record])
    file.close()
    return tmp_path / "audit"


def test_its_settings_load_and_are_all(tmp_path: Path) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text(block("yaml"))
    given = yaml.safe_load(block("yaml"))["audit"]
    assert Settings.load(file, env={}).audit.folder == Path(given["folder"])
    assert {**given, "hmac_key": None}.keys() == Audit.model_fields.keys()
    table = PAGE.partition("| setting | meaning |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == Audit.model_fields.keys()
    assert all(
        given[name] == value
        for name, value in Audit().model_dump().items()
        if name not in ("folder", "hmac_key", "max_bytes")
    )


@pytest.mark.parametrize("command", block("sh").splitlines())
def test_its_commands_run(folder: Path, command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "guard"
    done = CliRunner().invoke(build_app(), arguments, env={"GUARD_AUDIT__HMAC_KEY": ""})
    assert done.exit_code == 0, done.output


def test_its_program_checks_an_audit(folder: Path) -> None:
    run = [sys.executable, "-c", block("python"), str(folder)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stdout == "whole up to 2\n", done.stderr
    path = folder / "audit-0-000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"qwq-32b", b"qwq-33b"))
    assert subprocess.run(run, capture_output=True, check=False).returncode == 1


def test_its_line_is_one_and_every_key_is_explained() -> None:
    record = unseal(block("json").encode())
    said = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert record.keys() - {"kind"} <= said
