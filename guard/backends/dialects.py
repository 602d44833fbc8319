"""How each upstream spells the protocol, and how it can be made to go on with an answer: one row each.

Facts are those of vLLM 0.33, SGLang 0.5.23, Ollama 0.34, llama.cpp's server, TGI 3, transformers 5, and of the public
documentation of DashScope, OpenRouter and OpenAI; docs/upstreams.md has them. An upstream that nothing is known of is
read like OpenAI, and never asked to go on.

What their words for the end of an answer mean is in `guard.wire.choice`, what their errors look like in
`guard.wire.failures`: no two of them use one word for two things, so these need no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from guard.wire.think import ThinkStart


class Raw(StrEnum):
    """The endpoint that takes a rendered prompt, and the form of its stream."""

    COMPLETIONS = "/completions"
    """OpenAI's text completions, as SSE; the path is one of the API's, the others are the server's own."""
    GENERATE = "/api/generate"
    """Ollama's, with `raw: true`, as lines of JSON."""
    GENERATE_STREAM = "/generate_stream"
    """TGI's, as SSE."""


class Prefill(StrEnum):
    """How a chat request says that its last message is to be gone on with."""

    REPLACES = "replaces"
    """vLLM: the message stands where the generation prompt would, so it must open the thinking itself."""
    FOLLOWS = "follows"
    """SGLang: the message comes after the generation prompt, which may have opened the thinking already."""


class Renderer(StrEnum):
    """The endpoint that renders messages with the model's own chat template."""

    TOKENIZE = "/tokenize"
    """vLLM: to token ids, which `/detokenize` makes text of."""
    APPLY_TEMPLATE = "/apply-template"
    """llama.cpp."""
    DEBUG_RENDER = "/api/chat"
    """Ollama, with `_debug_render_only: true`."""
    CHAT_TOKENIZE = "/chat_tokenize"
    """TGI."""


def _same(*names: str) -> Mapping[str, str]:
    return MappingProxyType({name: name for name in names})


_OPENAI: Final = ("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "logit_bias")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One row. `knobs` are the request's sampling fields that the raw endpoint has, with their names there."""

    name: str
    reasoning_field: str = ""
    """Where the reasoning of a chat answer is; empty: inline, in its content."""
    start: ThinkStart | None = None
    """Where content begins whatever the model, unless configured; None: that depends on the model."""
    raw: Raw | None = None
    prefill: Prefill | None = None
    renderer: Renderer | None = None
    control: bool = False
    """Has llama.cpp's live control, which ends the thinking of a running answer."""
    stream_only: bool = False
    """Refuses requests that do not stream. The guard always streams, so this is never felt."""
    finishes: frozenset[str] = frozenset({"stop", "length", "tool_calls"})
    """The words with which it ends an answer."""
    usage_option: bool = True
    """Knows `stream_options.include_usage` on its raw endpoint."""
    knobs: Mapping[str, str] = field(default_factory=lambda: _same(*_OPENAI))
    native: frozenset[str] = frozenset()
    """The settings of `upstream.native` that it understands."""

    @property
    def repairs(self) -> frozenset[str]:
        """The repairs that it can carry out."""
        return _BOTH if self.raw is not None or self.prefill is not None else frozenset()

    @property
    def chat_repairs(self) -> frozenset[str]:
        """Those that it can also carry out for what only its chat API understands."""
        return _BOTH if self.prefill is not None else frozenset()


_BOTH: Final = frozenset({"conclude", "resample"})

VLLM: Final = Dialect(
    "vllm",
    "reasoning",
    raw=Raw.COMPLETIONS,
    prefill=Prefill.REPLACES,
    renderer=Renderer.TOKENIZE,
    finishes=frozenset({"stop", "length", "tool_calls", "abort", "error", "repetition"}),
    knobs=_same(
        *_OPENAI,
        *("top_k", "min_p", "repetition_penalty", "length_penalty", "stop_token_ids", "bad_words", "allowed_token_ids"),
        *("include_stop_str_in_output", "ignore_eos", "priority", "repetition_detection"),
    ),
    native=frozenset({"thinking_token_budget", "repetition_detection"}),
)
SGLANG: Final = Dialect(
    "sglang",
    "reasoning_content",
    raw=Raw.COMPLETIONS,
    prefill=Prefill.FOLLOWS,
    finishes=frozenset({"stop", "length", "tool_calls", "content_filter", "abort"}),
    knobs=_same(*_OPENAI, "top_k", "min_p", "repetition_penalty", "stop_token_ids", "ignore_eos"),
)
LLAMACPP: Final = Dialect(
    "llamacpp",
    "reasoning_content",
    raw=Raw.COMPLETIONS,
    renderer=Renderer.APPLY_TEMPLATE,
    control=True,
    knobs=MappingProxyType(
        {
            **_same(*_OPENAI, "top_k", "min_p", "repeat_penalty", "repeat_last_n", "typical_p", "top_n_sigma"),
            **_same("dry_multiplier", "dry_base", "dry_allowed_length", "xtc_probability", "xtc_threshold"),
            **_same("mirostat", "mirostat_tau", "mirostat_eta", "samplers", "ignore_eos"),
            "repetition_penalty": "repeat_penalty",
        }
    ),
    native=frozenset({"reasoning_budget_tokens", "reasoning_control"}),
)
OLLAMA: Final = Dialect(
    "ollama",
    "reasoning",
    raw=Raw.GENERATE,
    renderer=Renderer.DEBUG_RENDER,
    finishes=frozenset({"stop", "length", "tool_calls", "load", "unload"}),
    knobs=MappingProxyType(
        {
            **_same("temperature", "top_p", "seed", "stop", "presence_penalty", "frequency_penalty", "top_k", "min_p"),
            "repetition_penalty": "repeat_penalty",
        }
    ),
)
TGI: Final = Dialect(
    "tgi",
    raw=Raw.GENERATE_STREAM,
    renderer=Renderer.CHAT_TOKENIZE,
    finishes=frozenset({"stop", "length", "stop_sequence", "eos_token", "tool_calls"}),
    knobs=_same("temperature", "top_p", "top_k", "seed", "stop", "frequency_penalty", "repetition_penalty"),
)
TRANSFORMERS: Final = Dialect(
    "transformers",
    raw=Raw.COMPLETIONS,
    usage_option=False,
    knobs=_same("temperature", "top_p", "seed", "stop", "frequency_penalty", "logit_bias"),
)
DASHSCOPE: Final = Dialect(
    "dashscope",
    "reasoning_content",
    start=ThinkStart.NATIVE,
    stream_only=True,
    native=frozenset({"thinking_budget"}),
)
OPENROUTER: Final = Dialect("openrouter", "reasoning", finishes=frozenset({"stop", "length", "tool_calls", "error"}))
OPENAI: Final = Dialect(
    "openai", "reasoning_content", finishes=frozenset({"stop", "length", "tool_calls", "content_filter"})
)

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {row.name: row for row in (VLLM, SGLANG, LLAMACPP, OLLAMA, TGI, TRANSFORMERS, DASHSCOPE, OPENROUTER, OPENAI)}
)
"""Every row, by the name that `upstream.dialect` has for it."""
