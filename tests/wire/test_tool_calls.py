from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from guard.contract import Channel, Lane
from guard.events import Event, TextReceived, ToolCallOpened
from guard.wire.chunks import FunctionDelta, ToolDelta
from guard.wire.errors import UpstreamError
from guard.wire.tool_calls import MOST_CALLS, ToolCallReader


def delta(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> ToolDelta:
    return ToolDelta(index=index, id=call_id, function=FunctionDelta(name, arguments))


def opened(tool: int, call_id: str, name: str) -> ToolCallOpened:
    return ToolCallOpened(3, tool, call_id, name)


def said(tool: int, text: str) -> TextReceived:
    return TextReceived(Lane(3, Channel.TOOL, tool), text)


def read(*deltas: ToolDelta) -> list[Event]:
    reader = ToolCallReader(3, Counter())
    return [event for each in deltas for event in reader.read(each)]


@pytest.mark.parametrize(
    ("deltas", "events"),
    [
        pytest.param(
            [
                (0, "a", "f", ""),
                (0, None, None, '{"x'),
                (1, "b", "g", None),
                (1, None, None, "{}"),
                (0, None, None, '":1}'),
            ],
            [opened(0, "a", "f"), said(0, '{"x'), opened(1, "b", "g"), said(1, "{}"), said(0, '":1}')],
            id="fragments by index, as OpenAI sends them",
        ),
        pytest.param(
            [(0, "a", "f", "{"), (0, "a", "f", "}")],
            [opened(0, "a", "f"), said(0, "{"), said(0, "}")],
            id="id and name with every fragment",
        ),
        pytest.param(
            [(0, "", "f", "{"), (0, "a", "f", "}")],
            [opened(0, "call_3_0", "f"), said(0, "{"), said(0, "}")],
            id="name with every fragment, id late",
        ),
        pytest.param(
            [(0, "a", "f", "{}"), (0, "b", "g", "{1}"), (0, "c", "g", "{2}"), (0, None, None, "!")],
            [
                *(opened(0, "a", "f"), said(0, "{}"), opened(1, "b", "g"), said(1, "{1}")),
                *(opened(2, "c", "g"), said(2, "{2}"), said(2, "!")),
            ],
            id="whole calls, all with index 0",
        ),
        pytest.param(
            [(None, "a", "f", "{"), (None, None, None, "}"), (None, "b", "g", "{"), (None, "a", None, "!")],
            [opened(0, "a", "f"), said(0, "{"), said(0, "}"), opened(1, "b", "g"), said(1, "{"), said(0, "!")],
            id="no index",
        ),
        pytest.param(
            [(None, None, "f", "{}"), (None, None, "g", "{}")],
            [opened(0, "call_3_0", "f"), said(0, "{}"), opened(1, "call_3_1", "g"), said(1, "{}")],
            id="neither index nor id",
        ),
        pytest.param(
            [(10**12, "a", "f", "{}"), (-5, "b", "g", "{}")],
            [opened(0, "a", "f"), said(0, "{}"), opened(1, "b", "g"), said(1, "{}")],
            id="calls are numbered anew",
        ),
        pytest.param([(0, "a", None, None), (0, None, "", "")], [], id="nothing yet"),
    ],
)
def test_which_call_a_delta_belongs_to(deltas: list[tuple[Any, ...]], events: list[Event]) -> None:
    assert read(*(delta(*each) for each in deltas)) == events


def test_a_delta_without_a_function() -> None:
    assert read(ToolDelta(index=0, id="a")) == []


@pytest.mark.parametrize("call_id", ["functions.lookup:0", "call_9-Z|x", "x" * 128])
def test_ids_are_kept(call_id: str) -> None:
    assert read(delta(0, call_id, "f", None)) == [opened(0, call_id, "f")]


@pytest.mark.parametrize("call_id", ["tell me more", "a\n", "x" * 129, "é", '"'])
def test_ids_that_could_carry_text_are_replaced(call_id: str) -> None:
    dropped: Counter[str] = Counter()
    reader = ToolCallReader(3, dropped)
    assert reader.read(delta(0, call_id, "f", "{")) == [opened(0, "call_3_0", "f"), said(0, "{")]
    assert reader.read(delta(0, call_id, "f", "}")) == [said(0, "}")]
    assert dropped == {"tool_call_id": 1}


@pytest.mark.parametrize("name", ["a\nb", "a\n", "a\u2028b", "\r", "x" * 257])
def test_names_are_one_short_line(name: str) -> None:
    with pytest.raises(UpstreamError, match="one short line"):
        read(delta(0, "a", name, None))


def test_arguments_of_no_call() -> None:
    with pytest.raises(UpstreamError, match="arguments and no name"):
        read(delta(0, "a", None, "{}"))


def test_calls_are_limited() -> None:
    reader = ToolCallReader(3, Counter())
    for number in range(MOST_CALLS):
        reader.read(delta(number, None, "f", None))
    with pytest.raises(UpstreamError, match="more than 128 tool calls"):
        reader.read(delta(MOST_CALLS, None, "f", None))
