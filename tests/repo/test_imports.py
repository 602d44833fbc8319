"""Who imports whom, and what a plain import does not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("fastapi", "pydantic", "prometheus_client", "torch", "transformers", "presidio_analyzer", "numpy")
IMPURE = ("asyncio", "threading", "time", "logging", "socket", "httpx", "aiohttp", "yaml", "msgspec", "structlog")


def loaded_by(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter without `site` loads for `statement`."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    # -S, because what `site` loads (editable installs' hooks) would hide what we load
    paths = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def roots(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    "statement", ["import guard", "import guard.cli", "import guard.engine.stream", "import detectors"]
)
def test_a_plain_import_loads_nothing_heavy(statement: str) -> None:
    modules = loaded_by(statement)
    assert not roots(modules) & set(HEAVY)


@pytest.mark.parametrize("statement", ["import guard", "import guard.contract, guard.events, guard.engine.stream"])
def test_the_engine_loads_nothing_impure(statement: str) -> None:
    modules = loaded_by(statement)
    assert not roots(modules) & set(IMPURE)
    assert roots(modules) <= {"guard", *sys.stdlib_module_names}


def test_the_check_sees_what_is_loaded() -> None:
    assert {"pydantic", "yaml"} <= roots(loaded_by("import guard.settings"))


def test_import_contracts_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
