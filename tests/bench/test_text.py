"""The prose of the benchmark is cut like a model's and comes apart and together again."""

from __future__ import annotations

from statistics import mean

from bench.text import tokens
from bench.upstream import answer


def test_tokens_have_a_usual_size() -> None:
    lengths = [len(token) for token in tokens(600)]
    assert 4.0 < mean(lengths) < 5.0
    assert max(lengths) <= 7
    assert min(lengths) >= 1


def test_streams_differ_and_are_readable() -> None:
    assert "".join(tokens(30)).startswith("Every lighthouse keeper on this coast learned")
    assert len({"".join(tokens(100, start)) for start in range(10)}) == 10


def test_nothing_is_repeated_within_a_stream() -> None:
    text = "".join(tokens(200))
    assert all(text.count(text[at : at + 40]) == 1 for at in range(len(text) - 40))


def test_an_answer_has_four_events_beside_its_tokens() -> None:
    events = answer(200, 3)
    assert len(events) == 204
    assert 225 < mean(map(len, events[1:201])) < 245
    assert events[-1] == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    assert sum(b'"reasoning_content"' in event for event in events) == 133
