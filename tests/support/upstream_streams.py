"""Answers as different servers spell them, and the events they make. The shapes are those of the servers' own code and
documentation (vLLM, SGLang, Ollama, llama.cpp, TGI, DashScope, OpenRouter, transformers serve); the texts are ours."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, Usage, UsageReported
from guard.wire.chat_decode import ChatDecoder
from guard.wire.sse import SseDecoder
from guard.wire.think import ThinkStart

REASONING = Lane(0, Channel.REASONING)
CONTENT = Lane(0, Channel.CONTENT)
DONE = b"data: [DONE]\n\n"


def sse(*chunks: Any) -> bytes:
    """`chunks` as an event stream."""
    return b"".join(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, /, **more: Any) -> dict[str, Any]:
    """A plain chunk of choice 0; `more` goes into the choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": "Qwen/QwQ-32B",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish, **more}],
    }


class Answer(NamedTuple):
    """One server's bytes, and what they mean."""

    server: str
    stream: bytes
    events: list[Event]
    start: ThinkStart = ThinkStart.AUTO
    dropped: tuple[str, ...] = ()
    reasoning_field: str = ""
    done: bool = True


class Decoded(NamedTuple):
    events: list[Event]
    dropped: Counter[str]
    reasoning_field: str
    done: bool


def decode(stream: bytes, start: ThinkStart = ThinkStart.AUTO, choices: int = 1, step: int = 0) -> Decoded:
    """Run `stream` through both decoders, `step` bytes at a time (0: whole)."""
    sse_decoder, chat = SseDecoder(), ChatDecoder(start, choices)
    step = step or max(len(stream), 1)
    events: list[Event] = []
    for at in range(0, len(stream), step):
        for event in sse_decoder.feed(stream[at : at + step]):
            events += chat.feed(event)
    return Decoded(events + chat.end(), chat.dropped, chat.reasoning_field, chat.done)


