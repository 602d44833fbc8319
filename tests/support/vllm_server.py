"""A scripted vLLM (0.33) that keeps the real one's rules for going on with an answer.

From its `entrypoints/openai/{chat_completion,completion}/protocol.py`, `entrypoints/serve/tokenize` and the reasoning
parser's look back into the prompt: `continue_final_message` excludes `add_generation_prompt`, which is on unless said
otherwise; the last message then stands where the generation prompt would; the last think tag of the prompt decides
where the parser starts; a text completion ends after 16 tokens unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.support.rule_server import RuleServer, counted, limited, qwq_prompt, refuse, split_by_parser, sse, tokens
from tests.support.upstream import Received, Reply, json_reply, reply

CONTEXT: Final = 2_000
_SAMPLING: Final = frozenset(
    {
        *("model", "frequency_penalty", "logit_bias", "max_tokens", "n", "presence_penalty", "seed", "stop", "stream"),
        *("stream_options", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop_token_ids", "user"),
        *("ignore_eos", "min_tokens", "allowed_token_ids", "bad_words", "thinking_token_budget", "priority"),
        *("repetition_detection", "include_stop_str_in_output", "length_penalty", "logprobs"),
    }
)
_CHAT: Final = _SAMPLING | {
    *("messages", "max_completion_tokens", "response_format", "tools", "tool_choice", "add_generation_prompt"),
    *("continue_final_message", "chat_template_kwargs", "include_reasoning", "top_logprobs", "echo"),
}


class VllmServer(RuleServer):
    """`repeats` makes the model go in circles: only `repetition_detection` ends it before the limit."""

    def __init__(self, *, tokenize: bool = True, repeats: bool = False) -> None:
        super().__init__()
        self._tokenize = tokenize
        self._repeats = repeats

    def answer(self, received: Received) -> Reply:
        if received.method == "GET":
            return self._about(received.path)
        body = received.json
        match received.path:
            case "/v1/chat/completions":
                return self._chat(body)
            case "/v1/completions":
                return self._completion(body)
            case "/tokenize" if self._tokenize:
                prompt = self._prompt(body)
                return json_reply({"count": len(prompt), "max_model_len": CONTEXT, "tokens": [*map(ord, prompt)]})
            case "/detokenize" if self._tokenize:
                return json_reply({"prompt": "".join(map(chr, body["tokens"]))})
        return json_reply({"detail": "Not Found"}, status=404)

    def _about(self, path: str) -> Reply:
        if path == "/version":
            return json_reply({"version": "0.33.0"})
        if path == "/v1/models":
            model = {"id": "Qwen/QwQ-32B", "object": "model", "owned_by": "vllm", "max_model_len": CONTEXT}
            return json_reply({"object": "list", "data": [model]})
        return json_reply({"detail": "Not Found"}, status=404)

    def _prompt(self, body: Mapping[str, Any]) -> str:
        going_on, opens = body.get("continue_final_message", False), body.get("add_generation_prompt", True)
        if going_on and opens:
            message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
            raise refuse(400, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})
        messages = body["messages"]
        if not going_on:
            if messages[-1]["role"] == "assistant":
                self.fault("an assistant message ends the conversation, and the model begins a new turn after it")
            return qwq_prompt(messages, generation=opens)
        final = messages[-1]
        if final["role"] != "assistant" or not isinstance(final["content"], str):
            self.fault("the message to go on with is not the model's text")
        if not final["content"].startswith("<think>"):
            self.fault("the message stands in place of the generation prompt, and does not open the thinking")
        return qwq_prompt(messages, generation=False).removesuffix("<|im_end|>\n")

    def _chat(self, body: Mapping[str, Any]) -> Reply:
        self.only(body, _CHAT, "the chat API")
        prompt = self._prompt(body)
        said, reason = self._generate(body, prompt, body.get("max_completion_tokens") or body.get("max_tokens"))
        inside = prompt.rfind("<think>") >= prompt.rfind("</think>")
        chunks = [_chunk({"role": "assistant", "content": ""})]
        chunks += [_chunk({name: text}) for name, text in split_by_parser(said, inside=inside)]
        chunks.append(_chunk({}, reason))
        return reply(*sse(*chunks, *_usage(body, prompt, said)))

    def _completion(self, body: Mapping[str, Any]) -> Reply:
        self.only(body, _SAMPLING | {"prompt"}, "the completions API")
        prompt = body["prompt"]
        said, reason = self._generate(body, prompt, body.get("max_tokens", 16))
        chunks = [_text(text) for text in said] + [_text("", reason)]
        return reply(*sse(*chunks, *_usage(body, prompt, said)))

    def _generate(self, body: Mapping[str, Any], prompt: str, most: int | None) -> tuple[list[str], str]:
        if len(tokens(prompt)) + (most or 0) > CONTEXT:
            message = f"This model's maximum context length is {CONTEXT} tokens. Please reduce the length."
            raise refuse(400, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}})
        detection = body.get("repetition_detection")
        if self._repeats and detection is not None:
            if not (detection["max_pattern_size"] >= 1 and detection["min_count"] >= 2):
                message = "max_pattern_size, min_pattern_size must be >=0"
                raise refuse(400, {"error": {"message": message, "type": "BadRequestError", "code": 400}})
            return tokens("again and again " * detection["min_count"]), "repetition"
        return limited(self.say(prompt), most)


def _chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, "token_ids": None}
    if reason is not None:
        choice["stop_reason"] = None
    return _head("chat.completion.chunk", [choice])


def _text(text: str, reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "stop_reason": None}
    return _head("text_completion", [choice])


def _head(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": kind, "created": 1_760_000_000, "model": "Qwen/QwQ-32B", "choices": choices}


def _usage(body: Mapping[str, Any], prompt: str, said: list[str]) -> list[dict[str, Any]]:
    if not (body.get("stream_options") or {}).get("include_usage"):
        return []
    return [{**_head("chat.completion.chunk", []), "usage": counted(prompt, said)}]
