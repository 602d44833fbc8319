"""The unit is one that systemd takes, closes what can be closed, and runs a command that exists."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from guard.settings import Settings
from tests.support.guard_process import guard_command

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "qwq-guard.service"
TEXT = UNIT.read_text(encoding="utf-8")


def read() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)  # a key may come again
    parser.read_string(TEXT)
    return parser


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed, so the unit goes unchecked")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    assert TEXT.count("ExecStart=/opt/qwq-guard/bin/guard ") == 1
    file = tmp_path / "qwq-guard.service"
    file.write_text(TEXT.replace("/opt/qwq-guard/bin/guard", "/bin/true"))
    return file


def test_systemd_takes_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert done.returncode == 0, done.stderr
    assert "qwq-guard.service" not in done.stderr


def test_a_line_that_systemd_does_not_know_is_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(unit)).stderr


def test_it_is_closed_as_far_as_it_can_be(unit: Path) -> None:
    """systemd's own measure of exposure, from 0 to 10; below 2 it says OK."""
    done = analyze("security", "--offline=yes", "--threshold=20", str(unit))
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not installed")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_it_runs_a_command_that_exists(tmp_path: Path) -> None:
    service = read()["Service"]
    program, *arguments = service["ExecStart"].split()
    assert Path(program).name == "guard"
    (tmp_path / "guard.yaml").write_text("workers: 2\nupstream: {url: http://127.0.0.1:8000}\n")
    arguments = [str(tmp_path / "guard.yaml") if each.endswith("guard.yaml") else each for each in arguments]
    assert guard_command(*arguments, "--print-config").returncode == 0


def test_it_waits_for_a_drain_and_not_for_a_typing_error() -> None:
    service = read()["Service"]
    assert float(service["TimeoutStopSec"]) > Settings.load(env={}).drain
    assert service["KillMode"] == "mixed"  # SIGTERM to the parent alone, which tells its workers
    assert service["RestartPreventExitStatus"] == "2"
    assert "-HUP" in service["ExecReload"]
