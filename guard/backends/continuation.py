"""What is kept of an answer, as the request with which an upstream goes on. Pure.

    prompt (rendered with the chat template)            prefix (rendered here)
    …<|im_start|>assistant\\n<think>\\n │ kept thinking, phrase \\n</think>\\n\\n answer so far │ the model goes on
                              `opened` ┘

A chat request carries the prefix as its last message. It opens the thinking itself where the server puts it in place
of the generation prompt (vLLM), and does not where it comes after one that has (SGLang).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from guard.backends.base import Continuation, ModelRequest, UpstreamError
from guard.backends.dialects import Dialect, Prefill, Raw
from guard.contract import Channel
from guard.wire.think import CLOSING_TAG, OPENING_TAG, ThinkStart

OPEN: Final = f"{OPENING_TAG}\n"
CLOSE: Final = f"\n{CLOSING_TAG}\n\n"
"""As QwQ writes it. The newline comes first: without it models go on as if they still thought."""
FINAL_ANSWER: Final = "\n\n**Final Answer**\n\n"
"""What ends the thinking of a model that has no tags, as QwQ-32B-Preview writes it."""
LONGEST: Final = 4096
"""Tokens of a continuation that nobody limits: text completions else end after 16."""

_CONTROL: Final = re.compile(
    r"<\|[^|<>\n]{1,64}\|>|<｜[^｜\n]{1,64}｜>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]|<</?SYS>>"
)
"""Text that a tokenizer reads as the end of a turn, or as the beginning of another's."""


def cannot_continue(why: str) -> UpstreamError:
    """The error for a continuation that this upstream cannot be asked for. No other try would improve it."""
    return UpstreamError(f"The answer cannot be continued: {why}.", code="repair_unsupported", retry=False)


def starts_over(continuation: Continuation) -> bool:
    """Nothing is kept, so the request as it was, with other sampling, is all there is to ask."""
    return continuation.how != "conclude" and not continuation.reasoning and not continuation.content


def prefix(continuation: Continuation, *, opened: bool, thinks: bool) -> str:
    """What the model has said, as it would have written it. `opened`: the prompt ends inside the thinking. `thinks`:
    the model is known to begin with its thinking. Raises `UpstreamError` for text that would read as control tokens.
    """
    reasoning, content, phrase = continuation.reasoning, continuation.content, continuation.phrase
    if _CONTROL.search(reasoning + content + phrase) or CLOSING_TAG in reasoning + phrase:
        raise cannot_continue("what is kept of it spells a control token")
    if not (opened or thinks or reasoning):
        return content if continuation.how != "conclude" else content.rstrip() + _said(phrase) + FINAL_ANSWER
    opening = "" if opened else OPEN
    if continuation.channel is Channel.REASONING:
        return opening + reasoning
    return opening + reasoning.rstrip() + _said(phrase) + CLOSE + content.lstrip("\n")


def _said(phrase: str) -> str:
    return f"\n\n{phrase.strip()}" if phrase.strip() else ""


def messages_of(request: ModelRequest) -> list[Mapping[str, Any]]:
    """The messages, with the continuation's instruction. Raises `UpstreamError` if the last one is the model's own:
    then the client has begun the answer, and what the model made of that is not known here."""
    messages: list[Mapping[str, Any]] = list(request.body.get("messages") or ())
    if messages and messages[-1].get("role") == "assistant":
        raise cannot_continue("the request began it already")
    text = request.continuation.instruction if request.continuation else ""
    if not text:
        return messages
    first = messages[0] if messages else {}
    if first.get("role") not in ("system", "developer"):
        return [{"role": "system", "content": text}, *messages]
    content = first.get("content")
    added = (
        [*content, {"type": "text", "text": text}]
        if isinstance(content, list)
        else "\n\n".join(filter(None, (content, text)))
    )
    return [{**first, "content": added}, *messages[1:]]


def same_again(request: ModelRequest, continuation: Continuation) -> dict[str, Any]:
    """The client's own request, changed as the continuation says, on the same endpoint."""
    body = {**request.body, **continuation.sampling}
    body.pop("n", None)
    if request.route == "chat":
        body["messages"] = messages_of(request)
    if continuation.max_tokens is not None:
        body.pop("max_tokens", None)
        newer = "max_completion_tokens" in body
        body["max_completion_tokens" if newer else "max_tokens"] = continuation.max_tokens
    return body


def chat_again(
    dialect: Dialect, request: ModelRequest, continuation: Continuation, start: ThinkStart
) -> dict[str, Any]:
    """The chat request whose last message is gone on with. Only for dialects with a `prefill`."""
    thinks = start is ThinkStart.REASONING
    follows = dialect.prefill is Prefill.FOLLOWS
    text = prefix(continuation, opened=follows and thinks, thinks=thinks)
    body = same_again(request, continuation)
    body["messages"] = [*body["messages"], {"role": "assistant", "content": text}]
    # SGLang would split by a parser that has not seen the prefix; as one text it is split here.
    how = {"separate_reasoning": False} if follows else {"add_generation_prompt": False}
    return {**body, "continue_final_message": True, **how}


def completion_again(dialect: Dialect, request: ModelRequest, continuation: Continuation) -> dict[str, Any]:
    """A text completion's request with what it said so far. Raises `UpstreamError` where prompts are not taken raw."""
    prompt = request.body.get("prompt")
    if isinstance(prompt, Sequence) and not isinstance(prompt, str) and len(prompt) == 1:
        prompt = prompt[0]
    if dialect.raw in (None, Raw.GENERATE) or not isinstance(prompt, str):
        raise cannot_continue("this model server does not take a prompt as it is")
    said = prefix(continuation, opened=False, thinks=False)
    return {"max_tokens": LONGEST, **same_again(request, continuation), "prompt": prompt + said}


def raw_again(dialect: Dialect, request: ModelRequest, continuation: Continuation, prompt: str) -> dict[str, Any]:
    """The request to `dialect.raw` that goes on from the rendered `prompt`."""
    wanted = {**request.body, **continuation.sampling}
    knobs = {theirs: wanted[ours] for ours, theirs in dialect.knobs.items() if wanted.get(ours) is not None}
    asked = wanted.get("max_completion_tokens") or wanted.get("max_tokens")
    longest = continuation.max_tokens or asked or LONGEST
    opened = prompt.rstrip().endswith(OPENING_TAG)
    text = prompt + prefix(continuation, opened=opened, thinks=opened)
    if dialect.raw is Raw.COMPLETIONS:
        model = {"model": request.body["model"]} if "model" in request.body else {}
        return {**model, "prompt": text, "max_tokens": longest, **knobs}
    if isinstance(knobs.get("stop"), str):
        knobs["stop"] = [knobs["stop"]]
    if dialect.raw is Raw.GENERATE:
        # `think: false` keeps the server from splitting a text of which it has not seen the beginning.
        common = {"model": request.body.get("model", ""), "prompt": text, "raw": True, "think": False, "stream": True}
        return {**common, "options": {**knobs, "num_predict": longest}}
    return {"inputs": text, "parameters": {**_tgi(knobs), "max_new_tokens": longest}}


def _tgi(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """TGI refuses the values that stand for "off" elsewhere, and draws only where it is told to."""
    off: Mapping[str, Sequence[Any]] = {"temperature": (0,), "top_p": (1,), "top_k": (0, -1)}
    kept = {name: value for name, value in knobs.items() if value not in off.get(name, ())}
    return {**kept, "do_sample": knobs.get("temperature") != 0}
