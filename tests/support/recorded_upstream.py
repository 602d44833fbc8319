"""Recordings, played as a model server would send them."""

from __future__ import annotations

from guard.contract import Channel
from guard.events import ChoiceFinished, TextReceived
from guard.wire.record import read_events
from tests.support.dialects import DONE, VLLM
from tests.support.golden import FOLDER
from tests.support.upstream import Reply, reply


def played(name: str) -> Reply:
    """The stream of `tests/golden/NAME.jsonl`: its texts and its finish, in vLLM's words."""
    chunks = [VLLM.opening()]
    finish = "stop"
    for event, *_ in read_events((FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()):
        if isinstance(event, TextReceived):
            say = VLLM.thought if event.lane.channel is Channel.REASONING else VLLM.content
            chunks.append(say(event.text))
        elif isinstance(event, ChoiceFinished):
            finish = event.reason
    return reply(*chunks, VLLM.finish(finish), VLLM.usage(), DONE)
