"""The tree is at home anywhere: it names no machine it was written on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Written so that no pattern matches its own text.
PLACES = re.compile(
    r"/r[o]ot/|/h[o]me/(?!secret/)[a-z]+/|/w[o]rk/|/f[a]rm/|/[U]sers/[a-z]+/"  # of one machine; `secret` is a test's
    r"|/opt/(wheels|pypi)|pypi[.]org|pythonhosted[.]|npmjs[.]|deb[.]debian[.]|download[.]pytorch[.]"  # registries
    r"|\b(f[a]rm-(bench|studio)|DEV[E]LOPERS\.md|MACH[I]NES\.md|before-st[o]p)\b"  # a workplace's tools
)


def text_files() -> Iterator[tuple[Path, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so it is unknown which files belong to the project")
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        if file.is_file() and not file.is_symlink():
            try:
                yield file, file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_file_names_a_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {match.group()}"
        for file, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := PLACES.search(line))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["/ro" + "ot/x", "/ho" + "me/ann/x", "cd /wo" + "rk/main", "fa" + "rm-bench"])
def test_the_check_sees_them(text: str) -> None:
    assert PLACES.search(text)
