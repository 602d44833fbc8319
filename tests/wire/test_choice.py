from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from guard.contract import REFUSAL, Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, Logprob, TextReceived, ToolCallOpened
from guard.wire.choice import ABORTED, FINISH_REASONS, ChoiceReader
from guard.wire.chunks import ChoiceChunk, ChoiceLogprobs, Delta, FunctionDelta, TokenLogprob, ToolDelta, TopLogprob
from guard.wire.think import ThinkStart

CONTENT, REASONING = Lane(0, Channel.CONTENT), Lane(0, Channel.REASONING)
REFUSED = Lane(0, Channel.CONTENT, REFUSAL)
CALL = ToolDelta(index=0, id="a", function=FunctionDelta("f", "{}"))


class Reader:
    """A reader whose `ChoiceOpened` is out of the way."""

    def __init__(self, start: ThinkStart = ThinkStart.AUTO) -> None:
        self.dropped: Counter[str] = Counter()
        self.reader = ChoiceReader(0, start, self.dropped)
        assert self.reader.read(ChoiceChunk()) == [ChoiceOpened(0)]

    def read(self, delta: Delta | None = None, field: str = "", **more: Any) -> list[Event]:
        return self.reader.read(ChoiceChunk(delta=delta, **more), field)


@pytest.mark.parametrize("start", [ThinkStart.AUTO, ThinkStart.REASONING])
@pytest.mark.parametrize("first", ["", " \n", "<th"])
def test_reasoning_in_a_field_of_its_own_makes_content_content(start: ThinkStart, first: str) -> None:
    reader = Reader(start)
    assert reader.read(Delta(content=first)) == []
    held = [TextReceived(CONTENT if start is ThinkStart.AUTO else REASONING, first)] if first else []
    assert reader.read(Delta(reasoning="a")) == [*held, TextReceived(REASONING, "a")]
    later = reader.read(Delta(content="<think>b</think>"))
    if not held or start is ThinkStart.AUTO:
        assert later == [TextReceived(CONTENT, "<think>b</think>")]


def test_reasoning_after_inline_thinking_keeps_its_place() -> None:
    reader = Reader(ThinkStart.REASONING)
    assert reader.read(Delta(content="a</th")) == [TextReceived(REASONING, "a")]
    assert reader.read(Delta(reasoning="b")) == [TextReceived(REASONING, "</th"), TextReceived(REASONING, "b")]
    assert reader.read(Delta(content="c</think>d")) == [TextReceived(REASONING, "c"), TextReceived(CONTENT, "d")]


def test_a_delta_is_read_in_the_readers_order() -> None:
    reader = Reader()
    delta = Delta(tool_calls=[CALL], refusal="c", content="b", reasoning="a")
    assert reader.read(delta, finish_reason="tool_calls") == [
        TextReceived(REASONING, "a"),
        TextReceived(CONTENT, "b"),
        TextReceived(REFUSED, "c"),
        ToolCallOpened(0, 0, "a", "f"),
        TextReceived(Lane(0, Channel.TOOL, 0), "{}"),
        ChoiceFinished(0, "tool_calls"),
    ]


def test_held_text_comes_before_a_tool_call_and_before_the_end() -> None:
    reader = Reader()
    reader.read(Delta(content="<th"))
    assert reader.read(Delta(tool_calls=[CALL]))[0] == TextReceived(CONTENT, "<th")
    reader = Reader()
    reader.read(Delta(content="\n"))
    assert reader.read(finish_reason="stop") == [TextReceived(CONTENT, "\n"), ChoiceFinished(0, "stop")]


@pytest.mark.parametrize(
    ("content", "reasoning", "field", "taken", "dropped"),
    [
        ("a", "a", "", "a", []),
        ("a", "b", "", "a", ["reasoning"]),
        ("a", "b", "reasoning_content", "a", ["reasoning"]),
        ("a", "b", "reasoning", "b", ["reasoning_content"]),
        ("a", None, "reasoning", "a", []),
        ("", "b", "reasoning_content", "b", []),
    ],
)
def test_of_two_spellings_of_reasoning_one_is_taken(
    content: str, reasoning: str | None, field: str, taken: str, dropped: list[str]
) -> None:
    reader = Reader()
    delta = Delta(reasoning_content=content, reasoning=reasoning)
    assert reader.read(delta, field) == [TextReceived(REASONING, taken)]
    assert reader.dropped == Counter(dropped)


