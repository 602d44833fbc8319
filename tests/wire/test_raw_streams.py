"""Raw answers of Ollama and TGI: bytes as these servers write them, and what they mean."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, UpstreamFailed, Usage, UsageReported
from guard.wire.chat_decode import ChatDecoder
from guard.wire.errors import UpstreamError
from guard.wire.raw_streams import LinesDecoder, OllamaDecoder, TgiDecoder
from guard.wire.sse import SseDecoder
from guard.wire.think import ThinkStart

REASONING, CONTENT = Lane(0, Channel.REASONING), Lane(0, Channel.CONTENT)
OLLAMA = (
    b'{"model":"qwq","created_at":"2026-01-01T00:00:00Z","response":"So.\\n</thi","done":false}\n'
    b'{"model":"qwq","created_at":"2026-01-01T00:00:00Z","response":"nk>\\n\\nYes","done":false}\n'
    b'{"model":"qwq","created_at":"2026-01-01T00:00:00Z","response":"","done":true,"done_reason":"stop",'
    b'"total_duration":5,"prompt_eval_count":9,"eval_count":4}\n'
)
TGI = (
    b'data:{"index":1,"token":{"id":1,"text":"So.\\n","logprob":-0.1,"special":false},"generated_text":null,'
    b'"details":null}\n\n'
    b'data:{"index":2,"token":{"id":2,"text":"</think>","logprob":-0.1,"special":true},"generated_text":null,'
    b'"details":null}\n\n'
    b'data:{"index":3,"token":{"id":3,"text":"\\n\\nYes","logprob":-0.1,"special":false},"generated_text":null,'
    b'"details":null}\n\n'
    b'data:{"index":4,"token":{"id":4,"text":"<|im_end|>","logprob":-0.1,"special":true},"generated_text":"all of it",'
    b'"details":{"finish_reason":"eos_token","generated_tokens":4,"input_length":9,"seed":null}}\n\n'
)
SAID = [ChoiceOpened(0), TextReceived(REASONING, "So.\n"), TextReceived(CONTENT, "\n\nYes")]


def decode(stream: bytes, cut: LinesDecoder | SseDecoder, decoder: ChatDecoder, step: int = 0) -> list[Event]:
    events: list[Event] = []
    step = step or len(stream)
    for at in range(0, len(stream), step):
        for event in cut.feed(stream[at : at + step]):
            events += decoder.feed(event)
    return events


def ollama(stream: bytes, step: int = 0) -> tuple[list[Event], OllamaDecoder]:
    decoder = OllamaDecoder(ThinkStart.REASONING)
    return decode(stream, LinesDecoder(), decoder, step), decoder


def tgi(stream: bytes) -> tuple[list[Event], TgiDecoder]:
    decoder = TgiDecoder(ThinkStart.REASONING)
    return decode(stream, SseDecoder(), decoder), decoder


@pytest.mark.parametrize("step", [0, 1, 7])
def test_ollama(step: int) -> None:
    events, decoder = ollama(OLLAMA, step)
    assert events == [*SAID, ChoiceFinished(0, "stop"), UsageReported(Usage(9, 4))]
    assert decoder.done


def test_tgi() -> None:
    events, decoder = tgi(TGI)
    assert events == [*SAID, ChoiceFinished(0, "stop", "eos_token"), UsageReported(Usage(9, 4))]
    assert decoder.done


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", ChoiceFinished(0, "stop")),
        ("length", ChoiceFinished(0, "length")),
        ("load", ChoiceFinished(0, "stop", "other")),
    ],
)
def test_ollamas_reasons(reason: str, finish: ChoiceFinished) -> None:
    events, _ = ollama(json.dumps({"response": "a", "done": True, "done_reason": reason}).encode() + b"\n")
    assert finish in events


@pytest.mark.parametrize("reason", ["length", "stop_sequence", "eos_token"])
def test_tgis_reasons(reason: str) -> None:
    last = {"token": {"text": "a", "special": False}, "generated_text": "a", "details": {"finish_reason": reason}}
    events, _ = tgi(b"data:" + json.dumps(last).encode() + b"\n\n")
    (finish,) = [event for event in events if isinstance(event, ChoiceFinished)]
    assert (finish.reason, finish.native or finish.reason) == ("length" if reason == "length" else "stop", reason)


def test_a_model_that_ollama_lost_did_not_finish() -> None:
    """A runner that dies ends the answer with `done`, and without a reason."""
    events, decoder = ollama(b'{"response":"So","done":false}\n{"response":"","done":true,"done_reason":""}\n')
    assert not [event for event in events if isinstance(event, ChoiceFinished)]
    assert decoder.done


@pytest.mark.parametrize(
    "stream",
    [b'{"response":"So","done":false}\n{"error":"CUDA error: out of memory"}\n{"response":"x","done":true}\n'],
)
def test_an_error_line_is_a_failure_and_the_rest_is_not_read(stream: bytes) -> None:
    events, _ = ollama(stream)
    assert isinstance(events[-1], UpstreamFailed)
    assert "CUDA" not in events[-1].message


def test_an_error_event_of_tgi_is_a_failure() -> None:
    events, _ = tgi(b'data:{"error":"Request failed during generation","error_type":"generation"}\n\n')
    assert [type(event) for event in events] == [UpstreamFailed]


def test_text_that_ollama_took_for_thinking_is_counted_and_not_sent() -> None:
    events, decoder = ollama(b'{"response":"","thinking":"secret","done":false}\n')
    assert events == [ChoiceOpened(0)]
    assert decoder.dropped["thinking"] == 1


def test_a_line_without_its_end_is_not_read() -> None:
    assert ollama(OLLAMA.rstrip(b"\n"))[0] == SAID


@pytest.mark.parametrize(
    ("limits", "data"),
    [({"max_line": 9}, b"0123456789"), ({"max_line": 9}, b"0123456789\n"), ({"max_total": 9}, b"1\n" * 5)],
)
def test_lines_have_a_longest_length(limits: dict[str, int], data: bytes) -> None:
    with pytest.raises(UpstreamError):
        LinesDecoder(**limits).feed(data)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["response", "done", "done_reason", "error", "token", "generated_text", "details", "thinking", "eval_count"]


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_no_object_does_worse_than_an_upstream_error(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    for stream, cut, decoder in (
        (data + b"\n", LinesDecoder(), OllamaDecoder(ThinkStart.REASONING)),
        (b"data:" + data + b"\n\n", SseDecoder(), TgiDecoder(ThinkStart.CONTENT)),
    ):
        with contextlib.suppress(UpstreamError):
            decode(stream, cut, decoder)
