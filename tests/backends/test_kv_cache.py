from __future__ import annotations

from typing import Any

import pytest

from guard.backends.kv_cache import LEAST, Memory


class Cache:
    """Counts the tokens it holds."""

    is_croppable = True

    def __init__(self, size: int = 0) -> None:
        self.size = size

    def get_seq_length(self) -> int:
        return self.size

    def crop(self, tokens: int) -> None:
        assert tokens <= 0
        self.size += tokens


IDS = list(range(100))


def memory_with(ids: list[int], cache: Any, request: str = "r") -> Memory:
    memory = Memory(Cache)
    memory.keep(request, ids, cache)
    return memory


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ([*IDS[:60], 500, 501], 60),  # a changed end
        (IDS[:60], 59),  # the last token must be read again: what comes after it is asked for
        ([*IDS, 500], 99),  # the cache holds all but the last that was written
        (IDS[: LEAST + 1], LEAST),
        (IDS[:LEAST], 0),
        ([500, *IDS], 0),
        ([], 0),
    ],
)
def test_what_the_two_begin_with_is_not_read_again(asked: list[int], held: int) -> None:
    cache, reused = memory_with(IDS, Cache(99)).recall("r", asked)
    assert (cache.size, reused) == (held, held)


def test_only_its_own_repair_finds_an_answer_and_only_once() -> None:
    assert memory_with(IDS, Cache(99)).recall("other", IDS)[1] == 0
    assert memory_with(IDS, Cache(99)).recall("", IDS)[1] == 0
    assert memory_with(IDS, Cache(99), "").recall("", IDS)[1] == 0
    memory = memory_with(IDS, Cache(99))
    assert memory.recall("other", IDS)[1] == 0
    assert memory.recall("r", IDS)[1] == 0


def test_a_cache_that_cannot_be_cut_back_is_not_kept() -> None:
    cache = Cache(99)
    cache.is_croppable = False
    assert memory_with(IDS, cache).recall("r", IDS)[0] is not cache
