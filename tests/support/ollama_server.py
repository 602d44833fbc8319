"""A scripted Ollama (0.34) that keeps the real one's rules for raw prompts.

From its `server/routes.go` and `api/types.go`: `/api/chat` renders and stops there for `_debug_render_only`;
`/api/generate` with `raw` refuses a template, a system text or a context; options it does not know are ignored; the
answer is lines of JSON, and an error in mid-answer is a line too, under a status of 200. From its `openai/openai.go`
and `thinking/parser.go`: every delta of `/v1/chat/completions` has a role and a content, and the white space around the
tags is eaten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.support.rule_server import RuleServer, counted, limited, qwq_prompt, refuse, sse, tokens
from tests.support.upstream import Received, Reply, json_reply, reply

_GENERATE: Final = frozenset({"model", "prompt", "raw", "stream", "options", "think", "keep_alive", "format"})
_OPTIONS: Final = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "num_predict", "num_ctx", "repeat_penalty"),
        *("presence_penalty", "frequency_penalty", "repeat_last_n", "typical_p"),
    }
)


class OllamaServer(RuleServer):
    """`fails` ends the answer in its middle with an error line."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self._fails = fails

    def answer(self, received: Received) -> Reply:
        if received.path == "/v1/models":
            return json_reply({"object": "list", "data": [{"id": "qwq:latest", "owned_by": "library"}]})
        if received.path == "/api/version":
            return json_reply({"version": "0.34.0"})
        body = received.json
        if received.path == "/v1/chat/completions":
            return self._chat(body)
        if received.path == "/api/chat" and body.get("_debug_render_only"):
            info = {"rendered_template": qwq_prompt(body["messages"])}
            return json_reply({"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "_debug_info": info})
        if received.path != "/api/generate":
            return json_reply({"error": "not found"}, status=404)
        self.only(body, _GENERATE, "/api/generate")
        self.only(body["options"], _OPTIONS, "options")
        if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
            raise refuse(400, {"error": "raw mode does not support template, system, or context"})
        if not body.get("raw"):
            self.fault("the prompt is put into the template once more")
        if not isinstance(body["options"].get("stop", []), list):
            raise refuse(400, {"error": 'option "stop" must be of type array'})
        prompt = body["prompt"]
        said, reason = limited(self.say(prompt), body["options"].get("num_predict"))
        lines: list[dict[str, Any]] = [{"response": text, "done": False} for text in said]
        if self._fails:
            lines = [*lines[:2], {"error": "an error was encountered while running the model: CUDA error"}]
        else:
            counts = {"prompt_eval_count": len(tokens(prompt)), "eval_count": len(said)}
            lines.append({"response": "", "done": True, "done_reason": reason, "total_duration": 1, **counts})
        head = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
        written = [json.dumps(line if "error" in line else {**head, **line}) + "\n" for line in lines]
        return reply(*written, headers={"content-type": "application/x-ndjson"})

    def _chat(self, body: Mapping[str, Any]) -> Reply:
        prompt = qwq_prompt(body["messages"])
        said, reason = limited(self.say(prompt), body.get("max_tokens"))
        thought, _, answer = "".join(said).partition("</think>")
        deltas = [{"content": "", "reasoning": text} for text in tokens(thought.strip())]
        deltas += [{"content": text} for text in tokens(answer.strip())]
        chunks = [_chunk([_choice(delta)]) for delta in deltas]
        usage = (
            [_chunk([], usage=counted(prompt, said))] if (body.get("stream_options") or {}).get("include_usage") else []
        )
        return reply(*sse(*chunks, _chunk([_choice({"content": ""}, reason)]), *usage))


def _choice(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": reason}


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "qwq:latest"}
    return {**head, "system_fingerprint": "fp_ollama", "choices": choices, **more}
