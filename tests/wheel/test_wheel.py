"""What is shipped: build the wheel, install it elsewhere, and use it from there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
POLICIES = sorted(file.stem for file in (ROOT / "policies").glob("*.yaml"))

pytestmark = pytest.mark.xdist_group("wheel")  # built once, by one process


def run(command: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], target)
    return target


def python(installed: Path, code: str) -> str:
    """Output of `code`, run away from the checkout with the installed copy in front of it."""
    return run([sys.executable, "-c", code], installed.parent, PYTHONPATH=str(installed))


def test_it_holds_the_packages_the_policies_and_the_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"guard", "detectors", "qwq_guard"}
    policies = [Path(name) for name in names if name.startswith("guard/_policies/")]
    assert sorted(file.stem for file in policies if file.suffix == ".yaml") == POLICIES
    assert "guard/_policies/policy.schema.json" in names
    assert {f"guard/evaluate/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"guard/py.typed", "detectors/py.typed"} <= set(names)
    sources = {str(file.relative_to(ROOT)) for top in ("guard", "detectors") for file in (ROOT / top).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources


def test_the_base_install_has_no_model_libraries(wheel: Path) -> None:
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    headers = HeaderParser().parsestr(zipfile.ZipFile(wheel).read(metadata).decode())
    needed = [line for line in headers.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert needed
    assert not [line for line in needed if line.startswith(("torch", "transformers", "presidio"))]
    assert {"transformers", "pii", "dev"} <= set(headers.get_all("Provides-Extra", []))
    assert headers["License-Expression"] == "Apache-2.0"


def test_the_installed_copy_is_the_one_in_use(installed: Path) -> None:
    where = python(installed, "import guard, detectors; print(guard.__file__, detectors.__file__)").split()
    assert [Path(file).parents[1] for file in where] == [installed, installed]


def test_every_detector_loads_by_its_entry_point(installed: Path) -> None:
    code = (
        "from importlib.metadata import entry_points\n"
        "for point in sorted(entry_points(group='guard.detectors')):\n"
        "    print(point.name, ','.join(point.load().labels) or '-')"
    )
    names = {line.split()[0] for line in python(installed, code).splitlines()}
    assert names == {point.name for point in distribution("qwq-guard").entry_points if point.group == "guard.detectors"}
    assert {"loop", "language", "length"} <= names


def test_the_console_script_runs(installed: Path) -> None:
    script = installed / "bin" / "guard"
    told = run([sys.executable, str(script), "--help"], installed.parent, PYTHONPATH=str(installed))
    assert "serve" in told


def test_every_policy_loads_from_the_wheel(installed: Path) -> None:
    assert {"default", "strict", "reasoning", "observe_only"} <= set(POLICIES)
    code = f"from guard.policy.compile import load_policy\nfor name in {POLICIES}: print(load_policy(name).name)"
    assert python(installed, code).split() == POLICIES
