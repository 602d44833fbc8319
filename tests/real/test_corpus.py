"""`guard scan` on transcripts of real models: what it finds, what it stops wrongly, how late it is.

By default every labelled loop and a fixed slice of the rest are scanned (twelve seconds of processor time);
GUARD_TEST_CORPUS=all scans all 2,136 records (a minute of it).
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from guard.offline import read_record
from tests.support.guard_process import guard_command
from tests.support.shared import shared

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

CHARS_PER_TOKEN = 3.3
SLICE = 4
"""Of the records that are not labelled as a loop, one in so many is scanned."""
FALSE_STOPS_PER_MTOK = 8.0
"""More than this and the default policy is no longer one to leave on. Measured over all records: 2."""


def load(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_exact(record: Mapping[str, Any]) -> bool:
    return bool(record["labels"].get("loop_kind") == "exact")


def loop_cut(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The cut for a loop that ended the record, if one did."""
    cuts = [act for act in row["actions"] if act["action"] == "cut" and act["detector"] == "loop"]
    return cuts[0] if cuts else None


def delay(record: Mapping[str, Any], cut: Mapping[str, Any]) -> float:
    """Estimated tokens from the labelled start of the loop to the decision; label offsets count the whole output."""
    reasoning, content = read_record(json.dumps(record)).texts()
    lane = reasoning if cut["channel"] == "reasoning" else content
    start = str(record["output"]).find(lane)
    return float(start + cut["at"] - record["labels"]["loop_start"]) / CHARS_PER_TOKEN


def scan(records: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    given, out = folder / "records.jsonl", folder / "decisions.jsonl"
    given.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    done = guard_command("scan", str(given), "--policy", "default", "--out", str(out), "--json", timeout=900)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == len(records)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [record["id"] for record in records]
    return {row["id"]: row for row in rows}


def test_every_exact_loop_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = load(shared("corpus/dev.jsonl.xz"))
    exact = [record for record in everything if is_exact(record)]
    rest = [record for record in everything if not is_exact(record)]
    if os.environ.get("GUARD_TEST_CORPUS") != "all":
        loops = [record for record in rest if record["labels"].get("loop") is True]
        rest = loops + [record for record in rest if record not in loops][::SLICE]
    rows = scan([*exact, *rest], tmp_path)

    missed = [record["id"] for record in exact if rows[record["id"]]["outcome"] != "cut"]
    delays = [
        delay(record, cut)
        for record in exact
        if (cut := loop_cut(rows[record["id"]])) and cut["rule"].startswith("loop")
    ]
    others = [record for record in rest if record["labels"].get("loop") is True]
    found = sum(loop_cut(rows[record["id"]]) is not None for record in others)
    clean = [record for record in rest if record["labels"].get("loop") is False]
    tokens = sum(len(record["output"]) for record in clean) / CHARS_PER_TOKEN
    stopped = [record["id"] for record in clean if loop_cut(rows[record["id"]])]
    rate = len(stopped) / tokens * 1e6
    with capsys.disabled():
        print(
            f"\n  exact loops: {len(exact) - len(missed)} of {len(exact)} cut, "
            f"{median(delays):.0f} tokens (median) and at most {max(delays):.0f} after they began; "
            f"other loops: {found} of {len(others)}; false stops: {len(stopped)} in {tokens / 1e6:.2f} million tokens "
            f"of {len(clean)} records ({rate:.1f} per million)"
        )
    assert len(exact) == 79
    assert missed == []
    assert rate <= FALSE_STOPS_PER_MTOK, stopped
