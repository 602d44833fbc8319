"""What must hold of every answer of the proxy, whatever became of the upstream.

well_formed(answer)     a stream: one finish per choice or one error, one end mark, nothing after it
finished(answer)        a whole completion
refused(answer)         an error that OpenAI's clients can read, in a sentence
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.dialects import texts
from tests.support.proxy import read_stream


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, its body put together again."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool
    """The body ended as its framing says."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def comments(self) -> int:
        return sum(block.startswith(b":") for block in self.body.split(b"\n\n"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stream that ended as it should: every choice was finished, or it failed with one error."""

    content: str
    finishes: Mapping[int, str]
    error: Mapping[str, Any] | None
    usage: Mapping[str, Any] | None


def well_formed(answer: Answer) -> Outcome:
    """Check that a stream keeps every promise about its form; returns what it says."""
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.complete, "the body was broken off"
    events = read_stream(answer.body)
    errors = [event["error"] for event in events if "error" in event]
    chunks = [event for event in events if "error" not in event]
    assert len(errors) <= 1
    if errors:
        assert "error" in events[-1], "something follows the error"
        explained(errors[0])
    finishes: dict[int, str] = {}
    opened: set[int] = set()
    for chunk in chunks:
        assert chunk["id"] == chunks[0]["id"]
        for choice in chunk["choices"]:
            index, delta = choice["index"], choice["delta"]
            assert index not in finishes, f"something follows the finish of choice {index}"
            assert (index in opened) == ("role" not in delta), "the role comes once and first"
            opened.add(index)
            if choice["finish_reason"] is not None:
                finishes[index] = choice["finish_reason"]
    if not errors:
        assert finishes
        assert set(finishes) == opened
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(usages) <= 1
    return Outcome(texts(chunks), finishes, errors[0] if errors else None, usages[0] if usages else None)


def refused(answer: Answer) -> Mapping[str, Any]:
    """Check that an answer is an error as OpenAI's clients read it; returns the error."""
    assert answer.status >= 400
    assert answer.complete
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["error"]
    error: Mapping[str, Any] = answer.json["error"]
    explained(error)
    return error


def explained(error: Mapping[str, Any]) -> None:
    """An error says what is wrong in a sentence, with words for programs beside it."""
    assert set(error) == {"message", "type", "param", "code"}
    message = error["message"]
    assert 10 < len(message) < 500
    assert message[-1] in ".?"
    assert "\n" not in message
    assert not {"Traceback", "Exception", "aiohttp", "httpx"} & set(message.replace(":", " ").split())
    assert error["code"]
    assert error["type"].endswith("_error")


def finished(answer: Answer, choices: int = 1) -> Sequence[Mapping[str, Any]]:
    """Check that an answer is a whole completion; returns its choices."""
    assert answer.status == 200
    assert answer.complete
    assert answer.headers["content-type"] == "application/json"
    found: Sequence[Mapping[str, Any]] = answer.json["choices"]
    assert [choice["index"] for choice in found] == list(range(choices))
    assert all(choice["finish_reason"] for choice in found)
    return found
