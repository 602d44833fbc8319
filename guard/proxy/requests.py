"""A client's JSON, checked and stripped: what may go upstream, and what the guard must know of it.

Unknown fields are forwarded, because models need knobs no list knows (`top_k`, `min_p`, ...). Stripped, and counted,
are those that would switch review off, put text where it is not reviewed, or let a client harm or read a shared server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import msgspec

from guard.policy.schema import PromptSettings
from guard.proxy.prompt import check_media, reviewed_texts, with_texts
from guard.wire.errors import RequestError

STRIPPED: Final = frozenset(
    {
        "bootstrap_host",
        "bootstrap_port",
        "bootstrap_room",
        "cache_prompt",
        "chat_template",
        "chat_template_kwargs",
        "custom_logit_processor",
        "echo",
        "guided_choice",
        "guided_decoding_backend",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "guided_whitespace_pattern",
        "id_slot",
        "include_reasoning",
        "kv_transfer_params",
        "logits_processors",
        "metadata",
        "n_probs",
        "prompt_logprobs",
        "return_hidden_states",
        "return_token_ids",
        "return_tokens_as_token_ids",
        "skip_special_tokens",
        "store",
        "stream_options",
    }
)
"""Fields that never go upstream. `chat_template_kwargs` keeps its one harmless use, `enable_thinking`."""

FORBIDDEN: Final = frozenset({"api_base", "api_key", "base_url", "custom_llm_provider", "url_idx"})
"""Fields that would choose the upstream or its credentials; only the configuration does."""

UNREADABLE: Final = ("input_embeds", "input_ids", "prompt_embeds", "prompt_token_ids")
"""Fields in which some servers take a prompt as numbers, beside the one that is text or instead of it."""

MAX_DEPTH: Final = 64
NOTHING_REFUSED: Final = PromptSettings()
"""But token ids."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request as the guard understands it. `prompt` is the text of its messages, or of its prompt."""

    route: Literal["chat", "completions"]
    body: Mapping[str, Any]
    model: str
    prompt: str
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    max_tokens: int | None = None
    structured: bool = False
    stripped: Counter[str] = field(default_factory=Counter)

    @property
    def parts(self) -> list[str]:
        """Every text of it that the model may come to read, those of its messages first."""
        return reviewed_texts(self.body)

    def with_parts(self, parts: Sequence[str]) -> Mapping[str, Any]:
        """The body with `parts` in the places of its texts."""
        return with_texts(self.body, parts)


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _Common(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logprobs: bool | int | None = None
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None


class _Chat(_Common, kw_only=True):
    messages: list[_Message]


class _Embeddings(msgspec.Struct):
    input: str | list[Any]
    model: str | None = None


class _Completion(_Common, kw_only=True):
    prompt: str | list[Any]


def parse_request(
    route: Literal["chat", "completions"],
    data: bytes,
    *,
    max_choices: int = 4,
    strip: bool = True,
    settings: PromptSettings = NOTHING_REFUSED,
) -> ClientRequest:
    """Read a request body. Raises `RequestError` that names the field and what is wrong with it. `settings` say which
    parts of a prompt are refused because they cannot be reviewed.

    With `strip` off only the fields that the guard sets itself are taken out.
    """
    removed = STRIPPED if strip else frozenset({"stream_options"})
    body = _decode(data)
    known: _Common = _convert(body, _Chat if route == "chat" else _Completion)
    for name in ("n", "best_of"):
        value = getattr(known, name)
        if value is not None and not 1 <= value <= max_choices:
            raise RequestError(f"`{name}` is {value}; this server makes 1 to {max_choices} choices.", param=name)
    for name in ("max_tokens", "max_completion_tokens"):
        value = getattr(known, name)
        if value is not None and value < 1:
            raise RequestError(f"`{name}` is {value}; it must be at least 1.", param=name)
    said = "\n".join(_texts(known, token_ids=settings.token_ids == "allow"))
    check_media(body, settings)
    for name in UNREADABLE:
        if settings.token_ids == "refuse" and body.get(name) is not None:
            raise _token_ids(name)
    stripped: Counter[str] = Counter(name for name in removed & body.keys() if name != "stream_options")
    forwarded = {name: value for name, value in body.items() if name not in removed}
    thinking = _enable_thinking(body.get("chat_template_kwargs"))
    if strip and thinking is not None:
        forwarded["chat_template_kwargs"] = {"enable_thinking": thinking}
    return ClientRequest(
        route=route,
        body=forwarded,
        model=known.model or "",
        prompt=said,
        stream=bool(known.stream),
        include_usage=bool(known.stream_options and known.stream_options.include_usage),
        choices=known.n or 1,
        max_tokens=known.max_completion_tokens or known.max_tokens,
        structured=(known.response_format or {}).get("type") in ("json_object", "json_schema"),
        stripped=stripped,
    )


def parse_embeddings(data: bytes) -> tuple[dict[str, Any], str]:
    """The body of an embeddings request, and its model's name. Raises `RequestError`."""
    body = _decode(data)
    return body, _convert(body, _Embeddings).model or ""


def check_embedded(body: Mapping[str, Any], settings: PromptSettings) -> None:
    """Raise `RequestError` if what is to be embedded cannot be reviewed and the policy refuses that."""
    given = body["input"]
    if settings.token_ids == "refuse" and isinstance(given, list) and not all(isinstance(each, str) for each in given):
        raise _token_ids("input")


def _convert(body: dict[str, Any], type: type[_Struct]) -> _Struct:
    for name in sorted(FORBIDDEN & body.keys()):
        raise RequestError(
            f"`{name}` cannot be set by a client: the guard's configuration chooses upstream.", param=name
        )
    try:
        return msgspec.convert(body, type=type)
    except msgspec.ValidationError as error:
        raise _explain(error) from error


def _decode(data: bytes) -> dict[str, Any]:
    if not data.strip():
        raise RequestError("The request has no body; send a JSON object.")
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"The body is not valid JSON: {error}.", code="invalid_json") from error
    except RecursionError as error:
        raise RequestError("The body is nested too deeply.", code="invalid_json") from error
    if not isinstance(body, dict):
        raise RequestError(f"The body is a JSON {_json_type(body)}; it must be an object.")
    if _depth(body) > MAX_DEPTH:
        raise RequestError(f"The body is nested more than {MAX_DEPTH} levels deep.", code="invalid_json")
    return body


