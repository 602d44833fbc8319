"""Labelled texts as the training script reads them, and the excerpts it learns from.

A row is a JSON object with `id`, `source`, `role` (prompt or response), `text`, `harmful` and `category`; a file has
one on each line and may be compressed with xz.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from detectors.harm.detector import STEP, WINDOW

_REFUSAL: Final = re.compile(
    r"\b(?:I (?:cannot|can['’]t|won['’]t|am not able|am unable)|I['’]m (?:sorry|unable|not able|just an AI)|as an AI\b"
    r"|I apologi[sz]e|not appropriate|cannot fulfill|can['’]t assist|unethical|against the law)",
    re.IGNORECASE,
)
"""Harmful answers begin with such sentences and end with them; they are not what is harmful about them."""


class Row(NamedTuple):
    """One labelled text."""

    id: str
    source: str
    role: str
    text: str
    harmful: bool
    category: str


def read_rows(path: Path) -> list[Row]:
    """The rows of a file. Raises `ValueError` that names the line where something is not as it should be."""
    rows = []
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                rows.append(Row(**{name: fields[name] for name in Row._fields}))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number}: not a labelled row: {error!r}") from error
    return rows


def read_outputs(path: Path) -> list[str]:
    """The outputs of transcripts. Raises `ValueError` that names the line where there is none."""
    outputs = []
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                outputs.append(str(json.loads(line)["output"]))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number}: has no `output`: {error!r}") from error
    return outputs


def windows(text: str) -> list[str]:
    """`text` in windows as the detector scores them, without the last, partial step of a long text."""
    return [text[start : start + WINDOW] for start in range(0, max(1, len(text) - WINDOW + 1), STEP)]


def excerpts(row: Row, most: int) -> Sequence[str]:
    """At most `most` windows of a row, chosen by its id; refusals inside a harmful answer are left out."""
    found = windows(row.text)
    if row.harmful and row.role == "response":
        found = [window for window in found if not _REFUSAL.search(window)]
    ranked = sorted(range(len(found)), key=lambda number: hashlib.sha256(f"{row.id} {number}".encode()).digest())
    return [found[number] for number in sorted(ranked[:most])]
