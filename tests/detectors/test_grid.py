from __future__ import annotations

import pytest

from detectors._grid import GridTail

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
