from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

import guard
from guard import cli

GUARD = [sys.executable, "-c", "from guard.cli import main; main()"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GUARD, *arguments], capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(f"\n  {name}" in done.stdout for name in cli.COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'pydantic', 'yaml', 'torch', 'fastapi', 'httpx', 'prometheus_client', 'msgspec'}"
    code = f"import sys, guard.cli; guard.cli.build_app(); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"guard {guard.__version__}\n"


@pytest.mark.parametrize("arguments", [["chekc"], ["check", "--jsno"], ["--verison"], ["check"]])
def test_wrong_usage_is_told_and_exits_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Usage: " in done.stderr


def test_what_should_not_have_happened_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv("GUARD_DEBUG", raising=False)
    monkeypatch.setattr(cli, "build_app", lambda: broken)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert "this should not have happened: ZeroDivisionError: division by zero" in str(caught.value)
    monkeypatch.setenv("GUARD_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_ctrl_c_exits_as_a_shell_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build_app", lambda: interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{shlex.join(GUARD)} check --schema | head -c 10"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
