"""What tests of the driver share: a client that notes what it is told, and clocks that run out when a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guard.events import Command, FailStream, SendText
from guard.proxy.clocks import Clocks
from guard.proxy.sink import NOTHING
from tests.support.engine import said

NEVER = 3_600.0
QUIET = Clocks(NEVER, NEVER, NEVER, NEVER, NEVER, NEVER, NEVER)
"""No clock of these runs out in a test."""
SOON = 0.02


def clocks(**seconds: float) -> Clocks:
    return Clocks(**{**dict.fromkeys(Clocks.__slots__, NEVER), **seconds})


@dataclass
class Client:
    """A sink that notes what it is told. It takes nothing while `gate` is closed."""

    begun: bool = False
    starts: list[str] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    comments: int = 0
    fields: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    streams: bool = True
    taken: Callable[[Sequence[Command]], None] = lambda _commands: None

    async def begin(self, backend: str, allowed: Mapping[str, Any] = NOTHING) -> None:
        self.begun = self.streams
        self.starts.append(backend)

    async def carry_out(self, commands: Sequence[Command], reasoning_field: str) -> None:
        assert self.begun or not self.streams, "a body before its head"
        if self.gate is not None:
            await self.gate.wait()
        self.taken(commands)
        self.commands += commands
        self.fields.append(reasoning_field)

    async def keep_alive(self) -> bool:
        await self.begin("")
        self.comments += 1
        return True

    @property
    def end(self) -> list[Command]:
        """The commands that are no text."""
        return [command for command in self.commands if not isinstance(command, SendText)]

    @property
    def text(self) -> str:
        return "".join(said(self.commands).values())

    @property
    def failure(self) -> str:
        """The code of the one failure, which is the last thing said."""
        failures = [command.code for command in self.commands if isinstance(command, FailStream)]
        assert len(failures) == 1
        assert isinstance(self.commands[-1], FailStream)
        return failures[0]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.001)
