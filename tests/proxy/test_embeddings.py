from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from guard.backends.scripted import ScriptedBackend
from guard.contract import Channel
from tests.support.proxy import exchange, gateway_of, serving, words_policy

PATH = "/v1/embeddings"


class Embedding(ScriptedBackend):
    """Remembers what it was asked to embed."""

    def __init__(self) -> None:
        super().__init__(lambda _request: [], name="scripted")
        self.asked: list[Mapping[str, Any]] = []

    async def embeddings(self, body: Mapping[str, Any], _authorization: str | None, _request_id: str) -> bytes:
        self.asked.append(body)
        return b'{"data":[]}'


WATCHED = (Channel.PROMPT,)


@pytest.mark.parametrize("given", ["STOP!", ["a", "STOP!"]])
def test_a_cut_keeps_what_was_to_be_embedded_from_upstream(given: object) -> None:
    backend = Embedding()
    with serving(lambda: gateway_of(backend, words_policy(channels=WATCHED))) as url:
        answer = exchange(url, PATH, {"input": given})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "content_filter", "input")
    assert answer.error["message"] == "Stopped here."
    assert answer.error["guard"]["rule"] == "stopper"
    assert backend.asked == []


def test_a_mask_rewrites_what_is_embedded() -> None:
    backend = Embedding()
    with serving(lambda: gateway_of(backend, words_policy(channels=WATCHED))) as url:
        assert exchange(url, PATH, {"model": "m", "input": ["my SECRET", "b"]}).status == 200
    assert backend.asked == [{"model": "m", "input": ["my <hidden>", "b"]}]


@pytest.mark.parametrize("watched", [True, False])
def test_token_ids_are_refused_where_prompts_are_watched(watched: bool) -> None:
    backend = Embedding()
    with serving(lambda: gateway_of(backend, words_policy(channels=WATCHED if watched else ()))) as url:
        answer = exchange(url, PATH, {"input": [1, 2]})
    assert answer.status == (400 if watched else 200)
    assert len(backend.asked) == (0 if watched else 1)


def test_more_texts_than_are_reviewed_are_refused_where_prompts_are_watched() -> None:
    backend = Embedding()
    with serving(lambda: gateway_of(backend, words_policy(channels=WATCHED))) as url:
        answer = exchange(url, PATH, {"input": ["x"] * 20_000})
    assert (answer.status, answer.error["code"], backend.asked) == (400, "not_reviewable", [])