def _usage_chunk(**more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    return {**chunk(), "choices": [], "usage": usage, **more}


THOUGHT: list[Event] = [ChoiceOpened(0), TextReceived(REASONING, "Let me"), TextReceived(REASONING, " count.")]
ANSWER: list[Event] = [TextReceived(CONTENT, "Three"), TextReceived(CONTENT, " 🍓.")]
STOP = ChoiceFinished(0, "stop")
USAGE = UsageReported(Usage(9, 4))
INLINE = [chunk({"content": text}) for text in ("Let me", " count.", "</thi", "nk>Three", " 🍓.")]

ANSWERS = [
    Answer(
        "vLLM",
        sse(
            {**chunk({"role": "assistant", "content": ""}, logprobs=None), "prompt_token_ids": None},
            chunk({"reasoning": "Let me"}, logprobs=None, token_ids=None),
            chunk({"reasoning": " count."}, logprobs=None, token_ids=None),
            chunk({"content": "Three"}, logprobs=None, token_ids=None),
            chunk({"content": " 🍓."}, "stop", logprobs=None, stop_reason=None, token_ids=[7]),
            _usage_chunk(),
        )
        + DONE,
        [*THOUGHT, *ANSWER, STOP, USAGE],
        dropped=("token_ids",),
        reasoning_field="reasoning",
    ),
    Answer(
        "older vLLM, both fields",
        sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning": "Let me", "reasoning_content": "Let me"}),
            chunk({"reasoning": " count.", "reasoning_content": " count."}),
            chunk({"content": "Three"}),
            chunk({"content": " 🍓."}, "stop"),
        )
        + DONE,
        [*THOUGHT, *ANSWER, STOP],
        start=ThinkStart.REASONING,
        reasoning_field="reasoning_content",
    ),
    Answer(
        "vLLM that saw a repetition",
        sse(chunk({"content": "Three"}), chunk({}, "repetition")) + DONE,
        [ChoiceOpened(0), ANSWER[0], ChoiceFinished(0, "length", "repetition")],
    ),
    Answer(
        "SGLang",
        sse(
            *(
                chunk({"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta})
                for delta in (
                    {"role": "assistant", "content": ""},
                    {"reasoning_content": "Let me"},
                    {"reasoning_content": " count."},
                    {"content": "Three"},
                    {"content": " 🍓."},
                )
            ),
            chunk({"content": None}, "stop", matched_stop=151645),
            _usage_chunk(usage={"prompt_tokens": 9, "completion_tokens": 4, "reasoning_tokens": 2}),
        )
        + DONE,
        [*THOUGHT, *ANSWER, STOP, UsageReported(Usage(9, 4, 2))],
        reasoning_field="reasoning_content",
    ),
    Answer(
        "Ollama that found no thinking",
        sse(*(chunk({"role": "assistant", **part["choices"][0]["delta"]}) for part in INLINE), chunk({}, "stop"))
        + DONE,
        [*THOUGHT, *ANSWER, STOP],
        start=ThinkStart.REASONING,
    ),
    Answer(
        "llama.cpp",
        sse(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "Let me"}),
            chunk({"reasoning_content": " count."}),
            chunk({"content": "Three"}),
            chunk({"content": " 🍓."}),
            chunk({}, "stop"),
            _usage_chunk(timings={"prompt_n": 9}, __verbose={"content": "secret"}),
        )
        + DONE,
        [*THOUGHT, *ANSWER, STOP, USAGE],
        dropped=(
            "timings",
            "__verbose",
        ),
        reasoning_field="reasoning_content",
    ),
    Answer(
        "TGI with inline tags and CRLF",
        sse(chunk({"role": "assistant", "content": "<think>"}), *INLINE, chunk({"content": ""}, "stop_sequence"))
        .replace(b"\n", b"\r\n")
        .replace(b"data: ", b"data:")
        + b"data: [DONE]\r\n\r\n",
        [*THOUGHT, *ANSWER, ChoiceFinished(0, "stop", "stop_sequence")],
    ),
    Answer(
        "DashScope",
        sse(
            chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
            chunk({"content": None, "reasoning_content": "Let me"}),
            chunk({"content": None, "reasoning_content": " count."}),
            chunk({"content": "Three", "reasoning_content": None}),
            chunk({"content": " 🍓.", "reasoning_content": None}),
            chunk({"content": ""}, "stop"),
            _usage_chunk(),
        )
        + DONE,
        [*THOUGHT, *ANSWER, STOP, USAGE],
        reasoning_field="reasoning_content",
    ),
    Answer(
        "OpenRouter",
        b": OPENROUTER PROCESSING\n\n"
        + sse(
            {**chunk({"role": "assistant", "content": "", "reasoning": "Let me"}), "provider": "Groq"},
            chunk({"content": "", "reasoning": " count.", "reasoning_details": [{"text": " count."}]}),
            chunk({"content": "Three"}),
            chunk({"content": " 🍓."}),
            chunk({"content": ""}, "stop", native_finish_reason="eos"),
            chunk({"content": ""}, "stop", native_finish_reason="eos"),
            _usage_chunk(),
        )
        + DONE,
        [*THOUGHT, *ANSWER, ChoiceFinished(0, "stop", "eos"), USAGE],
        dropped=("reasoning_details",),
        reasoning_field="reasoning",
    ),
    Answer(
        "transformers serve",
        sse(
            {"choices": [{"delta": {"role": "assistant"}, "index": 0}], "system_fingerprint": ""},
            {"choices": [{"delta": {"content": "Three"}, "index": 0}]},
            {"choices": [{"delta": {"content": " 🍓."}, "index": 0}]},
            {
                "choices": [{"delta": {}, "finish_reason": "stop", "index": 0}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
            },
        ),
        [ChoiceOpened(0), *ANSWER, STOP, USAGE],
        done=False,
    ),
    Answer("an empty stream", b"", [], done=False),
]
