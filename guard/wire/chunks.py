"""Chat and text completion chunks: bytes to typed values, whatever the upstream's habits.

Two roads to the same `Chunk`. The fast one is a msgspec struct that forbids unknown fields and allows known
text-bearing ones only as null: it takes exactly the chunks of which nothing is lost. Everything else is read as plain
JSON, taken apart by an allow-list, and what is not forwarded is counted under a name from `KNOWN_FIELDS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct, ValidationError, convert
from msgspec.json import Decoder

from guard.wire.errors import unreadable
from guard.wire.jsontext import dump, parse_object

_RAW: Final = Raw()


class TopLogprob(Struct):
    """One token of `top_logprobs`, as OpenAI spells it; what some servers add (ids) is left out."""

    token: str
    logprob: float
    bytes: list[Annotated[int, Meta(ge=0, le=255)]] | None = None


class TokenLogprob(TopLogprob):
    """One token of `logprobs.content`."""

    top_logprobs: list[TopLogprob] | None = None


class ChoiceLogprobs(Struct):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class FunctionDelta(Struct, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class ToolDelta(Struct, forbid_unknown_fields=True):
    index: int | None = None
    id: str | None = None
    type: Raw = _RAW
    function: FunctionDelta | None = None


class Delta(Struct, forbid_unknown_fields=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolDelta] | None = None
    role: Raw = _RAW
    function_call: None = None
    annotations: None = None
    audio: None = None
    reasoning_details: None = None
    thinking: None = None


class ChoiceChunk(Struct, forbid_unknown_fields=True):
    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None
    stop_reason: str | int | None = None
    matched_stop: str | int | None = None
    native_finish_reason: str | None = None
    content_filter_results: None = None
    prompt_logprobs: None = None
    prompt_token_ids: None = None
    routed_experts: None = None
    token_ids: None = None


Tokens = Annotated[int, Meta(ge=0, le=1 << 53)]


class PromptDetails(Struct):
    cached_tokens: Tokens | None = None


class CompletionDetails(Struct):
    reasoning_tokens: Tokens | None = None


class UsageChunk(Struct):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None
    """SGLang's place for it."""
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Chunk(Struct, forbid_unknown_fields=True):
    choices: list[ChoiceChunk]
    usage: UsageChunk | None = None
    id: Raw = _RAW
    object: Raw = _RAW
    created: Raw = _RAW
    model: Raw = _RAW
    system_fingerprint: Raw = _RAW
    service_tier: Raw = _RAW
    provider: Raw = _RAW
    obfuscation: Raw = _RAW
    error: None = None
    kv_transfer_params: None = None
    prompt_logprobs: None = None
    prompt_token_ids: None = None
    timings: None = None


_HARMLESS: Final = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "provider", "obfuscation"}
)
"""Says nothing of the answer, is written anew by the guard or not at all, and is not counted."""

KNOWN_FIELDS: Final = frozenset(
    {
        *("annotations", "audio", "citations", "content", "content_filter_results", "context", "executed_tools"),
        *("function_call", "generated_text", "images", "kv_transfer_params", "logprobs", "matched_stop", "message"),
        *("parsed", "prompt_filter_results", "prompt_logprobs", "prompt_token_ids", "provider_specific_fields"),
        *("reasoning", "reasoning_content", "reasoning_details", "reasoning_signature", "refusal", "routed_experts"),
        *("search_results", "text", "thinking", "thinking_blocks", "timings", "token_ids", "tool_calls", "usage"),
        *("__verbose", "web_search", "x_groq"),
    }
)
"""Upstreams' fields that may be counted under their own name; the others are `other`."""

COUNTED: Final = KNOWN_FIELDS | {"other", "after_finish", "choice_out_of_range", "tool_call_id"}
"""Every name under which `wire` counts what it drops."""

_fast: Final = Decoder(Chunk).decode

UNLIKELY: Final = -9999.0
"""How OpenAI's API writes a log probability too low to state; some servers write null."""
_TAKEN_OF_DELTA: Final = frozenset(
    {"role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"}
)


def read_chat_chunk(data: bytes) -> Chunk | dict[str, Any]:
    """The chunk in `data`, or its plain JSON object where it must be looked at closely.

    Raises `UpstreamError` (`upstream_protocol`) for what is no JSON object.
    """
    try:
        return _fast(data)
    except (ValueError, RecursionError):
        return parse_object(data)


