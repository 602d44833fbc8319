"""A request in tokens, and tokens as text: all that the in-process backend asks of a tokenizer.

chat:         messages ──chat template, else ChatML──► text ──► ids
completions:  prompt ────────────────────────────────► text ──► ids, with the tokenizer's own special tokens
continued:    either text, then what is kept of the answer, as the model wrote it
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from jinja2 import TemplateError

from guard.backends.base import Continuation, ModelRequest
from guard.backends.continuation import messages_of, prefix
from guard.backends.sampling import Sampling, read_messages, read_prompt, refused
from guard.contract import Channel
from guard.wire.think import CLOSING_TAG, OPENING_TAG, ThinkStart

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
"""For models whose tokenizer has no chat template; their turn then ends at `<|im_end|>`."""
CHATML_END: Final = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generation needs to begin. `sampling.max_tokens` is set, and fits into the context."""

    ids: Sequence[int]
    sampling: Sampling
    start: ThinkStart


def decoder(tokenizer: Any) -> Callable[[Sequence[int]], str]:
    """Ids to text without special tokens, except the thinking's tags where a tokenizer counts them among these."""
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(id for id, token in added.items() if token.special)}
    unseen = special - {id for id, token in added.items() if token.content in (OPENING_TAG, CLOSING_TAG)}

    def decode(ids: Sequence[int]) -> str:
        seen = [id for id in ids if id not in unseen]
        text: str = tokenizer.decode(seen, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

    return decode


class Tokenized:
    """A Hugging Face tokenizer and the number of tokens that prompt and answer together may have.

    `prompt` and `decode` may run in different threads at a time.
    """

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.context_length = context_length
        self.decode = decoder(tokenizer)
        # Encoding changes the state of a fast tokenizer, so prompts have one of their own.
        self._encoder = copy.deepcopy(tokenizer)
        self._encoding = threading.Lock()

    def prompt(self, request: ModelRequest, sampling: Sampling, start: ThinkStart, max_tokens: int) -> Prompt:
        """The request in tokens; `max_tokens` is for one that sets none.

        A chat template that ends in `<think>` makes an `auto` start a `reasoning` one; of a continued request the start
        is where it goes on. Raises `UpstreamError` with
        status 400 if the prompt cannot be rendered or leaves no room for an answer.
        """
        if request.route == "completions":
            text, chat, start = read_prompt(request.body), False, ThinkStart.CONTENT
        else:
            text, chat = self._render(request), True
            if start is ThinkStart.AUTO and text.rstrip().endswith(OPENING_TAG):
                start = ThinkStart.REASONING
            if self._encoder.chat_template is None:
                sampling = replace(sampling, stop=(*sampling.stop, CHATML_END))
        if request.continuation is not None:
            text, start = go_on(text, request.continuation, start)
        with self._encoding:
            ids: list[int] = self._encoder(text, add_special_tokens=not chat)["input_ids"]
        room = self.context_length - len(ids)
        if room < 1:
            raise refused(
                f"The prompt has {len(ids)} tokens, and this model's context is {self.context_length}; shorten it.",
                "context_length_exceeded",
            )
        if not ids:
            raise refused("The prompt is empty.")
        return Prompt(ids, replace(sampling, max_tokens=min(sampling.max_tokens or max_tokens, room)), start)

    def _render(self, request: ModelRequest) -> str:
        body = request.body if request.continuation is None else {**request.body, "messages": messages_of(request)}
        messages = read_messages(body)
        options = body.get("chat_template_kwargs")
        thinking = options.get("enable_thinking") if isinstance(options, Mapping) else None
        try:
            with self._encoding:
                text: str = self._encoder.apply_chat_template(
                    messages,
                    chat_template=CHATML if self._encoder.chat_template is None else None,
                    tokenize=False,
                    add_generation_prompt=True,
                    **({"enable_thinking": thinking} if isinstance(thinking, bool) else {}),
                )
        except TemplateError as error:
            raise refused(f"The model's chat template refuses these messages: {str(error)[:200]}") from error
        return text


def go_on(prompt: str, kept: Continuation, start: ThinkStart) -> tuple[str, ThinkStart]:
    """The rendered `prompt` with what is kept after it, and where the model then goes on. `start` is where its outputs
    begin. Raises `UpstreamError` for text that would read as control tokens."""
    opened = start is ThinkStart.REASONING or prompt.rstrip().endswith(OPENING_TAG)
    text = prompt + prefix(kept, opened=opened, thinks=False)
    return text, ThinkStart.REASONING if kept.channel is Channel.REASONING else ThinkStart.CONTENT
