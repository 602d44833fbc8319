"""The parent of several workers: it starts them, keeps them running, and speaks for all of them on the admin port.

parent --control--> worker 0, worker 1 ...    each listens on the same port (SO_REUSEPORT): the kernel spreads clients
  |                    '- dies: counted, started again after a pause that doubles while it keeps dying
  '-- admin port: readiness, metrics and status of all, reload

A worker is a fresh interpreter, not a fork: nothing that runs in the parent can be in the way of it, and it can be
started again at any time. It listens once it can answer, so no client waits for a worker that is only starting. (With
one socket for all, whoever woke first took most clients: 34, 21, 6 and 3 of 64.)

A reload asks one worker to read, compile and load; the others make the same policy from what it has read; only when
all have it ready is it put in force. Worker starts and reloads exclude each other, so all have the same policy. What is
done with all workers and their own lives share that state, so they stay in one file, long as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from guard.observe.multiprocess import mark_dead, render, totals
from guard.observe.rates import Rates
from guard.observe.workers import WorkerMetrics
from guard.proxy.admin import admin_app
from guard.proxy.backends import has_transformers
from guard.proxy.control import Control, settings_data
from guard.proxy.gateway import FLUSH_SECONDS, log
from guard.proxy.reload import Reloaded, watch
from guard.proxy.server import Served, background, on_signals, run
from guard.proxy.status import KINDS, merged, together
from guard.proxy.stream_counts import StreamCounts
from guard.settings import Settings, SettingsError

START_SECONDS: Final = 300.0
"""A worker that does not listen after this long is given up: models may have to be read from a slow disk."""
ANSWER_SECONDS: Final = 120.0
"""The same for one that does not answer: it may be loading the models of a policy."""
STATUS_SECONDS: Final = 2.0
"""The same for one that is asked how it is; one that loads a policy answers later."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds before a worker that died is started again: doubled each time, and the first again after `STEADY_SECONDS`."""
STEADY_SECONDS: Final = 60.0
LATE_SECONDS: Final = 5.0
"""What a worker is given beyond the drain before it is killed."""


class WorkerFailed(Exception):
    """A worker could not start. The message is for the operator, `code` is the exit status."""

    def __init__(self, says: str, code: int = 1) -> None:
        super().__init__(says)
        self.code = code


def check_workers(settings: Settings) -> None:
    """Raise `SettingsError` for several workers where each would run a model of its own; say so of a fallback."""
    workers = settings.workers
    if settings.upstream is None:
        raise SettingsError(
            [
                f"`workers: {workers}` would load the in-process model {workers} times, for the same cores: "
                "set `workers: 1`, or let an upstream answer (`upstream.url`)"
            ]
        )
    if settings.fallback.enabled and has_transformers():
        log.warning(
            "each worker loads the fallback model", workers=workers, otherwise="fallback.enabled: false, or workers: 1"
        )


@dataclass(slots=True)
class _Worker:
    """A running worker, as the parent sees it."""

    slot: int
    process: asyncio.subprocess.Process
    control: Control
    unready: str = ""
    """Why it takes no new streams."""
    since: float = field(default_factory=time.monotonic)
    started: float = field(default_factory=time.time)
    answers: dict[int, asyncio.Future[dict[str, Any] | None]] = field(default_factory=dict)