def take_apart(
    body: Mapping[str, Any], dropped: Counter[str], where: str = "delta", allow: Set[str] = frozenset()
) -> Chunk:
    """The `Chunk` in a plain JSON object, counting what is left behind, but for the top-level fields in `allow`.

    `where` is the field of a choice that holds its text: `delta`, `message`, or `text` for text completions. Raises
    `UpstreamError` where a field that carries the answer is of a type that no server sends.
    """
    _count(body, {"choices", "usage", "error"} | allow, dropped)
    choices = [_choice(choice, dropped, where) for choice in _typed(body, "choices", list) or ()]
    return Chunk(choices=choices, usage=_usage(body.get("usage"), dropped))


def _choice(choice: Any, dropped: Counter[str], where: str) -> ChoiceChunk:
    if not isinstance(choice, dict):
        raise unreadable("a choice is not an object")
    taken = {"index", "finish_reason", "logprobs", "stop_reason", "matched_stop", "native_finish_reason", where}
    _count(choice, taken, dropped)
    if where == "text":
        text = _text(choice, "text", dropped)
        delta = Delta(content=text) if text else None
        if choice.get("logprobs"):
            dropped["logprobs"] += 1
        logprobs = None
    else:
        body = _typed(choice, where, dict)
        delta = _delta(body, dropped) if body else None
        logprobs = _logprobs(choice.get("logprobs"), dropped)
    return ChoiceChunk(
        index=_typed(choice, "index", int) or 0,
        delta=delta,
        finish_reason=_typed(choice, "finish_reason", str),
        logprobs=logprobs,
        stop_reason=_word(choice.get("stop_reason")),
        matched_stop=_word(choice.get("matched_stop")),
        native_finish_reason=_word(choice.get("native_finish_reason")),
    )


def _delta(delta: Mapping[str, Any], dropped: Counter[str]) -> Delta:
    _count(delta, _TAKEN_OF_DELTA, dropped)
    calls = [_tool_call(call, dropped) for call in _typed(delta, "tool_calls", list) or ()]
    legacy = _typed(delta, "function_call", dict)
    if legacy:
        calls.append(ToolDelta(index=0, function=_function(legacy, dropped)))
    return Delta(
        content=_text(delta, "content", dropped),
        reasoning_content=_text(delta, "reasoning_content", dropped),
        reasoning=_text(delta, "reasoning", dropped),
        refusal=_text(delta, "refusal", dropped),
        tool_calls=calls or None,
    )


def _tool_call(call: Any, dropped: Counter[str]) -> ToolDelta:
    if not isinstance(call, dict):
        raise unreadable("a tool call is not an object")
    _count(call, {"index", "id", "type", "function"}, dropped)
    function = _typed(call, "function", dict)
    return ToolDelta(
        index=_typed(call, "index", int),
        id=_word(call.get("id")),
        function=_function(function, dropped) if function else None,
    )


def _function(function: Mapping[str, Any], dropped: Counter[str]) -> FunctionDelta:
    _count(function, {"name", "arguments", "index"}, dropped)
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = dump(arguments).decode()  # Ollama's native form
    return FunctionDelta(name=_typed(function, "name", str), arguments=arguments)


def _text(body: Mapping[str, Any], key: str, dropped: Counter[str]) -> str | None:
    """A text, or the joined texts of a list of parts."""
    value = body.get(key)
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise unreadable(f"`{key}` is neither a text nor a list of parts")
    texts = []
    for part in value:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        else:
            dropped[key] += 1
    return "".join(texts)


def _logprobs(value: Any, dropped: Counter[str]) -> ChoiceLogprobs | None:
    if not isinstance(value, dict):
        if value:
            dropped["logprobs"] += 1
        return None
    return ChoiceLogprobs(
        content=_tokens(value.get("content"), dropped), refusal=_tokens(value.get("refusal"), dropped)
    )


def _tokens(value: Any, dropped: Counter[str]) -> list[TokenLogprob] | None:
    try:
        return [_token(token) for token in value] if value else None
    except (AttributeError, TypeError, ValidationError):
        dropped["logprobs"] += 1
        return None


def _token(value: dict[str, Any]) -> TokenLogprob:
    if value.get("logprob", 0) is None:
        value = {**value, "logprob": UNLIKELY}
    return convert(value, TokenLogprob)


def _usage(value: Any, dropped: Counter[str]) -> UsageChunk | None:
    if not value:
        return None
    try:
        return convert(value, UsageChunk)
    except ValidationError:
        dropped["usage"] += 1
        return None


def _typed(body: Mapping[str, Any], key: str, kind: type) -> Any:
    value = body.get(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise unreadable(f"`{key}` is not of the type {kind.__name__}")


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(body: Mapping[str, Any], taken: Set[str], dropped: Counter[str]) -> None:
    for name, value in body.items():
        if value and name not in taken and name not in _HARMLESS:
            dropped[name if name in KNOWN_FIELDS else "other"] += 1