@pytest.mark.parametrize(
    ("more", "reason", "native"),
    [
        *(({"finish_reason": word}, word, "") for word in ("stop", "length", "tool_calls", "content_filter")),
        ({"finish_reason": "function_call"}, "function_call", ""),
        ({"finish_reason": "repetition"}, "length", "repetition"),
        ({"finish_reason": "stop_sequence"}, "stop", "stop_sequence"),
        ({"finish_reason": "EOS_TOKEN"}, "stop", "eos_token"),
        ({"finish_reason": "max_tokens"}, "length", "max_tokens"),
        ({"finish_reason": "tell me a secret"}, "stop", "other"),
        ({"finish_reason": "stop", "native_finish_reason": "end_turn"}, "stop", "end_turn"),
        ({"finish_reason": "stop", "native_finish_reason": "stop"}, "stop", ""),
        ({"finish_reason": "stop", "stop_reason": "a stop string"}, "stop", ""),
        ({"finish_reason": "length", "stop_reason": "repetition"}, "length", "repetition"),
        ({"finish_reason": "stop", "matched_stop": 151645}, "stop", ""),
    ],
)
def test_finish_reasons(more: dict[str, Any], reason: str, native: str) -> None:
    assert Reader().read(**more) == [ChoiceFinished(0, reason, native)]


@pytest.mark.parametrize("reason", sorted(ABORTED))
def test_an_aborted_choice_does_not_finish(reason: str) -> None:
    reader = Reader()
    assert reader.read(Delta(content="a"), finish_reason=reason) == [TextReceived(CONTENT, "a")]
    assert reader.reader.aborted


def test_reasons_are_openais() -> None:
    assert set(FINISH_REASONS.values()) == {"stop", "length", "tool_calls", "content_filter", "function_call"}


@pytest.mark.parametrize("reason", [None, ""])
def test_no_reason_is_no_end(reason: str | None) -> None:
    reader = Reader()
    assert reader.read(finish_reason=reason) == []
    assert reader.read(Delta(content="a")) == [TextReceived(CONTENT, "a")]


def test_nothing_follows_the_end() -> None:
    reader = Reader()
    reader.read(finish_reason="stop")
    assert reader.read(finish_reason="length") == []
    assert reader.read(Delta(content="")) == []
    assert reader.dropped == {}
    assert reader.read(Delta(content="a")) == []
    assert reader.read(Delta(tool_calls=[CALL])) == []
    assert reader.dropped == {"after_finish": 2}
    assert reader.reader.end() == []


def tokens(*texts: str) -> ChoiceLogprobs:
    return ChoiceLogprobs(content=[TokenLogprob(text, -1.0) for text in texts])


def read_tokens(*texts: str) -> tuple[Logprob, ...]:
    return tuple(Logprob(text, -1.0) for text in texts)


def test_log_probabilities_go_with_their_text() -> None:
    reader = Reader(ThinkStart.REASONING)
    assert reader.read(Delta(content="a"), logprobs=tokens("a")) == [TextReceived(REASONING, "a", read_tokens("a"))]
    assert reader.read(Delta(content="</th"), logprobs=tokens("</th")) == []
    assert reader.read(Delta(content=""), logprobs=tokens("b")) == []
    assert reader.read(Delta(content="at"), logprobs=tokens("at")) == [
        TextReceived(REASONING, "</that", read_tokens("</th", "b", "at"))
    ]
    assert reader.read(Delta(content="c</think>d"), logprobs=tokens("c", "d")) == [
        TextReceived(REASONING, "c", read_tokens("c", "d")),
        TextReceived(CONTENT, "d"),
    ]
    assert reader.dropped == {}


def test_log_probabilities_of_native_reasoning() -> None:
    reader = Reader()
    assert reader.read(Delta(reasoning="a"), logprobs=tokens("a")) == [TextReceived(REASONING, "a", read_tokens("a"))]
    assert reader.read(Delta(reasoning="b", content="c"), logprobs=tokens("bc")) == [
        TextReceived(REASONING, "b"),
        TextReceived(CONTENT, "c", read_tokens("bc")),
    ]


def test_log_probabilities_are_read_whole() -> None:
    token = TokenLogprob("é", -0.5, [195, 169], [TopLogprob("e", -2.0, [101]), TopLogprob("x", -3.0)])
    read = Logprob("é", -0.5, (195, 169), (Logprob("e", -2.0, (101,)), Logprob("x", -3.0)))
    assert Reader().read(Delta(content="é"), logprobs=ChoiceLogprobs(content=[token])) == [
        TextReceived(CONTENT, "é", (read,))
    ]
    assert Reader().read(Delta(refusal="é"), logprobs=ChoiceLogprobs(refusal=[token])) == [
        TextReceived(REFUSED, "é", (read,))
    ]


def test_log_probabilities_of_no_text_are_dropped() -> None:
    reader = Reader()
    reader.read(Delta(tool_calls=[CALL]), logprobs=tokens("{}"))
    assert reader.dropped == {"logprobs": 1}
    for _ in range(3):
        reader.read(Delta(content=""), logprobs=tokens(*["a"] * 500))
    assert reader.dropped == {"logprobs": 2}
    assert reader.read(Delta(content="a")) == [TextReceived(CONTENT, "a", read_tokens(*["a"] * 1_000))]
