"""Pages in a real browser, without a screen and without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--allow-file-access-from-files", "--virtual-time-budget=10000",
)  # fmt: skip
_FRAME: Final = """<!doctype html><body style="margin:0">
<iframe src="{page}" style="border:0;width:{width}px;height:{height}px"></iframe>
<script>addEventListener("load", () => setTimeout(() => {{
  const inside = document.querySelector("iframe").contentDocument;
  document.body.dataset.width = inside.documentElement.scrollWidth;
  const seen = Object.assign(document.createElement("pre"), {{ id: "seen", textContent: inside.body.innerText }});
  document.body.append(seen);
}}, 1000));</script>"""


def browser() -> str:
    """The program; skips the test where there is none."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here (on Debian: apt-get install chromium)")


def dump(url: str, profile: Path, *, width: int = 1280) -> str:
    """The document at `url` as its own script has left it. `profile` is a new, empty folder for the browser."""
    command = [browser(), *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dump_framed(page: Path, profile: Path, *, width: int, hash: str = "") -> str:
    """A document around `page` at `width`: windows cannot be narrower than 500 pixels, frames can.

    The body's `data-width` is the width that the page takes; the element `seen` holds the text that shows.
    """
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(_FRAME.format(page=page.name + hash, width=width, height=844), encoding="utf-8")
    return dump(frame.as_uri(), profile)
