"""A scripted SGLang (0.5.23) that keeps the real one's rules for going on with an answer.

From its `srt/entrypoints/openai/serving_chat.py`: without `continue_final_message` a trailing assistant message becomes
a user's; with it, a string (and nothing else) is appended after the generation prompt, which for QwQ has opened the
thinking; every delta carries `reasoning_content`, null or not; `separate_reasoning: false` leaves all in `content`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.support.rule_server import RuleServer, counted, limited, qwq_prompt, split_by_parser, sse
from tests.support.upstream import Received, Reply, json_reply, reply

_KNOWN: Final = frozenset(
    {
        *("model", "messages", "frequency_penalty", "logit_bias", "max_tokens", "max_completion_tokens", "n", "stop"),
        *("presence_penalty", "response_format", "seed", "stream", "stream_options", "temperature", "top_p", "user"),
        *("tools", "tool_choice", "top_k", "min_p", "min_tokens", "repetition_penalty", "stop_token_ids", "logprobs"),
        *("ignore_eos", "continue_final_message", "separate_reasoning", "stream_reasoning", "chat_template_kwargs"),
    }
)


class SglangServer(RuleServer):
    def answer(self, received: Received) -> Reply:
        if received.path == "/v1/models":
            return json_reply({"object": "list", "data": [{"id": "Qwen/QwQ-32B", "owned_by": "sglang"}]})
        if received.path == "/server_info":
            return json_reply({"version": "0.5.23", "internal_states": [{}], "model_path": "Qwen/QwQ-32B"})
        if received.path != "/v1/chat/completions":
            return json_reply({"detail": "Not Found"}, status=404)
        body = received.json
        self.only(body, _KNOWN, "the chat API")
        prompt, inside = self._prompt(body)
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        said, reason = limited(self.say(prompt), most)
        pieces = split_by_parser(said, inside=inside)
        if body.get("separate_reasoning") is False:
            pieces = [("content", text) for text in said]
        chunks = [_chunk({"role": "assistant", "content": ""})]
        chunks += [_chunk({"reasoning_content" if name == "reasoning" else name: text}) for name, text in pieces]
        chunks.append(_chunk({"content": None}, reason))
        usage = [{**_chunk({}), "choices": [], "usage": {**counted(prompt, said), "reasoning_tokens": 0}}]
        return reply(*sse(*chunks, *(usage if (body.get("stream_options") or {}).get("include_usage") else [])))

    def _prompt(self, body: Mapping[str, Any]) -> tuple[str, bool]:
        """What the model sees, and whether the parser starts inside the thinking."""
        messages = list(body["messages"])
        last = messages[-1]
        if last["role"] != "assistant":
            return qwq_prompt(messages), True
        if not isinstance(last["content"], str):
            self.fault("the message to go on with is a list of parts: it is not gone on with")
            return qwq_prompt(messages), True
        if not body.get("continue_final_message"):
            self.fault("the model's last message became the user's")
            return qwq_prompt([*messages[:-1], {**last, "role": "user"}]), True
        if last["content"].startswith("<think>"):
            self.fault("the generation prompt has opened the thinking, and the message opens it again")
        return qwq_prompt(messages[:-1]) + last["content"], "</think>" not in last["content"]


def _chunk(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    whole = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
    choice = {"index": 0, "delta": whole, "logprobs": None, "finish_reason": reason, "matched_stop": None}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "Qwen/QwQ-32B", "choices": [choice]}
