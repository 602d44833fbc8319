"""The suite notices when the engine breaks a promise.

Each patch beside this file breaks one. It is applied to a copy of the sources, and both the engine's example tests and
the properties, each by themselves, have to fail on it. On the copy as it is they have to pass.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATCHES = sorted(HERE.glob("*.patch"))
PROPERTIES = ("engine", "repair")
SUITES = ("examples", "properties")


def selected(suite: str, names: Sequence[str]) -> list[str]:
    """What pytest is told to run. `names` are the files of properties."""
    if suite == "examples":
        return ["tests/engine", "--ignore=tests/engine/test_coverage.py"]
    files = [f"tests/properties/test_{name}.py" for name in names]
    return [*files, *(f"--deselect={file}::test_the_strategies_reach_what_matters" for file in files)]


ELSEWHERE = """
from pathlib import Path

import guard.engine.lane
import tests.support.engine


def test_the_copy_is_what_is_tested() -> None:
    tree = Path(__file__).parents[1]
    assert Path(guard.engine.lane.__file__).is_relative_to(tree)
    assert Path(tests.support.engine.__file__).is_relative_to(tree)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources, without what they were built or cached as."""
    litter = shutil.ignore_patterns("__pycache__", ".*", "golden")
    for part in ("guard", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=litter)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests/test_here.py").write_text(ELSEWHERE, encoding="utf-8")
    return tmp_path


def apply(patch: Path, tree: Path) -> None:
    """Apply a unified diff. Raises `AssertionError` if it does not fit the sources any more."""
    for part in patch.read_text("utf-8").split("diff --git ")[1:]:
        head, *hunks = part.split("\n@@ ")
        file = tree / head.split("\n+++ b/")[1]
        text = file.read_text("utf-8")
        for hunk in hunks:
            lines = hunk.removesuffix("\n").split("\n")[1:]
            old = "\n".join(line[1:] for line in lines if line[:1] != "+")
            new = "\n".join(line[1:] for line in lines if line[:1] != "-")
            assert text.count(old) == 1, f"{patch.name} does not fit {file.name} any more; make it anew"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")


def run(tree: Path, suite: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HYPOTHESIS_"))}
    environment |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "quick"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "tests/test_here.py", *suite]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_the_suite_fails_on(patch: Path, suite: str, tree: Path) -> None:
    apply(patch, tree)
    result = run(tree, selected(suite, ["repair" if "repair" in patch.stem else "engine"]))
    assert result.returncode == 1, result.stdout[-4_000:] + result.stderr
    assert "FAILED tests/engine/" in result.stdout or "FAILED tests/properties/" in result.stdout, result.stdout[
        -4_000:
    ]
    assert "ERROR" not in result.stdout, result.stdout[-4_000:]


@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_passes_on_the_sources_as_they_are(suite: str, tree: Path) -> None:
    result = run(tree, selected(suite, PROPERTIES))
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr


def test_there_are_the_mutants_that_were_promised() -> None:
    assert [patch.stem for patch in PATCHES] == [
        "fed_per_delta",
        "floor_ignored",
        "held_text_leaves_at_repair",
        "history_forgotten_at_repair",
        "lane_not_settled_on_switch",
        "mask_split_at_release",
        "repair_that_fails_fails_the_stream",
        "repairs_without_end",
        "sent_again_after_repair",
        "tail_dropped_at_lane_end",
    ]
