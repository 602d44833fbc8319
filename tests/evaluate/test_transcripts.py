from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

from guard.evaluate.labels import Labelled, Subject, Truth, read_labelled
from guard.evaluate.report import Report, build_report
from guard.evaluate.transcripts import PROMPT, entries_of
from tests.support.measured import measured, result
from tests.support.transcripts import record

LOOP = Truth(positive=True, kind="exact", onset=40)
CLEAN = Truth(positive=False)
RECORDS = [
    measured(1, CLEAN, loop=result()),
    measured(2, CLEAN, loop=result(50, score=0.5)),
    measured(3, LOOP, loop=result(50)),
    measured(4, LOOP, loop=result()),
    measured(5, CLEAN, loop=result(50)),
    measured(6, Truth(positive=None, note="who knows"), loop=result()),
]


def report() -> Report:
    subjects = {"loop": Subject.LOOP}
    return build_report(RECORDS, file="", policy="", policy_version="", subjects=subjects, costs={})


class Texts:
    """Gives every wanted record the same text, and remembers what was wanted."""

    def __init__(self, **record: Any) -> None:
        self.wanted: set[int] = set()
        self.record = record

    def __call__(self, wanted: set[int]) -> Iterator[tuple[int, Labelled]]:
        self.wanted = wanted
        for line in sorted(wanted):
            yield line, read_labelled(json.dumps(record(f"r{line}", "<think>häh</think>so", **self.record)))


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def test_the_most_interesting_come_first() -> None:
    entries = entries_of(report(), RECORDS, Texts(), 10_000)
    assert [each["line"] for each in entries] == [4, 5, 3, 6, 2, 1]


def test_what_does_not_fit_is_left_out_from_the_end() -> None:
    size = len(entries_of(report(), RECORDS, Texts(), 10_000)[0]["text"])
    entries = entries_of(report(), RECORDS, Texts(), 2 * size + size // 2)
    assert [each["line"] for each in entries] == [4, 5]


def test_texts_that_cannot_fit_are_not_read() -> None:
    texts = Texts()
    entries_of(report(), RECORDS, texts, 100)  # records are 330 characters long; a byte holds 4 at most
    assert texts.wanted == {4, 5}


def test_an_entry_tells_where_things_are() -> None:
    (entry,) = [each for each in entries_of(report(), RECORDS, Texts(), 10_000) if each["line"] == 3]
    assert entry["truths"] == [["loop", True, "exact", ""]]
    assert entry["onsets"] == [["loop", 40]]
    assert entry["findings"] == [["loop", 0.9, 49, 50, 0, 50, 50, "exact 0.90 (period 7)"]]
    assert entry["told"] == []


def test_what_is_wrong_is_told() -> None:
    told = {each["line"]: each["told"] for each in entries_of(report(), RECORDS, Texts(), 10_000)}
    assert told[4] == [["loop", "missed", "content:40", "nothing found"]]
    assert told[5] == [["loop", "false", "content:50", "exact 0.90 (period 7)"]]
    assert told[6] == [["loop", "grey", "", "who knows"]]


def test_texts_come_out_as_they_went_in() -> None:
    entry = entries_of(report(), RECORDS, Texts(prompt="How?"), 10_000)[0]
    assert unpacked(entry["text"]) == {"prompt": "How?", "lanes": [["reasoning", "häh"], ["content", "so"]]}


def test_long_prompts_are_cut() -> None:
    entry = entries_of(report(), RECORDS, Texts(prompt="x" * (PROMPT + 1_234)), 10_000)[0]
    assert unpacked(entry["text"])["prompt"] == "x" * PROMPT + " … and 1,234 more characters"
