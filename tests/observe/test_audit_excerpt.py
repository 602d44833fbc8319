"""An excerpt shows words, and nothing that the policy masks or that looks secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Channel, Lane, Span
from guard.observe.audit_excerpt import HIDDEN, KEPT, LaneText, Mark, Passage, excerpt, lane_name


def text_of(*pieces: str) -> LaneText:
    text = LaneText()
    for piece in pieces:
        text.append(piece)
    return text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        ("call 0171 555 12", "call #### ### ##"),
        ("٣ apples", "# apples"),
        ("my key sk-proj-abcDEFghi ok", f"my key {HIDDEN} ok"),
        ("use ghp_abcdefghijkl now", f"use {HIDDEN} now"),
        ("AKIAIOSFODNN7EXAMPLE", HIDDEN),
        ("the password is hunter", f"the password is {HIDDEN}"),
        ("Password: correct-horse rest", f"Password: {HIDDEN} rest"),
        ("Authorization: Bearer abc.def", f"Authorization: {HIDDEN}"),
        ("write ann@example.org now", f"write {HIDDEN} now"),
        ("token=a1b2c3d4e5f6a7b8c9d0 end", f"token={HIDDEN} end"),
        ("sum d41d8cd98f00b204e9800998ecf8427e.", f"sum {HIDDEN}."),
        ("eyJhbGciOi.eyJzdWIi.x_y", HIDDEN),
        ("-----BEGIN PRIVATE KEY-----\nabc\ndef", HIDDEN),
        ("internationalisation of misunderstandings", "internationalisation of misunderstandings"),
    ],
)
def test_what_looks_secret_is_hidden(text: str, shown: str) -> None:
    assert excerpt(Passage(0, text), (), 200) == shown


def test_what_the_policy_masks_appears_masked() -> None:
    marks = [Mark(Span(10, 13), "<NAME>"), Mark(Span(14, 19), "<NAME>"), Mark(Span(90, 99), "<X>")]
    assert excerpt(Passage(5, "dear Ann Smith, hello"), marks, 200) == "dear <NAME> <NAME>, hello"


def test_a_mask_that_begins_before_the_passage() -> None:
    assert excerpt(Passage(10, "Smith, hello"), [Mark(Span(5, 15), "<NAME>")], 200) == "<NAME>, hello"


def test_an_excerpt_is_as_long_as_asked_and_does_not_begin_inside_a_word() -> None:
    lane = text_of("one two three ", "four five six seven")
    passage = lane.around(Span(14, 18), 8)
    assert passage.text.split() == ["three", "four", "five"]
    assert len(excerpt(passage, (), 8)) == 8


def test_half_a_secret_is_not_shown_because_the_excerpt_ends_in_it() -> None:
    lane = text_of("see ", "a" * 10 + "1" * 30, " end")
    for length in range(4, 30):
        assert "a" not in excerpt(lane.around(Span(0, 3), length), (), length)


@given(st.text(max_size=200), st.integers(0, 250), st.integers(1, 100), st.data())
def test_any_span_of_any_text(text: str, at: int, length: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    passage = text_of(*pieces).around(Span(at, at + 3), length)
    assert passage == text_of(text).around(Span(at, at + 3), length)
    assert passage.text == text[passage.start : passage.start + len(passage.text)]
    assert len(excerpt(passage, [Mark(Span(at, at + 1), "<X>")], length)) <= length


def test_memory_is_bounded_and_places_stay_right() -> None:
    lane = LaneText()
    for number in range(100):
        lane.append(f"{number:08} " + "x" * 9_991)
    assert sum(map(len, lane._pieces)) <= 2 * KEPT
    assert lane.around(Span(990_000, 990_008), 8).text.endswith("x00000099")
    assert lane.around(Span(0, 8), 8).start >= 1_000_000 - 2 * KEPT


@pytest.mark.parametrize(
    ("lane", "name"),
    [(Lane(0, Channel.CONTENT), "0/content"), (Lane(1, Channel.TOOL, 2), "1/tool/2")],
)
def test_names_of_lanes(lane: Lane, name: str) -> None:
    assert lane_name(lane) == name
