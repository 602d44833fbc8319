from __future__ import annotations

import random

import pytest

from detectors._grid import GridTail
from detectors.loop.exact import Run, TailPeriod, run_length


def prose(length: int, seed: int = 1) -> str:
    """Text without repeats of 32 characters."""
    return "".join(random.Random(seed).choices("abcdefghij klmnopq", k=length))


def runs(text: str, longest: int = 16_000) -> list[Run | None]:
    period = TailPeriod(longest)
    tail = GridTail(step=64, keep=period.window)
    return [period.look(tail.text, end) for end in tail.grow(text)]


@pytest.mark.parametrize("period", [1, 2, 7, 31, 32, 33, 63, 64, 65, 100, 1_000, 4_061, 15_999, 16_000])
def test_finds_the_period_and_where_the_first_repeated_copy_starts(period: int) -> None:
    before = prose(1_000, seed=2).upper()
    length = max(640, period * 5 // 2)
    text = before + (prose(period) * (2 + length // period))[: period + length]
    run = runs(text)[-1]
    assert run is not None
    assert run.period == period
    # Chance may prolong a run to the left by a character that happens to be equal.
    assert 1_000 + period - 2 <= run.start <= 1_000 + period
    assert run.end == len(text) // 64 * 64


def test_a_longer_period_than_the_longest_is_not_found() -> None:
    assert runs(prose(1_100) * 4, longest=1_000)[-1] is None


def test_prose_has_no_run() -> None:
    assert not any(runs(prose(40_000)))


def test_the_run_ends_with_the_repetition() -> None:
    found = runs(prose(100) * 10 + prose(400, seed=3))
    assert found[10] is not None
    assert found[-1] is None


def test_a_period_that_changes_is_followed() -> None:
    found = runs(prose(50) * 20 + prose(90, seed=3) * 20)
    periods = [run.period for run in found if run]
    assert periods[:5] == [50] * 5
    assert periods[-5:] == [90] * 5


def test_a_loop_inside_a_passage_told_before_is_seen_as_that_loop() -> None:
    passage = prose(300) + "once more, " * 60
    found = runs(passage + passage)
    assert found[-1] is not None
    assert found[-1].period == 11


def test_a_run_longer_than_the_window_keeps_its_start() -> None:
    found = runs("x" * 3 + prose(500) * 30, longest=1_000)
    assert found[-1] is not None
    assert (found[-1].period, found[-1].start) == (500, 503)


def test_copies_count_the_first() -> None:
    assert Run(period=100, start=100, end=350).copies == 3.5


@pytest.mark.parametrize("repeated", [0, 1, 63, 64, 65, 127, 128, 129, 200])
def test_run_length(repeated: int) -> None:
    passage = prose(200)
    assert run_length(f"#{passage}-{passage[:repeated]}", 201) == repeated
