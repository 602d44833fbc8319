"""HoldBack: what waits, what leaves, and masks that leave whole or not at all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Span
from guard.engine.buffer import HoldBack

TEXT = "0123456789abcdefghij"


def filled(*masks: tuple[int, int, str], text: str = TEXT) -> HoldBack:
    buffer = HoldBack()
    buffer.append(text)
    for start, end, replacement in masks:
        assert buffer.mask(Span(start, end), replacement)
    return buffer


def test_nothing_leaves_by_itself() -> None:
    buffer = filled()
    assert (buffer.released, buffer.end, buffer.held()) == (0, 20, TEXT)


@pytest.mark.parametrize(
    ("floors", "texts"),
    [
        ([0], [""]),
        ([-3], [""]),
        ([5], ["01234"]),
        ([20], [TEXT]),
        ([99], [TEXT]),
        ([5, 5, 7], ["01234", "", "56"]),
        ([7, 5, 20], ["0123456", "", "789abcdefghij"]),
    ],
)
def test_text_leaves_up_to_the_floor_and_only_once(floors: list[int], texts: list[str]) -> None:
    buffer = filled()
    assert [buffer.release(floor) for floor in floors] == texts
    assert buffer.released == len("".join(texts))
    assert buffer.held() == TEXT[buffer.released :]


@pytest.mark.parametrize(
    ("masks", "floors", "texts"),
    [
        pytest.param([(2, 5, "<a>")], [20], ["01<a>56789abcdefghij"], id="whole"),
        pytest.param([(0, 20, "<a>")], [20], ["<a>"], id="everything"),
        pytest.param([(2, 5, "")], [20], ["0156789abcdefghij"], id="nothing in its place"),
        pytest.param([(2, 5, "<a>")], [3, 4, 5], ["01", "", "<a>"], id="straddling the floor: it waits whole"),
        pytest.param([(2, 5, "<a>")], [2, 6], ["01", "<a>5"], id="floor at its start"),
        pytest.param([(2, 5, "<a>"), (5, 8, "<b>")], [5, 20], ["01<a>", "<b>89abcdefghij"], id="neighbours"),
        pytest.param([(5, 8, "<b>"), (2, 5, "<a>")], [20], ["01<a><b>89abcdefghij"], id="found in the other order"),
        pytest.param([(2, 6, "<a>"), (4, 8, "<b>")], [20], ["01<a>89abcdefghij"], id="overlap: the first one's words"),
        pytest.param([(4, 8, "<b>"), (2, 6, "<a>")], [20], ["01<a>89abcdefghij"], id="overlap, found backwards"),
        pytest.param([(2, 6, "<a>"), (2, 8, "<b>")], [20], ["01<a>89abcdefghij"], id="same start: the one found first"),
        pytest.param([(2, 9, "<a>"), (4, 5, "<b>")], [20], ["01<a>9abcdefghij"], id="one within the other"),
        pytest.param([(2, 5, "<a>"), (7, 9, "<b>"), (4, 8, "<c>")], [20], ["01<a>9abcdefghij"], id="bridged"),
        pytest.param([(2, 6, "<a>"), (4, 8, "<b>")], [7, 8], ["01", "<a>"], id="a joined mask waits whole, too"),
        pytest.param([(2, 4, "<a>"), (8, 12, "<b>")], [10, 20], ["01<a>4567", "<b>cdefghij"], id="one gone, one waits"),
        pytest.param([(3, 3, "<a>")], [20], [TEXT], id="empty"),
    ],
)
def test_masks(masks: list[tuple[int, int, str]], floors: list[int], texts: list[str]) -> None:
    buffer = filled(*masks)
    assert [buffer.release(floor) for floor in floors] == texts


@pytest.mark.parametrize(("start", "end"), [(0, 3), (4, 8), (4, 5), (4, 4)])
def test_what_has_partly_left_cannot_be_masked(start: int, end: int) -> None:
    buffer = filled()
    assert buffer.release(5) == "01234"
    assert not buffer.mask(Span(start, end), "<a>")
    assert buffer.release(20) == TEXT[5:]


def test_a_mask_may_begin_where_text_has_left_off() -> None:
    buffer = filled()
    buffer.release(5)
    assert buffer.mask(Span(5, 8), "<a>")
    assert buffer.release(20) == "<a>89abcdefghij"


def test_text_may_arrive_between_releases() -> None:
    buffer = filled((18, 22, "<a>"))
    assert buffer.release(20) == TEXT[:18]
    buffer.append("klmn")
    assert (buffer.end, buffer.held()) == (24, "ijklmn")
    assert buffer.release(24) == "<a>mn"


def test_what_is_dropped_does_not_leave() -> None:
    buffer = filled((8, 10, "<a>"))
    buffer.release(5)
    buffer.restart(5)
    assert (buffer.released, buffer.end, buffer.held()) == (5, 5, "")
    assert buffer.release(20) == ""
    buffer.append("uvwxyz")
    assert buffer.release(20) == "uvwxyz"


def test_positions_are_found_again_in_what_was_sent() -> None:
    buffer = filled((2, 4, "<a>"), (6, 7, ""))
    assert buffer.release(10) == "01<a>45789"
    assert [buffer.sent(position) for position in range(11)] == [0, 1, 2, 2, 5, 6, 7, 7, 8, 9, 10]
    buffer.restart(10)
    assert (buffer.released, buffer.end, buffer.sent(7)) == (10, 10, 7)


spans = st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda pair: (pair[0], min(pair[0] + pair[1], 60)))


@given(st.lists(spans, max_size=6), st.lists(st.integers(0, 70), max_size=8))
def test_releasing_by_and_by_says_what_releasing_at_once_says(masks: list[tuple[int, int]], floors: list[int]) -> None:
    text = "".join(chr(0x4E00 + at) for at in range(60))
    named = [(start, end, f"<{number}>") for number, (start, end) in enumerate(masks)]
    at_once, slowly = filled(*named, text=text), filled(*named, text=text)
    positions = [0]
    pieces = []
    for floor in floors:
        pieces.append(slowly.release(floor))
        positions.append(slowly.released)
        assert slowly.released <= max([0, *floors])
    pieces.append(slowly.release(60))
    assert all(before <= after for before, after in pairwise(positions))
    assert "".join(pieces) == at_once.release(60)
    for start, end in masks:
        assert not set(text[start:end]) & set("".join(pieces))


def test_a_mask_is_held_against_its_neighbours_only() -> None:
    """A prompt may hold ten thousand addresses; each against all before it would take a minute."""
    looked = 0

    class Counted(int):
        def __le__(self, other: int) -> bool:
            nonlocal looked
            looked += 1
            return int.__le__(self, other)

        def __lt__(self, other: int) -> bool:
            nonlocal looked
            looked += 1
            return int.__lt__(self, other)

    buffer = HoldBack()
    buffer.append("." * 20_000)
    for start in range(0, 20_000, 20):
        assert buffer.mask(Span(Counted(start), Counted(start + 10)), "x")
    assert looked < 30_000
    assert buffer.release(20_000) == ("x" + "." * 10) * 1_000
