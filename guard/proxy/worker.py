"""One of several processes that serve clients on one port.

told its settings -> policy and backend made -> listening -> draining -> gone
                 '-> failed, with the sentence for the operator

The parent (`workers.py`) tells it what to do over a socket of their own. When that closes the parent is gone, and the
worker ends its streams and follows: nobody would ever stop it otherwise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from guard.contract import DetectorError
from guard.observe.audit_file import AuditError
from guard.policy import PolicyError
from guard.proxy.app import create_app, create_gateway
from guard.proxy.control import Control, settings_from
from guard.proxy.gateway import Gateway, log
from guard.proxy.reload import Candidate, candidate_of, read_candidate, refusal
from guard.proxy.server import PortError, Served, background, listen, run
from guard.proxy.status import of_process
from guard.proxy.stream_counts import StreamCounts
from guard.settings import Settings, SettingsError
from guard.wire.errors import UpstreamError

UNUSABLE = (SettingsError, PolicyError, DetectorError, UpstreamError, PortError, AuditError)
"""What keeps a guard from starting."""

READINESS_SECONDS: Final = 0.5
"""A worker looks so often whether it is ready."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a worker inherits: its end of the control socket, and the memory of stream counts."""

    control: int
    counts: int


def sentence(error: Exception) -> tuple[str, int]:
    """What the operator reads of one of `UNUSABLE`, and the exit status: 2 for what is written wrong, else 1."""
    if isinstance(error, SettingsError):
        return "\n".join(f"guard: {problem}" for problem in error.problems), 2
    if isinstance(error, PolicyError):
        return str(error), 2
    return f"guard: {error}", 1


async def work(
    descriptors: Descriptors,
    configure_log: Callable[[Settings], None],
    name_model: Callable[[Settings, Gateway], Awaitable[str]],
) -> int:
    """Serve until the parent says otherwise or is gone; returns the exit status. `name_model` gives a model that the
    printed examples may name."""
    for name in (signal.SIGINT, signal.SIGHUP):  # for the parent, which says what to do
        signal.signal(name, signal.SIG_IGN)
    control = await Control.over(socket.socket(fileno=descriptors.control))
    told = await control.hear()
    if told is None:
        await control.close()
        return 0
    settings = settings_from(told["settings"])
    configure_log(settings)
    try:
        candidate = _candidate(told["policy"], settings.policy)
        gateway = create_gateway(settings, policy=candidate.policy)
        model = await name_model(settings, gateway) if told["policy"] is None else ""
        public = listen(settings.host, told["port"], "--port", shared=True)
    except UNUSABLE as error:
        says, code = sentence(error)
        control.say(said="failed", says=says, code=code)
        await control.close()
        return code
    gateway.counts = StreamCounts(descriptors.counts, settings.workers, told["slot"])
    worker = _Worker(control, gateway, settings.drain, candidate)
    with background() as spawn:
        spawn(worker.obey(settings.policy))
        spawn(worker.tell_readiness())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop.set)
        await run(
            [Served(create_app(gateway=gateway), public, True)],
            worker.stop,
            worker.leave,
            lambda: control.say(said="listening", pid=os.getpid(), model=model, **_told(candidate)),
        )
    await control.close()
    return 0


@dataclass(slots=True)
class _Worker:
    """What the parent's orders change."""

    control: Control
    gateway: Gateway
    drain: float
    candidate: Candidate
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def obey(self, wanted: str) -> None:
        """Do as the parent says until it is gone."""
        while (order := await self.control.hear()) is not None:
            match order["do"]:
                case "prepare":
                    self.control.say(number=order["number"], **await self._prepare(order["policy"], wanted))
                case "adopt":
                    self.gateway.adopt(self.candidate.policy)
                    self.control.say(number=order["number"], ok=True)
                case "status":
                    self.control.say(number=order["number"], **of_process(self.gateway))
                case "drain":
                    self.stop.set()
                case "hurry":
                    self.gateway.hurry()
        if not self.stop.is_set():
            log.error("the parent process is gone; this worker ends its streams and follows", pid=os.getpid())
        self.drain = 0
        self.gateway.hurry()
        self.stop.set()

    async def tell_readiness(self) -> None:
        """Tell the parent why no new streams are taken, whenever that changes."""
        told = ""
        while True:
            await asyncio.sleep(READINESS_SECONDS)
            if (unready := self.gateway.unready()) != told:
                told = unready
                self.control.say(unready=unready)

    async def leave(self) -> None:
        await self.gateway.drain(self.drain)

    async def _prepare(self, policy: Mapping[str, Any] | None, wanted: str) -> dict[str, Any]:
        try:
            self.candidate = await asyncio.to_thread(_candidate, policy, wanted)
        except (PolicyError, DetectorError) as error:
            says, problems = refusal(error)
            return {"ok": False, "says": says, "problems": problems}
        return {"ok": True, **_told(self.candidate)}


def _candidate(policy: Mapping[str, Any] | None, wanted: str) -> Candidate:
    return read_candidate(wanted) if policy is None else candidate_of(policy["data"], policy["files"])


def _told(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.policy.name,
        "version": candidate.policy.version,
        "data": candidate.data,
        "files": candidate.files,
    }
