"""Loops that a real model gets into by itself, repaired while it writes: behind `transformers serve`, and in-process.

`thinking` has the small model's answer read as a thought, by the start state that is configured for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from bench.repair import NOTICE, loops, policy
from guard.backends.base import Backend
from guard.backends.http import HttpBackend
from guard.backends.templates import load_template
from guard.policy import load_policy
from guard.proxy.app import create_app
from guard.wire.think import ThinkStart
from tests.support.looping_prompts import LOOPING_PROMPTS
from tests.support.proxy import gateway_of
from tests.support.transformers_serve import transformers_serve

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

PROMPT: Final = min(LOOPING_PROMPTS, key=lambda prompt: LOOPING_PROMPTS[prompt])
TOKENS: Final = 130
"""The model takes about 50 ms for one."""
Open = Callable[[ThinkStart], AbstractAsyncContextManager[tuple[Backend, str]]]


@asynccontextmanager
async def in_process(start: ThinkStart) -> AsyncIterator[tuple[Backend, str]]:
    smollm2 = pytest.importorskip("guard.backends.smollm2")
    transformers = pytest.importorskip("guard.backends.transformers")
    try:
        folder = smollm2.embedded_model()
    except smollm2.UpstreamError as error:
        pytest.skip(error.message)
    backend = transformers.TransformersBackend(folder, model_name="small", think_start=start)
    try:
        yield backend, "small"
    finally:
        await backend.aclose()


@asynccontextmanager
async def served(start: ThinkStart) -> AsyncIterator[tuple[Backend, str]]:
    with transformers_serve() as (url, folder):
        template = load_template(folder / "chat_template.jinja")
        backend = HttpBackend(url=url, dialect=None, template=template, start=lambda _model: start)
        try:
            assert (await backend.recognise()).dialect is not None
            yield backend, str(folder)
        finally:
            await backend.aclose()


async def answer(backend: Backend, model: str, file: Path) -> dict[str, Any]:
    app = create_app(gateway=gateway_of(backend, load_policy(file)))
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": model, "messages": messages, "max_tokens": TOKENS, "temperature": 0, "seed": 7}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard", timeout=120) as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


@pytest.mark.parametrize("how", ["conclude", "resample"])
@pytest.mark.parametrize("opened", [in_process, served])
def test_a_live_loop_is_repaired_and_ends_in_an_answer(opened: Open, how: str, tmp_path: Path) -> None:
    """`conclude` repairs a loop in the thinking, `resample` one in the answer."""
    start = ThinkStart.REASONING if how == "conclude" else ThinkStart.CONTENT
    (tmp_path / "policy.yaml").write_text(policy(how), encoding="utf-8")

    async def ask() -> dict[str, Any]:
        async with opened(start) as (backend, model):
            return await answer(backend, model, tmp_path / "policy.yaml")

    told = asyncio.run(ask())
    (choice,) = told["choices"]
    said = choice["message"]["content"].replace(NOTICE, "").strip()

    assert told["guard"]["action"] == "repair"
    assert told["guard"]["how"] == how
    assert told["guard"]["repair"]["attempts"] == 1
    assert choice["finish_reason"] in ("stop", "length")
    assert said
    assert not loops(said)
    assert bool(choice["message"].get("reasoning_content")) == (how == "conclude")
