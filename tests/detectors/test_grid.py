from __future__ import annotations

import pytest

from detectors._grid import Grid, GridTail

TEXT = "".join(chr(0x61 + index * 7 % 26) for index in range(3_000))


def looks(text: str, size: int, *, step: int, keep: int) -> list[tuple[int, int, str]]:
    tail = GridTail(step=step, keep=keep)
    seen = []
    for start in range(0, len(text), size):
        for end in tail.grow(text[start : start + size]):
            assert tail.end == end
            assert tail.start + len(tail.text) == end
            seen.append((end, tail.start, tail.text))
        assert tail.fed == min(len(text), start + size)
    return seen


@pytest.mark.parametrize("size", [1, 7, 64, 65, 1_000, 5_000])
def test_stops_at_multiples_of_step_whatever_the_chunks(size: int) -> None:
    seen = looks(TEXT, size, step=64, keep=256)
    assert [end for end, _, _ in seen] == list(range(64, len(TEXT) + 1, 64))
    assert seen == looks(TEXT, 64, step=64, keep=256)


def test_text_is_the_tail_at_its_offset() -> None:
    for end, start, text in looks(TEXT, 100, step=16, keep=160):
        assert text == TEXT[start:end]
        assert min(end, 160) <= len(text) <= 160 + 40 + 16


def test_nothing_is_seen_before_the_first_step() -> None:
    tail = GridTail(step=10, keep=100)
    assert list(tail.grow("123456789")) == []
    assert (tail.fed, tail.end, tail.text) == (9, 0, "")
    assert list(tail.grow("")) == []
    assert list(tail.grow("0")) == [10]
    assert tail.text == "1234567890"


@pytest.mark.parametrize("size", [1, 7, 16, 17, 1_000])
@pytest.mark.parametrize("start", [0, 5, 16])
def test_pieces_end_at_multiples_of_step(size: int, start: int) -> None:
    grid = Grid(16, start)
    pieces: list[str] = []
    for at in range(0, len(TEXT), size):
        pieces += grid.cut(TEXT[at : at + size])
    assert "".join(pieces) + grid.rest() == TEXT
    assert grid.end == grid.fed == start + len(TEXT)
    ends = [start + sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    assert ends == list(range(start // 16 * 16 + 16, start + len(TEXT) + 1, 16))


def test_after_the_rest_the_grid_goes_on() -> None:
    grid = Grid(4)
    assert (list(grid.cut("ab")), grid.rest(), grid.end) == ([], "ab", 2)
    assert (list(grid.cut("cdefghijk")), grid.end, grid.fed) == (["cd", "efgh"], 8, 11)
