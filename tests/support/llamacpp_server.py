"""A scripted llama.cpp server that keeps the real one's rules for going on with an answer, thinking included, which the
small model of the genuine one (`tests.support.llamacpp`) does not do.

Its words are the genuine server's (`tests/real/test_continuation.py` holds them against it): two trailing assistant
messages, or one with thinking, are refused; a prompt is rendered on request; the order to end the thinking is taken for
a running answer that was armed, and answered with `success: false` for any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from tests.support.rule_server import RuleServer, counted, limited, qwq_prompt, refuse, sse
from tests.support.upstream import Received, Reply, Until, json_reply, reply

TWO_AT_THE_END: Final = "Cannot have 2 or more assistant messages at the end of the list."
PREFILL_AND_THINKING: Final = "Assistant response prefill is incompatible with enable_thinking."
NOT_RUNNING: Final = {"success": False, "message": "no active completion for this id"}
NO_ID: Final = "missing completion id"
ANSWER_ID: Final = "chatcmpl-live"
RAMBLING: Final = "Canaries sing. Canaries sing. "


class LlamacppServer(RuleServer):
    """`rambles` makes the model think until it is ordered to end it. `controls` says that the order exists."""

    def __init__(self, *, rambles: bool = False, controls: bool = True, templates: bool = True) -> None:
        super().__init__()
        self._rambles = rambles
        self._controls = controls
        self._templates = templates
        self._running = ""
        self._ordered = asyncio.Event()

    def answer(self, received: Received) -> Reply:
        if received.path == "/v1/models":
            return json_reply({"object": "list", "data": [{"id": "qwq", "owned_by": "llamacpp"}]})
        if received.path == "/props":
            return json_reply({"default_generation_settings": {}, "build_info": "b7000-abc", "total_slots": 1})
        body = received.json if received.body else {}
        match received.path:
            case "/apply-template" if self._templates:
                return json_reply({"prompt": self._prompt(body)})
            case "/v1/chat/completions":
                return self._chat(body)
            case "/v1/completions":
                return self._completion(body)
            case "/v1/chat/completions/control" if self._controls:
                return self._control(body)
        return json_reply({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, status=404)

    def _prompt(self, body: Mapping[str, Any]) -> str:
        messages = body["messages"]
        if len(messages) > 1 and messages[-1]["role"] == messages[-2]["role"] == "assistant":
            raise _refuse(TWO_AT_THE_END)
        if messages[-1]["role"] == "assistant":
            raise _refuse(PREFILL_AND_THINKING)
        return qwq_prompt(messages)

    def _chat(self, body: Mapping[str, Any]) -> Reply:
        prompt = self._prompt(body)
        if not self._rambles:
            said, reason = limited(self.say(prompt), body.get("max_tokens"))
            thought, _, answer = "".join(said).partition("\n</think>\n\n")
            return reply(*sse(_chunk({"reasoning_content": thought}), _chunk({"content": answer}), _chunk({}, reason)))
        if body.get("reasoning_control") is True:
            self._running = ANSWER_ID
        said = ["Yes, ", "canaries sing."]
        return reply(
            *sse(_chunk({"role": "assistant", "content": None}), _chunk({"reasoning_content": RAMBLING}), done=False),
            Until(self._ordered),
            *sse(_chunk({"reasoning_content": "Canaries"}), *(_chunk({"content": text}) for text in said), done=False),
            *sse(_chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": counted(prompt, said)}),
        )

    def _completion(self, body: Mapping[str, Any]) -> Reply:
        prompt = body["prompt"]
        said, reason = limited(self.say(prompt), body.get("max_tokens"))
        chunks = [{"choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": None}]} for text in said]
        last = {"choices": [{"text": "", "index": 0, "logprobs": None, "finish_reason": reason}]}
        return reply(*sse(*chunks, {**last, "usage": counted(prompt, said), "timings": {"predicted_n": len(said)}}))

    def _control(self, body: Mapping[str, Any]) -> Reply:
        if not body.get("id"):
            raise _refuse(NO_ID)
        if body["id"] != self._running or body.get("action") != "reasoning_end":
            return json_reply(NOT_RUNNING)
        self._ordered.set()
        return json_reply({"success": True})


def _refuse(message: str) -> Exception:
    return refuse(400, {"error": {"code": 400, "message": message, "type": "invalid_request_error"}})


def _chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"finish_reason": reason, "index": 0, "delta": delta}
    return {"choices": [choice], "created": 1, "id": ANSWER_ID, "model": "qwq", "object": "chat.completion.chunk"}