class Workers:
    """All workers of a guard. `start` first, then `leave` or `end`."""

    def __init__(self, settings: Settings, command: Sequence[str], public: socket.socket, metrics_folder: str) -> None:
        """`command` runs a worker, given `worker.Descriptors` as further arguments. `public` keeps the port."""
        self._stopping = asyncio.Event()
        self.policy: Mapping[str, Any] | None = None
        """What is in force: `name`, `version`, `data` and `files` of a `Candidate`."""
        self._settings = settings
        self._command = command
        self._public = public
        self._folder = metrics_folder
        self._counts, self._counts_descriptor = StreamCounts.create(settings.workers)
        self._metrics = WorkerMetrics(settings.workers)
        self._rates = Rates(lambda: totals(metrics_folder))
        self._entries: dict[str, Sequence[Mapping[str, Any]]] = dict.fromkeys(KINDS, ())
        """What rules did last, also in workers that have gone."""
        self._reloaded: Reloaded | None = None
        self._running: dict[int, _Worker] = {}
        self._processes: set[asyncio.subprocess.Process] = set()
        self._keepers: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._numbers = itertools.count()

    # --- what the admin port shows and does

    def readiness(self) -> dict[str, Any]:
        """Ready while at least half of the workers take new streams: fewer would be sent more than they can take."""
        wanted, ready = self._settings.workers, self._ready()
        reason = ""
        if self._stopping.is_set():
            reason = "draining"
        elif 2 * ready < wanted:
            reasons = sorted({worker.unready for worker in self._running.values() if worker.unready})
            reason = f"only {ready} of {wanted} workers are ready" + "".join(f"; {each}" for each in reasons)
        policy = self.policy or {}
        return {
            "ready": not reason,
            "reason": reason or None,
            "policy": policy.get("name"),
            "policy_version": policy.get("version"),
            "streams": self._counts.total(),
            "workers": wanted,
            "workers_ready": ready,
        }

    def exposition(self, accept: str) -> tuple[str, bytes]:
        return render(self._folder, accept)

    async def reload(self) -> Reloaded | None:
        """Read the policy again and put it in force in all workers, or in none."""
        async with self._changing:
            if self._stopping.is_set() or self.policy is None:
                return None
            done = await self._reload(list(self._running.values()))
            in_force = f"{done.name}@{done.version}"
            if done.ok:
                log.info("policy reloaded", policy=done.name, version=done.version, workers=len(self._running))
            else:
                log.error("policy not reloaded", in_force=in_force, problems=done.says)
            self._metrics.reload_tried(done.ok)
            self._reloaded = done
            return done

    async def sample(self) -> None:
        """Remember totals, and what rules did: a worker that dies takes what it knows with it."""
        self._rates.sample()
        await self._ask_all()

    async def status(self) -> dict[str, Any]:
        running = [self._running[slot] for slot in sorted(self._running)]
        told = await self._ask_all()
        workers = [
            {
                "worker": each.slot,
                "pid": each.process.pid,
                "since": each.started,
                "streams": self._counts.of(each.slot),
                "answered": each.slot in told,
            }
            for each in running
        ]
        processes = list(told.values())
        return together(self.readiness(), self._rates.windows(), self._reloaded, processes, workers, self._entries)

    async def _ask_all(self) -> Mapping[int, Mapping[str, Any]]:
        """What each worker knows, by slot; nothing of those that are busy."""
        running = [self._running[slot] for slot in sorted(self._running)]
        answers = await asyncio.gather(*(self._ask(each, STATUS_SECONDS, do="status") for each in running))
        told = {each.slot: answer for each, answer in zip(running, answers, strict=True) if answer is not None}
        for kind in KINDS:
            self._entries[kind] = merged(self._entries[kind], *(answer[kind] for answer in told.values()))
        return told

    async def _reload(self, workers: Sequence[_Worker]) -> Reloaded:
        assert self.policy is not None
        in_force = self.policy
        fresh: Mapping[str, Any] | None = None
        for worker in workers:  # the first reads the files, the others take what it has read
            answer = await self._ask(worker, do="prepare", policy=fresh)
            if answer is None:
                answer = {"ok": False, "says": f"worker {worker.slot} did not answer; try again"}
            if not answer["ok"]:
                says, problems = answer["says"], answer.get("problems", ())
                return Reloaded(False, in_force["name"], in_force["version"], says, problems)
            fresh = fresh or answer
        if fresh is None:
            return Reloaded(False, in_force["name"], in_force["version"], "no worker is running; try again")
        self.policy = {key: fresh[key] for key in ("name", "version", "data", "files")}
        for worker, answer in zip(
            workers, await asyncio.gather(*(self._ask(each, do="adopt") for each in workers)), strict=True
        ):
            if answer is None:  # it comes back with the new policy
                _kill(worker.process)
        return Reloaded(True, fresh["name"], fresh["version"])

    def files(self) -> Sequence[str]:
        """The files of the policy in force."""
        return self.policy["files"] if self.policy else ()

    # --- life

    async def start(self) -> str:
        """Start all workers and wait until they listen. Returns a model's name for examples. Raises `WorkerFailed`.

        The first goes first: what is wrong with the configuration is wrong for all, and is said once.
        """
        async with self._changing:
            model = await self._start(0)
            rest = range(1, self._settings.workers)
            results = await asyncio.gather(*(self._start(slot) for slot in rest), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        for worker in tuple(self._running.values()):
            task = asyncio.create_task(self._keep(worker))
            self._keepers.add(task)
            task.add_done_callback(self._keepers.discard)
        return model

    async def leave(self) -> None:
        """Let all workers drain; kill those that are late."""
        self._stopping.set()
        seconds = self._settings.drain
        log.info("draining", streams=self._counts.total(), seconds=seconds, workers=len(self._running))
        for worker in self._running.values():
            worker.control.say(do="drain")
        if self._keepers:
            await asyncio.wait(tuple(self._keepers), timeout=seconds + 2 * FLUSH_SECONDS + LATE_SECONDS)
        await self.end()

    def hurry(self) -> None:
        """End open streams now."""
        for worker in self._running.values():
            worker.control.say(do="hurry")

    async def end(self) -> None:
        """Kill whatever still runs."""
        self._stopping.set()
        for task in tuple(self._keepers):
            task.cancel()
        for process in tuple(self._processes):
            log.warning("killing a worker", pid=process.pid)
            _kill(process)
            await process.wait()
            self._gone(process)
        for worker in self._running.values():
            await worker.control.close()
        self._running.clear()
        if self._counts_descriptor >= 0:
            os.close(self._counts_descriptor)
            self._counts_descriptor = -1

    async def _start(self, slot: int) -> str:
        """Start the worker of `slot`; it listens afterwards. Raises `WorkerFailed`."""
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (theirs.fileno(), self._counts_descriptor)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *map(str, descriptors),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # what is typed at our terminal is for us alone
            )
        self._processes.add(process)
        control = await Control.over(ours)
        port = self._public.getsockname()[1]
        control.say(settings=settings_data(self._settings), slot=slot, port=port, policy=self.policy)
        try:
            async with asyncio.timeout(START_SECONDS):
                heard = await control.hear()
        except TimeoutError:
            heard = {"said": "failed", "says": f"guard: a worker did not start within {START_SECONDS:.0f} s", "code": 1}
        if heard is None or heard["said"] != "listening":
            code = await _ended(process)
            self._gone(process)
            await control.close()
            if heard is None:
                raise WorkerFailed(f"guard: a worker ended while it started ({_how(code)}); its last words are above")
            raise WorkerFailed(heard["says"], heard["code"])
        if self.policy is None:
            self.policy = {key: heard[key] for key in ("name", "version", "data", "files")}
        self._running[slot] = _Worker(slot, process, control)
        self._metrics.running(self._ready())
        return str(heard["model"])

    async def _keep(self, worker: _Worker) -> None:
        """See to it that the worker's slot has one, until the guard stops."""
        pause = FIRST_PAUSE
        while True:
            await self._converse(worker)
            code = await _ended(worker.process)
            self._lost(worker)
            if self._stopping.is_set():
                return
            if time.monotonic() - worker.since >= STEADY_SECONDS:
                pause = FIRST_PAUSE
            log.error("a worker died", worker=worker.slot, pid=worker.process.pid, how=_how(code), again_in=pause)
            while not await self._restarted(worker.slot, pause):
                pause = min(2 * pause, LONGEST_PAUSE)
                if self._stopping.is_set():
                    return
            pause = min(2 * pause, LONGEST_PAUSE)
            worker = self._running[worker.slot]
            if self._stopping.is_set():
                worker.control.say(do="drain")

    async def _restarted(self, slot: int, pause: float) -> bool:
        await asyncio.sleep(pause)
        async with self._changing:
            if self._stopping.is_set():
                return False
            self._metrics.restarted()
            try:
                await self._start(slot)
            except WorkerFailed as error:
                log.error("a worker could not be started again", worker=slot, says=str(error))
                return False
        return True

    async def _converse(self, worker: _Worker) -> None:
        """Take the worker's answers until it is gone."""
        while (heard := await worker.control.hear()) is not None:
            if "unready" in heard:
                worker.unready = heard["unready"]
                self._metrics.running(self._ready())
                continue
            future = worker.answers.pop(heard["number"], None)
            if future is not None and not future.done():
                future.set_result(heard)
        for future in worker.answers.values():
            if not future.done():
                future.set_result(None)
        worker.answers.clear()
        self._running.pop(worker.slot, None)
        await worker.control.close()

    async def _ask(self, worker: _Worker, seconds: float | None = None, **order: Any) -> dict[str, Any] | None:
        """What the worker answers; None if it is gone or takes too long."""
        if self._running.get(worker.slot) is not worker:
            return None
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        worker.answers[number] = future
        worker.control.say(number=number, **order)
        try:
            async with asyncio.timeout(ANSWER_SECONDS if seconds is None else seconds):
                return await future
        except TimeoutError:
            return None

    def _ready(self) -> int:
        return sum(not worker.unready for worker in self._running.values())

    def _lost(self, worker: _Worker) -> None:
        self._running.pop(worker.slot, None)
        self._counts.clear(worker.slot)
        self._gone(worker.process)
        self._metrics.running(self._ready())

    def _gone(self, process: asyncio.subprocess.Process) -> None:
        self._processes.discard(process)
        mark_dead(process.pid, self._folder)


