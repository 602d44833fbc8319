"""A scripted TGI (3) that keeps the real one's rules for raw prompts.

From its `router/src/{server,validation,lib}.rs`: `/chat_tokenize` gives the rendered text; parameters that stand for
"off" elsewhere are refused (`temperature` 0, `top_p` 1, `top_k` 0); at most four stop sequences; the last event carries
`generated_text` and `details`; an error in mid-answer is an event with `error` and `error_type`. It has no parser of
thinking: a chat answer's content has the tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.support.rule_server import RuleServer, counted, limited, qwq_prompt, refuse, sse, tokens
from tests.support.upstream import Received, Reply, json_reply, reply

_PARAMETERS: Final = frozenset(
    {
        *("best_of", "temperature", "repetition_penalty", "frequency_penalty", "top_k", "top_p", "typical_p", "seed"),
        *("do_sample", "max_new_tokens", "return_full_text", "stop", "truncate", "watermark", "details"),
    }
)


class TgiServer(RuleServer):
    """`fails` ends the answer in its middle with an error event."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self._fails = fails

    def answer(self, received: Received) -> Reply:
        if received.path == "/v1/models":
            return json_reply({"object": "list", "data": [{"id": "Qwen/QwQ-32B", "owned_by": "Qwen/QwQ-32B"}]})
        if received.path == "/info":
            return json_reply({"model_id": "Qwen/QwQ-32B", "max_total_tokens": 4096, "version": "3.3.6"})
        if received.path == "/chat_tokenize":
            text = qwq_prompt(received.json["messages"])
            return json_reply({"tokenize_response": [], "templated_text": text})
        if received.path == "/v1/chat/completions":
            return self._chat(received.json)
        if received.path != "/generate_stream":
            return json_reply({"error": "not found"}, status=404)
        body = received.json
        self.only(body, ["inputs", "parameters"], "/generate_stream")
        self._validate(body["parameters"])
        prompt = body["inputs"]
        said, reason = limited(self.say(prompt), body["parameters"]["max_new_tokens"])
        events: list[Mapping[str, Any]] = [_token(number, text) for number, text in enumerate(said, 1)]
        if self._fails:
            return reply(*sse(*events[:2], {"error": "CUDA out of memory", "error_type": "generation"}, done=False))
        counts = {"generated_tokens": len(said), "input_length": len(tokens(prompt)), "seed": None}
        end = _token(len(said) + 1, "<|im_end|>" if reason == "stop" else "", special=reason == "stop")
        details = {"finish_reason": "eos_token" if reason == "stop" else "length", **counts}
        return reply(*sse(*events, {**end, "generated_text": "".join(said), "details": details}, done=False))

    def _chat(self, body: Mapping[str, Any]) -> Reply:
        prompt = qwq_prompt(body["messages"])
        said, reason = limited(self.say(prompt), body.get("max_tokens"))
        chunks = [_chunk([_choice(text)]) for text in said]
        usage = (
            [_chunk([], usage=counted(prompt, said))] if (body.get("stream_options") or {}).get("include_usage") else []
        )
        return reply(*sse(*chunks, _chunk([_choice("", reason)]), *usage))

    def _validate(self, parameters: Mapping[str, Any]) -> None:
        self.only(parameters, _PARAMETERS, "parameters")
        wrong = {
            "`temperature` must be strictly positive": parameters.get("temperature", 1) <= 0,
            "`top_p` must be > 0.0 and < 1.0": not 0 < parameters.get("top_p", 0.5) < 1,
            "`top_k` must be strictly positive": parameters.get("top_k", 1) <= 0,
            "`max_new_tokens` must be strictly positive": parameters["max_new_tokens"] <= 0,
            "`stop` supports up to 4 stop sequences": len(parameters.get("stop", [])) > 4,
        }
        for message, broken in wrong.items():
            if broken:
                raise refuse(422, {"error": f"Input validation error: {message}", "error_type": "validation"})


def _token(index: int, text: str, *, special: bool = False) -> dict[str, Any]:
    token = {"id": index, "text": text, "logprob": -0.1, "special": special}
    return {"index": index, "token": token, "generated_text": None, "details": None}


def _choice(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": reason}


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "", "object": "chat.completion.chunk", "created": 1, "model": "Qwen/QwQ-32B"}
    return {**head, "system_fingerprint": "3.3.6-native", "choices": choices, **more}
