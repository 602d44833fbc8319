from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors._count import Characters, CountedTokens, EstimatedTokens, Meter
from guard.contract import estimate_tokens
from guard.testing import chunks

TEXT = "The answer is twelve, 答案是十二, because twelve is even.\n\n" * 20


def count_words(text: str) -> int:
    return len(text.split())


METERS: dict[str, Callable[[], Meter]] = {
    "characters": Characters,
    "estimated": EstimatedTokens,
    "counted": lambda: CountedTokens(count_words),
}


def first_past(meter: Meter, text: str, size: int, limit: float) -> int | None:
    for piece in chunks(text, size):
        if meter.advance(piece) > limit:
            return meter.passed(limit)
    return None


@pytest.mark.parametrize("name", METERS)
@pytest.mark.parametrize("limit", [0, 1, 10, 99, 150])
def test_a_limit_is_passed_at_the_same_place_whatever_the_chunks(name: str, limit: int) -> None:
    places = {first_past(METERS[name](), TEXT, size, limit) for size in (1, 13, 64, 200, 5_000)}
    assert len(places) == 1
    assert places != {None}


def test_characters() -> None:
    assert first_past(Characters(), TEXT, 16, 100) == 100


def test_the_estimate_is_that_of_the_contract() -> None:
    place = first_past(EstimatedTokens(), TEXT, 16, 30)
    assert place is not None
    assert estimate_tokens(TEXT[:place]) <= 30 + 1e-9 < estimate_tokens(TEXT[: place + 1])


def test_rounding_does_not_pass_a_limit() -> None:
    meter = EstimatedTokens()
    totals = [meter.advance(char) for char in "字" * 1_000]
    assert totals[-1] <= 700


def test_words_are_counted_whole() -> None:
    meter = CountedTokens(count_words)
    text = "counting " * 100
    total = [meter.advance(piece) for piece in chunks(text, 7)][-1]
    assert 100 - 64 / len("counting ") - 1 <= total <= 100


def test_text_without_white_space_is_counted_too() -> None:
    meter = CountedTokens(len)
    assert meter.advance("字" * 1_024) == 1_024


def test_white_space_goes_with_what_follows() -> None:
    seen: list[str] = []
    meter = CountedTokens(lambda text: seen.append(text) or 0)  # type: ignore[func-returns-value]
    meter.advance("a" * 40 + "  \n " + "b" * 20)
    assert seen == ["a" * 40]