async def serve_workers(
    workers: Workers, admin: socket.socket, *, started: Callable[[str], None], watching: bool = False
) -> None:
    """Run `workers` and their admin port until SIGTERM or SIGINT, then drain. `started` is given a model's name once
    requests are answered. Raises `WorkerFailed`. Whatever happens, no worker is left behind."""
    stop = asyncio.Event()
    begin = asyncio.create_task(workers.start())
    stopped = asyncio.create_task(stop.wait())
    try:
        with background() as spawn:
            on_signals(stop, workers.hurry, lambda: spawn(workers.reload()))
            await asyncio.wait({begin, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                return
            model = begin.result()
            if watching:
                spawn(watch(workers.files, workers.reload))
            await run([Served(admin_app(workers), admin, True)], stop, workers.leave, lambda: started(model))
    finally:
        for task in (begin, stopped):
            task.cancel()
        await asyncio.wait((begin, stopped))
        await workers.end()


def worker_command(entry: str) -> list[str]:
    """The command that runs `entry` (`package.module:function`) in a fresh interpreter that finds modules where this
    one does."""
    module, _, function = entry.partition(":")
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {function}()"
    return [sys.executable, "-c", code]


async def _ended(process: asyncio.subprocess.Process) -> int:
    """The exit status of a process that ends, or else is killed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATE_SECONDS):
            return await process.wait()
    _kill(process)
    return await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
