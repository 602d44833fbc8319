"""Ways from a recording to a client: the engine alone, the proxy, the hook.

A road plays a golden recording under its policy and tells what came out. Roads see different things (a client cannot
tell a notice from the text before it), so a test compares `Seen.by_client()` where the road ends at a client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from guard.backends.base import Capabilities
from guard.backends.scripted import ScriptedBackend, as_recorded
from guard.contract import PROMPT_CHOICE, Channel, Context, Lane
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Command, Intervention, RecordDecision, TextReceived
from guard.proxy.app import create_app
from guard.proxy.pump import Pump
from guard.settings import Settings
from tests.support.engine import play
from tests.support.golden import Case, ChoiceSeen, Seen, told

REPAIRS = frozenset({"conclude", "resample", "hand_over"})
REASONING, CONTENT = Lane(0, Channel.REASONING), Lane(0, Channel.CONTENT)


def engine_road(case: Case, _monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The engine alone."""
    header = case.header
    context = Context(prompt=header.prompt, model=header.model)
    guard = StreamGuard(case.policy().plan(header.model), context, choices=case.choices, repairs=REPAIRS)
    seen = Seen()
    seen.note(play(guard, case.events))
    assert guard.ended
    if case.expected.upstream == "never called":
        seen.upstream = "never called"  # nobody is there to be called
    return seen


def proxy_road(case: Case, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """A client of the proxy, which reads the recording from a backend. Records are read off the proxy's driver."""
    asked = [event for event in case.events if isinstance(event, TextReceived) and event.lane.channel is Channel.PROMPT]
    roles = ["system", "user"] if len(asked) == 2 else ["user"] * len(asked)
    messages = [{"role": role, "content": event.text} for role, event in zip(roles, asked, strict=True)]
    answer = [
        recorded
        for recorded in case.recorded
        if not (isinstance(recorded.event, TextReceived) and recorded.event.lane.choice == PROMPT_CHOICE)
        and recorded.event != ChoiceFinished(PROMPT_CHOICE, "")
    ]
    body = {
        "model": case.header.model,
        "messages": messages or [{"role": "user", "content": case.header.prompt}],
        "n": case.choices,
        "stream": True,
    }
    backend = ScriptedBackend(as_recorded(answer), capabilities=Capabilities(REPAIRS))
    seen = Seen()
    note = Pump._note

    def noting(pump: Pump, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, RecordDecision):
                seen.record(command)
        note(pump, commands)

    monkeypatch.setattr(Pump, "_note", noting)
    for chunk in asyncio.run(_ask(create_app(Settings(), policy=case.policy(), backend=backend), body)):
        _note_chunk(seen, chunk)
    assert backend.closed == backend.streams
    for request in backend.requests:
        if (kept := request.continuation) is not None:
            seen.asked.append({"how": kept.how, "reasoning": kept.reasoning, "content": kept.content})
    if backend.streams == 0:
        seen.upstream = "never called"
    return seen


async def _ask(app: Any, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    assert lines.count("[DONE]") == 1
    return [json.loads(line) for line in lines[:-1]]


def _note_chunk(seen: Seen, chunk: Mapping[str, Any]) -> None:
    if "error" in chunk:
        seen.error = chunk["error"]["code"]
    for part in chunk.get("choices", ()):
        choice, delta = seen.choice(part["index"]), part["delta"]
        for name, key in (("reasoning", "reasoning_content"), ("content", "content"), ("refusal", "refusal")):
            if delta.get(key):
                choice.add(name, delta[key])
        for call in delta.get("tool_calls", ()):
            function = call["function"]
            choice.tools.append(
                {"tool": call["index"], "id": call["id"], "name": function["name"], "arguments": function["arguments"]}
            )
        if part["finish_reason"]:
            choice.finish = part["finish_reason"]
            choice.told = told(chunk["guard"]) if "guard" in chunk else ""


def hook_can_play(case: Case) -> bool:
    """The hook's model speaks in tokens: one choice, thinking then content, ended by the model itself, and never taken
    up again."""
    allowed = (REASONING, CONTENT)
    spoken = [event.lane for event in case.events if isinstance(event, TextReceived)]
    return (
        not case.expected.error
        and not case.expected.asked
        and all(lane in allowed for lane in spoken)
        and spoken == sorted(spoken, key=lambda lane: allowed.index(lane))
        and not any(choice.tools for choice in case.expected.choices.values())
    )


def hook_road(case: Case, _monkeypatch: pytest.MonkeyPatch) -> Seen:
    """A `generate()` loop of somebody's own, token by token, until the hook says stop."""
    torch = pytest.importorskip("torch")
    from guard.hooks.transformers import GuardHook
    from tests.support.tokenizers import CharacterTokenizer

    reasoning, content = (
        "".join(event.text for event in case.events if isinstance(event, TextReceived) and event.lane == lane)
        for lane in (REASONING, CONTENT)
    )
    tokenizer = CharacterTokenizer()
    header = case.header
    hook = GuardHook(case.policy(), tokenizer=tokenizer, prompt=header.prompt, model=header.model)
    hook.put(torch.tensor([tokenizer(header.prompt)["input_ids"]]))
    for id in [*tokenizer(f"{reasoning}</think>{content}")["input_ids"], tokenizer.eos_token_id]:
        hook.put(torch.tensor([id]))
        if bool(hook.stop(torch.tensor([[id]]))[0]):
            break
    hook.end()
    intervention: Intervention | None = hook.intervention
    choice = ChoiceSeen(
        reasoning=hook.reasoning,
        content=hook.text,
        finish=hook.finish_reason,
        told=told(intervention._asdict()) if intervention else "",
    )
    seen = Seen(choices={0: choice})
    for record in hook.decisions:
        seen.record(record)
    return seen
