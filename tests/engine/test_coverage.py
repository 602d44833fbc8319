"""The engine's tests take every branch of the contract, the events and the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = [ROOT / "tests/test_contract.py", ROOT / "tests/test_events.py", ROOT / "tests/engine"]


def test_every_branch_is_taken(tmp_path: Path) -> None:
    coverage = [sys.executable, "-m", "coverage"]
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}
    measured = "--source=guard.contract,guard.events,guard.engine"
    run = [*coverage, "run", "--branch", measured, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    skipped = f"--ignore={Path(__file__)}"
    tests = subprocess.run(
        [*run, skipped, *map(str, TESTS)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert tests.returncode == 0, tests.stdout[-4_000:] + tests.stderr
    report = subprocess.run(
        [*coverage, "report", "--show-missing", "--skip-covered", "--fail-under=100"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.returncode == 0, report.stdout + report.stderr
