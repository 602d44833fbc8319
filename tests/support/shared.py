"""Data that lies beside the repository on the machines where the guard is developed, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shared(path: str) -> Path:
    """A file under `../shared`; skips the test, with the reason, where it is absent."""
    found = ROOT.parent / "shared" / path
    if not found.exists():
        pytest.skip(f"needs ../shared/{path}, which is not part of the repository")
    return found
