"""How different model servers speak: the chunks of their chat completion streams, as observed or documented."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DONE: Final = b"data: [DONE]\n\n"


def event(body: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The chunks of one kind of server, as its streams have been seen or are documented to look."""

    name: str
    reasoning_field: str
    chunk: Mapping[str, Any] = field(default_factory=dict)
    """What every chunk carries at its top level."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """What every choice carries."""
    delta: Mapping[str, Any] = field(default_factory=dict)
    """What every delta carries unless it says otherwise."""
    first: Mapping[str, Any] | None = field(default_factory=lambda: {"role": "assistant", "content": ""})
    """The delta that opens a choice; None if the first text does."""
    last: Mapping[str, Any] = field(default_factory=dict)
    """The delta that comes with the finish reason."""
    of_usage: Mapping[str, Any] = field(default_factory=dict)
    """What the chunk with the usage carries besides."""

    def opening(self, choice: int = 0) -> bytes:
        return b"" if self.first is None else self._event(choice, {**self.delta, **self.first})

    def content(self, text: str, choice: int = 0) -> bytes:
        return self._event(choice, {**self.delta, "content": text})

    def thought(self, text: str, choice: int = 0) -> bytes:
        return self._event(choice, {**self.delta, self.reasoning_field: text})

    def finish(self, reason: str = "stop", choice: int = 0) -> bytes:
        return self._event(choice, {**self.delta, **self.last}, reason)

    def usage(self, prompt: int = 7, completion: int = 5) -> bytes:
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return event({**self._head(), "choices": [], "usage": counts, **self.of_usage})

    def answer(self, *texts: str, thoughts: Sequence[str] = (), finish: str = "stop") -> list[bytes]:
        """A whole stream of one choice, one write per chunk."""
        return [
            *filter(None, [self.opening()]),
            *(self.thought(text) for text in thoughts),
            *(self.content(text) for text in texts),
            self.finish(finish),
            self.usage(),
            DONE,
        ]

    def _head(self) -> dict[str, Any]:
        return {
            "id": "chatcmpl-upstream",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "upstream-model",
            **self.chunk,
        }

    def _event(self, choice: int, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        body = {"index": choice, "delta": delta, "finish_reason": reason, **self.choice}
        return event({**self._head(), "choices": [body]})


VLLM: Final = Dialect(
    "vllm",
    "reasoning",
    choice={"logprobs": None, "stop_reason": None, "token_ids": None},
    last={"content": ""},
)
SGLANG: Final = Dialect(
    "sglang",
    "reasoning_content",
    choice={"logprobs": None, "matched_stop": None},
    delta={"role": None, "content": None, "reasoning_content": None, "tool_calls": None},
    first={"role": "assistant", "content": ""},
)
LLAMACPP: Final = Dialect(
    "llamacpp",
    "reasoning_content",
    chunk={"system_fingerprint": "b6000-abc"},
    first={"role": "assistant", "content": None},
    of_usage={"timings": {"predicted_n": 5, "predicted_per_second": 38.0}},
)
OLLAMA: Final = Dialect(
    "ollama",
    "reasoning",
    chunk={"system_fingerprint": "fp_ollama"},
    delta={"role": "assistant", "content": ""},
    first=None,
)
OPENAI: Final = Dialect(
    "openai",
    "reasoning_content",
    chunk={"service_tier": "default", "system_fingerprint": "fp_1", "usage": None, "obfuscation": "xyz"},
    choice={"logprobs": None},
    first={"role": "assistant", "content": "", "refusal": None},
)
DIALECTS: Final = (VLLM, SGLANG, LLAMACPP, OLLAMA, OPENAI)


def texts(chunks: Iterable[Mapping[str, Any]], name: str = "content", choice: int = 0) -> str:
    """What the chunks of a stream say in one field of one choice."""
    return "".join(
        each.get("delta", {}).get(name) or ""
        for chunk in chunks
        for each in chunk.get("choices", ())
        if each["index"] == choice
    )
