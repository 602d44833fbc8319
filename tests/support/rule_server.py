"""A model server for tests that keeps a real one's rules: what the scripted vLLM, SGLang, llama.cpp and others share.

    request ─► the rules of that server ─┬─ broken, and the real one says so ──► its own 400, 422, …
                                         ├─ broken, and the real one says nothing ► `faults`: leaving the block fails
                                         └─ kept ─► the prompt that the model sees ─► the scripted model ─► a stream

The scripted model is an LLM with one thing to say (`SCRIPT`): given the beginning of it, it goes on from there. What it
says therefore shows whether its prompt was right, to the character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from tests.support.upstream import FakeUpstream, Received, Reply, _Connection, json_reply, raw

THOUGHT: Final = "Canaries sing. They are small. So the answer is yes."
ANSWER: Final = "Yes, canaries sing."
SCRIPT: Final = f"{THOUGHT}\n</think>\n\n{ANSWER}"
"""All that the model says, from within the thinking that its prompt opens."""
OPENED: Final = "<|im_start|>assistant\n<think>\n"
LOST: Final = "I do not know what this is about."
"""What the model says to a prompt that it should never have seen."""
MODEL: Final = "Qwen/QwQ-32B"


def qwq_prompt(messages: Sequence[Mapping[str, Any]], *, generation: bool = True) -> str:
    """QwQ-32B's chat template, for messages without tools: no system message of its own, thinking taken out of all
    answers but the last message, and a generation prompt that opens the thinking."""
    text = ""
    for number, message in enumerate(messages):
        content = message["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        if message["role"] == "assistant" and number < len(messages) - 1:
            content = content.split("</think>")[-1].lstrip("\n")
        text += f"<|im_start|>{message['role']}\n{content}<|im_end|>\n"
    return text + (OPENED if generation else "")


def model_says(prompt: str) -> str:
    """What the scripted model makes of a prompt."""
    turn = prompt.rpartition("<|im_start|>assistant\n")[2].removeprefix("<think>\n")
    thought, closed, answer = turn.partition("</think>\n\n")
    if SCRIPT.startswith(turn):
        return SCRIPT[len(turn) :]
    if closed and ANSWER.startswith(answer) and "<think>" not in thought:
        return ANSWER[len(answer) :]
    return LOST


def tokens(text: str) -> list[str]:
    """A tokenizer for tests: words with the white space before them; tags are tokens of their own."""
    return re.findall(r"\s*(?:</?think>|[^\s<]+|<)|\s+$", text)


def limited(text: str, most: int | None) -> tuple[list[str], str]:
    """The tokens of `text`, at most `most`, and why they end."""
    said = tokens(text)
    return (said, "stop") if most is None or len(said) <= most else (said[:most], "length")


class BrokenRule(Exception):
    """The real server answers this with an error of its own: the reply."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class RuleServer(FakeUpstream):
    """`answer` and what it calls raise `BrokenRule` or call `fault`; a fault fails the test when the block is left."""

    def __init__(self) -> None:
        super().__init__(raw())
        self.faults: list[str] = []
        self.prompts: list[str] = []
        """What the model saw, in order."""

    def answer(self, received: Received) -> Reply:
        raise NotImplementedError

    def fault(self, what: str) -> None:
        self.faults.append(what)

    def only(self, body: Mapping[str, Any], known: Sequence[str] | frozenset[str], where: str) -> None:
        """Fields that the real server ignores mean that the guard thinks they do something."""
        for name in body.keys() - set(known):
            self.fault(f"{where} does not know `{name}`")

    def say(self, prompt: str) -> str:
        self.prompts.append(prompt)
        said = model_says(prompt)
        if said == LOST:
            self.fault(f"the model was asked to go on from {prompt[-120:]!r}")
        return said

    async def _serve(self, connection: _Connection) -> None:
        while (received := await connection.read_request()) is not None:
            async with self._news:
                self.received.append(received)
                self._news.notify_all()
            try:
                reply = self.answer(received)
            except BrokenRule as broken:
                reply = broken.reply
            except Exception as error:  # a mistake of this server's
                self.fault(repr(error))
                raise
            for step in reply.steps:
                await connection.take(step)
            received.answered.set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if kind is None:
            assert self.faults == []


def refuse(status: int, body: Mapping[str, Any]) -> BrokenRule:
    return BrokenRule(json_reply(body, status=status))


def sse(*chunks: Mapping[str, Any], done: bool = True) -> Iterator[bytes]:
    for chunk in chunks:
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    if done:
        yield b"data: [DONE]\n\n"


def counted(prompt: str, said: Sequence[str]) -> dict[str, int]:
    given = len(tokens(prompt))
    return {"prompt_tokens": given, "completion_tokens": len(said), "total_tokens": given + len(said)}


def split_by_parser(said: Sequence[str], *, inside: bool) -> list[tuple[str, str]]:
    """What a server's reasoning parser makes of tokens: `reasoning` or `content`, and the text."""
    pieces = []
    for token in said:
        if token.strip() == "</think>":
            if not inside:
                pieces.append(("content", token))
            elif token != "</think>":
                pieces.append(("reasoning", token[: -len("</think>")]))
            inside = False
        elif token.strip() == "<think>" and not inside:
            inside = True
        else:
            pieces.append(("reasoning" if inside else "content", token))
    return pieces
