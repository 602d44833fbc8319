from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from guard.cli.jsonl import Line
from guard.cli.parallel import BATCH, batches, map_batches

prepared = ""


def prepare(policy: str) -> None:
    global prepared
    prepared = policy


def describe(lines: list[Line]) -> tuple[str, int, list[int]]:
    return prepared, os.getpid(), [number for number, _ in lines]


def refuse(lines: list[Line]) -> None:
    raise ValueError(f"will not do {len(lines)}")


def some(count: int) -> Iterator[Line]:
    return ((number, b"x") for number in range(1, count + 1))


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 3 * BATCH])
def test_batches_hold_every_line_once(count: int) -> None:
    cut = list(batches(some(count)))
    assert [number for batch in cut for number, _ in batch] == list(range(1, count + 1))
    assert all(len(batch) == BATCH for batch in cut[:-1])


def test_results_come_in_the_order_of_the_lines_from_prepared_processes() -> None:
    done = list(map_batches(some(40 * BATCH), describe, prepare=prepare, arguments=("house",), workers=2))
    assert [number for _, _, numbers in done for number in numbers] == list(range(1, 40 * BATCH + 1))
    assert {policy for policy, _, _ in done} == {"house"}
    assert os.getpid() not in {process for _, process, _ in done}


def test_an_error_in_the_work_is_raised_here() -> None:
    with pytest.raises(ValueError, match="will not do"):
        list(map_batches(some(5), refuse, prepare=prepare, arguments=("",), workers=1))
