"""`docs/metrics.md` says what the code exports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from guard.observe.catalogue import CATALOGUE, LABELS
from guard.observe.describe import page
from guard.observe.metrics import Metrics

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    said = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert said == page(), "run: python -m guard.observe.describe > docs/metrics.md"


def test_the_page_is_what_the_module_prints() -> None:
    done = subprocess.run([sys.executable, "-m", "guard.observe.describe"], capture_output=True, check=True, cwd=ROOT)
    assert done.stdout.decode() == page()


def test_every_metric_and_label_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE)
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    assert {name for name in exported if name.startswith("guard_")} <= set(rows)
    assert set(LABELS) <= set(rows)
    assert len(rows) == len(CATALOGUE) + len(LABELS) + sum(spec.kind == "histogram" for spec in CATALOGUE)


def test_a_row_tells_type_labels_unit_and_meaning() -> None:
    assert (
        "| `guard_held_seconds` | histogram | `channel` | seconds "
        "| How long text that left had waited for its verdict; sampled as `held_characters` is. |"
    ) in page()
    assert "| `guard_backend_up` | gauge, least of workers | `backend` |  |" in page()
