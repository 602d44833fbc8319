"""A request's messages as the prompt that the upstream would make of them.

In this order: the operator's template, the upstream's own endpoint, the template known for the model's name. Where none
of them is to be had, the answer cannot be continued from a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from guard.backends.base import ModelRequest, UpstreamError
from guard.backends.client import UpstreamClient
from guard.backends.continuation import cannot_continue, messages_of
from guard.backends.dialects import Dialect, Renderer
from guard.backends.templates import ChatTemplate, TemplateFault, built_in

SECONDS: Final = 5.0
"""For one call of the upstream's; it tokenizes a prompt, no more."""


async def render_prompt(
    client: UpstreamClient, dialect: Dialect, request: ModelRequest, template: ChatTemplate | None
) -> str:
    """The prompt of a chat request, with the beginning of the model's turn. Raises `UpstreamError`."""
    messages = messages_of(request)
    options = request.body.get("chat_template_kwargs") or {}
    why = "the chat template is not known; set `upstream.chat_template`"
    if template is None and dialect.renderer is not None:
        try:
            return await _rendered_there(client, dialect.renderer, request, messages, options)
        except UpstreamError as error:
            if error.code == "shut_down":
                raise
            why += f" ({dialect.renderer}: {error.code})"
    template = template or built_in(request.model)
    if template is None:
        raise cannot_continue(why)
    try:
        return template.render(messages, options)
    except TemplateFault as fault:
        raise cannot_continue(str(fault)) from fault


async def _rendered_there(
    client: UpstreamClient,
    renderer: Renderer,
    request: ModelRequest,
    messages: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> str:
    async def ask(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        of_client = {"authorization": request.authorization, "request_id": request.request_id}
        return await client.json("POST", client.root + path, body, seconds=SECONDS, **of_client)  # type: ignore[arg-type]

    model = {"model": request.body["model"]} if "model" in request.body else {}
    chat = {**model, "messages": messages, **({"chat_template_kwargs": options} if options else {})}
    answer = await ask(renderer, {**chat, **_ASKS_FOR[renderer]})
    if renderer is Renderer.TOKENIZE:
        answer = await ask("/detokenize", {**model, "tokens": answer.get("tokens")})
    found = answer.get("_debug_info") if renderer is Renderer.DEBUG_RENDER else answer
    prompt = found.get(_FOUND_IN[renderer]) if isinstance(found, dict) else None
    if not isinstance(prompt, str) or not prompt:
        raise UpstreamError(f"`{client.name}` answered {renderer} without a prompt.", code="upstream_protocol")
    return prompt


_ASKS_FOR: Final[Mapping[Renderer, Mapping[str, Any]]] = {
    Renderer.TOKENIZE: {"add_generation_prompt": True},
    Renderer.APPLY_TEMPLATE: {},
    Renderer.DEBUG_RENDER: {"_debug_render_only": True, "stream": False},
    Renderer.CHAT_TOKENIZE: {},
}
_FOUND_IN: Final[Mapping[Renderer, str]] = {
    Renderer.TOKENIZE: "prompt",
    Renderer.APPLY_TEMPLATE: "prompt",
    Renderer.DEBUG_RENDER: "rendered_template",
    Renderer.CHAT_TOKENIZE: "templated_text",
}