def _depth(value: object) -> int:
    """Nesting of a JSON value, without recursion."""
    deepest = 0
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        inner: Sequence[object] = ()
        if isinstance(item, dict):
            inner = list(item.values())
        elif isinstance(item, list):
            inner = item
        stack += [(each, level + 1) for each in inner if isinstance(each, dict | list)]
    return deepest


def _explain(error: msgspec.ValidationError) -> RequestError:
    """`Expected `str`, got `int` - at `$.model`` as a sentence about the field `model`."""
    what, _, place = str(error).partition(" - at `$")
    name = place.rstrip("`").lstrip(".")
    missing = what.partition("missing required field `")[2].rstrip("`")
    if missing:
        name = f"{name}.{missing}" if name else missing
        return RequestError(f"`{name}` is missing; it is required.", param=name)
    return RequestError(f"`{name}` has the wrong type: {what[0].lower()}{what[1:]}.", param=name)


def _json_type(value: object) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "value")


def _texts(known: _Common, *, token_ids: bool) -> Iterator[str]:
    """What is said: the texts of all messages, or the one prompt."""
    if isinstance(known, _Chat):
        if not known.messages:
            raise RequestError("`messages` is empty; send at least one message.", param="messages")
        for message in known.messages:
            if isinstance(message.content, str):
                yield message.content
            for part in message.content if isinstance(message.content, list) else ():
                if part.text is not None:
                    yield part.text
    elif isinstance(known, _Completion):
        yield from _prompts(known.prompt, token_ids)


def _prompts(given: str | list[Any], token_ids: bool) -> Iterator[str]:
    prompts = [given] if isinstance(given, str) else given
    if prompts and all(isinstance(each, int) for each in prompts):
        prompts = [prompts]
    for prompt in prompts:
        if isinstance(prompt, str):
            yield prompt
        elif not isinstance(prompt, int | list):
            raise RequestError("`prompt` holds something that is no text; send a string.", param="prompt")
        elif not token_ids or isinstance(prompt, int):
            raise _token_ids("prompt")
    if len(prompts) != 1:
        raise RequestError(
            f"`prompt` holds {len(prompts)} prompts; send one per request so that each is reviewed on its own.",
            param="prompt",
        )


def _token_ids(name: str) -> RequestError:
    return RequestError(
        f"`{name}` holds token ids, which cannot be reviewed; send text instead.", code="not_reviewable", param=name
    )


def _enable_thinking(value: object) -> bool | None:
    thinking = value.get("enable_thinking") if isinstance(value, dict) else None
    return thinking if isinstance(thinking, bool) else None
