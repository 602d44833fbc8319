from __future__ import annotations

import pytest

from guard.backends.answer import Answer
from guard.contract import Channel
from guard.events import ChoiceFinished, TextReceived
from guard.wire.think import ThinkStart
from tests.support.tokenizers import CharacterTokenizer

END = CharacterTokenizer.eos_token_id


def play(answer: Answer, text: str) -> tuple[str, str, str]:
    """Reasoning, content and the reason of the finish."""
    events = [event for character in text for event in answer.token(ord(character))] + answer.finish()
    texts = {Channel.REASONING: "", Channel.CONTENT: ""}
    for event in events[:-1]:
        assert isinstance(event, TextReceived)
        texts[event.lane.channel] += event.text
    finish = events[-1]
    assert isinstance(finish, ChoiceFinished)
    return texts[Channel.REASONING], texts[Channel.CONTENT], finish.reason


def make(start: ThinkStart = ThinkStart.AUTO, *stops: str) -> Answer:
    return Answer(0, CharacterTokenizer().decode, stops=stops, ends={END}, start=start)


@pytest.mark.parametrize(
    ("start", "text", "expected"),
    [
        (ThinkStart.AUTO, "plain", ("", "plain", "length")),
        (ThinkStart.AUTO, "plain\x03", ("", "plain", "stop")),
        (ThinkStart.AUTO, "<think>hm</think>so\x03", ("hm", "so", "stop")),
        (ThinkStart.REASONING, "hm</think>so", ("hm", "so", "length")),
        (ThinkStart.CONTENT, "<think>hm", ("", "<think>hm", "length")),
        (ThinkStart.REASONING, "hm</thi", ("hm</thi", "", "length")),
    ],
)
def test_tokens_become_lanes_and_a_finish(start: ThinkStart, text: str, expected: tuple[str, str, str]) -> None:
    assert play(make(start), text) == expected


@pytest.mark.parametrize("start", list(ThinkStart))
def test_a_stop_string_ends_the_answer_at_its_last_token(start: ThinkStart) -> None:
    answer = make(start, "END")
    reasoning, content, reason = play(answer, "so it goes END and more")
    assert (reasoning + content, reason) == ("so it goes ", "stop")
    assert answer.tokens == len("so it goes END")


def test_a_stop_string_that_is_not_completed_is_text() -> None:
    assert play(make(ThinkStart.CONTENT, "END"), "the EN\x03") == ("", "the EN", "stop")


def test_tokens_after_the_end_are_ignored_and_the_end_is_counted() -> None:
    answer = make()
    assert play(answer, "ab\x03cd")[1] == "ab"
    assert answer.tokens == 3
