"""Every source file has its test file, at the same place under `tests/`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXEMPT: Mapping[str, str] = {}
"""Source files without a twin, and why. Entries are only ever removed."""


def sources() -> Iterator[Path]:
    for package in ("guard", "detectors"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.name != "__init__.py" or holds_code(file):
                yield file.relative_to(ROOT)


def holds_code(file: Path) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def twin(source: Path) -> Path:
    """guard/a/_b.py -> tests/a/test_b.py; detectors/x/y.py -> tests/detectors/x/test_y.py; a package is named by its
    folder."""
    inside = source if source.parts[0] == "detectors" else source.relative_to("guard")
    stem = inside.parent.name if inside.name == "__init__.py" else inside.stem
    return Path("tests") / inside.parent / f"test_{stem.lstrip('_')}.py"


def test_every_source_file_has_its_twin() -> None:
    missing = [f"{source} wants {twin(source)}" for source in sources() if not (ROOT / twin(source)).is_file()]
    assert [line for line in missing if line.split()[0] not in EXEMPT] == []


def test_no_exemption_outlives_its_need() -> None:
    assert [name for name in EXEMPT if not (ROOT / name).is_file() or (ROOT / twin(Path(name))).is_file()] == []


def test_where_twins_are_looked_for() -> None:
    assert twin(Path("guard/contract.py")) == Path("tests/test_contract.py")
    assert twin(Path("guard/wire/sse.py")) == Path("tests/wire/test_sse.py")
    assert twin(Path("guard/cli/__init__.py")) == Path("tests/cli/test_cli.py")
    assert twin(Path("detectors/_grid.py")) == Path("tests/detectors/test_grid.py")
    assert twin(Path("detectors/loop/exact.py")) == Path("tests/detectors/loop/test_exact.py")
