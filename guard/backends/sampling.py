"""What a request asks of an in-process model: read, checked, and refused in one sentence where it cannot be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from guard.backends.base import ModelRequest, UpstreamError

MOST_CHOICES: Final = 4
"""Largest `n`: choices are written one after the other."""
MOST_STOPS: Final = 16


def refused(message: str, code: str = "invalid_request") -> UpstreamError:
    """The error for a request that no other try would improve."""
    return UpstreamError(message, status=400, code=code, retry=False)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen and when to end. Every default means "leave the distribution alone"."""

    temperature: float = 1.0
    """0 always takes the most probable token."""
    top_p: float = 1.0
    top_k: int = 0
    """0 or -1: all tokens."""
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    choices: int = 1


def continued(request: ModelRequest) -> ModelRequest:
    """The request with the sampling of its continuation, if it has one: one choice, and what is left of its tokens."""
    kept = request.continuation
    if kept is None:
        return request
    body = {name: value for name, value in request.body.items() if name not in ("n", "max_completion_tokens")}
    body.update(kept.sampling)
    if kept.max_tokens is not None:
        body["max_tokens"] = kept.max_tokens
    return replace(request, body=body)


class _Range(NamedTuple):
    low: float
    high: float
    whole: bool = False


_NUMBERS: Final[Mapping[str, _Range]] = {
    "temperature": _Range(0, 100),
    "top_p": _Range(0, 1),
    "top_k": _Range(-1, 2**31, whole=True),
    "min_p": _Range(0, 1),
    "repetition_penalty": _Range(0.01, 100),
    "presence_penalty": _Range(-2, 2),
    "frequency_penalty": _Range(-2, 2),
    "seed": _Range(-(2**63), 2**64, whole=True),
    "max_tokens": _Range(1, 2**31, whole=True),
    "max_completion_tokens": _Range(1, 2**31, whole=True),
    "n": _Range(1, MOST_CHOICES, whole=True),
}

_NOT_HERE: Final[Mapping[str, tuple[Any, ...]]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "audio": (),
    "modalities": (["text"],),
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
}
"""Fields that an in-process model cannot serve, each with the values that ask for nothing (null always does)."""


def read_sampling(request: ModelRequest, defaults: Mapping[str, Any]) -> Sampling:
    """The request's sampling; `defaults` (the model's own recommendation) stand for what it leaves open.

    Raises `UpstreamError` with status 400 that names the field, the value's fault and what would do.
    """
    body = request.body
    for field, harmless in _NOT_HERE.items():
        value = body.get(field)
        if value is not None and not any(type(value) is type(no) and value == no for no in harmless):
            raise refused(f"The in-process model does not support `{field}`; leave it out.", "unsupported_parameter")
    numbers = {
        name: _number(name, body[name], limits) for name, limits in _NUMBERS.items() if body.get(name) is not None
    }
    longest = numbers.pop("max_completion_tokens", None)
    if longest is not None:
        numbers["max_tokens"] = longest
    choices = numbers.pop("n", 1)
    return Sampling(**{**defaults, **numbers}, choices=choices, stop=_stops(body.get("stop")))


def _number(name: str, value: Any, limits: _Range) -> Any:
    kind = "a whole number" if limits.whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if limits.whole else int | float):
        raise refused(f"`{name}` must be {kind}, not {type(value).__name__}.")
    if not limits.low <= value <= limits.high:
        raise refused(f"`{name}` is {value}; the in-process model takes {limits.low:g} to {limits.high:g}.")
    return value


def _stops(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise refused("`stop` must be a string or a list of strings, none of them empty.")
    if len(stops) > MOST_STOPS:
        raise refused(f"`stop` has {len(stops)} strings; at most {MOST_STOPS} are allowed.")
    return tuple(stops)


def read_messages(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages as role and plain text. Raises `UpstreamError` with status 400 for what a text model cannot take."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused("`messages` must be a list with at least one message.")
    return [_message(number, message) for number, message in enumerate(messages)]


def _message(number: int, message: Any) -> dict[str, str]:
    place = f"messages[{number}]"
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise refused(f"`{place}` must be an object with a `role`.")
    role = message["role"]
    if role in ("tool", "function") or message.get("tool_calls"):
        raise refused(f"`{place}`: the in-process model does not support tool calls.", "unsupported_parameter")
    return {"role": "system" if role == "developer" else role, "content": _text(place, message.get("content"))}


def _text(place: str, content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise refused(f"`{place}.content` must be a string or a list of parts, not {type(content).__name__}.")
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise refused(f"`{place}.content`: the in-process model reads text parts only.", "unsupported_parameter")
    return "".join(part["text"] for part in content)


def read_prompt(body: Mapping[str, Any]) -> str:
    """The raw prompt of a completion. Raises `UpstreamError` with status 400 unless it is one string."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise refused("`prompt` must be one string (or a list that holds one) for the in-process model.")
    return prompt


def asked(request: ModelRequest) -> str:
    """All text of a request that has been read before."""
    if request.route == "completions":
        return read_prompt(request.body)
    return "\n".join(message["content"] for message in read_messages(request.body))
