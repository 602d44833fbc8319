"""The driver: it alone moves a stream, from a backend through the engine to a client.

      backend.stream() --events--> StreamGuard.receive --commands--> sink
            ^                            ^                             ^
            | leaving the block          | DeadlinePassed              | keep-alive comments
            | cancels upstream           +-------- clocks -------------+

Clocks end a stream or tell a client to wait; they never settle or release text. A repair (`Resume`) lets go of
upstream, opens the continued request (`guard.proxy.repair`), and feeds its events into the same engine.

More than 300 lines: reading, writing and the clocks share every field of the stream that they move.

The file is long because everything that moves one stream shares its clocks and its state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Final

from guard.backends.base import Backend, ModelRequest, ModelStream
from guard.contract import PROMPT_CHOICE, Channel, Lane
from guard.engine.lane import LaneReview
from guard.engine.stream import DEADLINE_MESSAGES, StreamGuard
from guard.events import (
    ChoiceFinished,
    Command,
    Deadline,
    DeadlinePassed,
    Event,
    FailStream,
    FinishChoice,
    RecordDecision,
    Resume,
    SendNotice,
    SendPrompt,
    SendText,
    TextReceived,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
)
from guard.observe.audit import SORRY, UNAVAILABLE, StreamAudit
from guard.observe.metrics import StreamMetrics
from guard.observe.traces import StreamTrace
from guard.proxy.clocks import Clocks
from guard.proxy.errors import PromptBlocked, failure
from guard.proxy.repair import OnRepair, RepairWatch, asked, continued
from guard.proxy.sink import Sink
from guard.proxy.summary import Summary
from guard.proxy.threads import run_in_thread
from guard.proxy.waiting import Waiting
from guard.wire.errors import UpstreamError

_LONG_PROMPT: Final = 32_768
"""Characters. A megabyte takes a regular expression seconds, in which no other stream would move."""
_MANY_PARTS: Final = 256
_UNRECORDED: Final = FailStream(UNAVAILABLE, SORRY)


class Pump:
    """One stream. `run` moves it to its end; `shut_down` ends it early with a terminal event."""

    def __init__(
        self,
        guard: StreamGuard,
        backend: Backend,
        request: ModelRequest,
        sink: Sink,
        metrics: StreamMetrics,
        *,
        clocks: Clocks,
        max_tokens: int | None = None,
        slow: bool = False,
        audit: StreamAudit | None = None,
        trace: StreamTrace | None = None,
        on_repair: OnRepair = lambda _how, _outcome, _seconds: None,
        on_decision: Callable[[RecordDecision], None] = lambda _command: None,
    ) -> None:
        """`max_tokens` is the client's limit per choice. `slow` keeps the engine off the event loop. With `audit`
        nothing that follows from a decision leaves before the decision is recorded."""
        self.summary = Summary(max_tokens, on_decision)
        self.stalled = False
        """The client takes nothing; there is no use in telling it anything more."""
        self._guard = guard
        self._backend = backend
        self._request = request
        self._sink = sink
        self._metrics = metrics
        self._waiting = Waiting(metrics)
        self._clocks = clocks
        self._slow = slow
        self._audit = audit
        self._texts = audit.texts if audit is not None else None
        self._trace = trace
        self._repairs = RepairWatch(on_repair)
        self._unsent: Sequence[Command] = ()
        self._left: Sequence[Event] = ()
        self._concluded = False
        self._spelled = ""
        self._asked_logprobs = bool(request.body.get("logprobs"))
        self._loop = asyncio.get_running_loop()
        self._started = self._heard = self._wrote = self._loop.time()
        self._writing: float | None = None
        self._speaking = False
        self._model: ModelStream | None = None
        self._passed: Deadline | None = None
        self._last: Sequence[Command] = ()
        self._pace = min(clocks.first_byte, clocks.between_events, clocks.after_answer, clocks.keep_alive, clocks.write)
        self._scope: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None

    # --- what others call

    async def review_prompt(self, parts: Sequence[str], *, refuse: bool = False) -> list[str] | None:
        """Review the texts of the request; returns them as they may go upstream, or None: the answer has been sent.
        With `refuse` a rule's cut raises `PromptBlocked` instead of being answered."""
        events: list[Event] = [
            TextReceived(Lane(PROMPT_CHOICE, Channel.PROMPT, part), text) for part, text in enumerate(parts)
        ]
        long = len(parts) > _MANY_PARTS or sum(map(len, parts)) > _LONG_PROMPT
        heard = await self._receive([*events, ChoiceFinished(PROMPT_CHOICE, "")], slow=long)
        commands = await self._recorded(heard)
        self._note(commands)
        if not self._guard.ended:
            cleared = {command.part: command.text for command in commands if isinstance(command, SendPrompt)}
            return [cleared.get(part, "") for part in range(len(parts))]
        blocked = next((command for command in commands if isinstance(command, FinishChoice)), None)
        if refuse and blocked is not None:
            notice = "".join(command.text for command in commands if isinstance(command, SendNotice))
            raise PromptBlocked(notice, blocked.intervention)
        if commands != [_UNRECORDED]:
            await self._sink.begin("")
        await self._end(commands)
        return None

    def send_upstream(self, body: Mapping[str, Any]) -> None:
        """Let `body` be what goes upstream: the client's, as far as its prompt's review let it through."""
        self._request = replace(self._request, body=body)

    async def run(self) -> None:
        """Stream the answer. Raises `UpstreamError` if the stream fails before the client has been sent anything, and
        `RequestError` if the process goes; every later failure is told in-band."""
        last: Sequence[Command] = ()
        try:
            async with asyncio.timeout(None) as self._scope:
                if self._passed is not None:
                    self._expire(self._passed)
                self._tick()
                await self._read()
                last = self._last
        except TimeoutError:
            if self._passed is None and not self.stalled:
                raise
            last = await self._last_word(DeadlinePassed(self._passed)) if self._passed else ()
        except UpstreamError as error:
            if not self._sink.begun and not self._last:
                self.summary.worsen("error")
                self.summary.error = error.code
                raise
            last = await self._last_word(UpstreamFailed(error.code, error.message))
        finally:
            self._scope = None
            if self._timer is not None:
                self._timer.cancel()
            if self._comment is not None:
                self._comment.cancel()
        if not self.stalled:
            await self._end(last)

    def shut_down(self) -> None:
        """The process is going: end the stream now, or as soon as it runs, with its terminal event."""
        self._expire(Deadline.SHUTDOWN)

    def close(self) -> None:
        """Count the stream, once it is over, however that came about."""
        self.summary.close(self._guard, self._metrics)

    # --- reading

    async def _read(self) -> None:
        """Read to the end, in as many requests as repairs ask for; the last commands are kept in `_last`, to be carried
        out once upstream has been let go."""
        request, resume = self._request, None
        while True:
            try:
                await self._read_request(request, resume)
            except UpstreamError as error:
                if resume is None and not self._unsent:
                    raise
                if not self._unsent and not self._last:  # the continued request is refused
                    self.summary.error = error.code
                    self._last = await self._handle((UpstreamFailed(error.code, error.message),))
            resume = asked(self._unsent)
            if resume is None:
                return
            commands, self._unsent = self._unsent, ()
            await self._write(commands)
            request = continued(self._request, resume, self.summary.backend)
            self._speaking = False
            self._heard = self._loop.time()

    async def _read_request(self, request: ModelRequest, resume: Resume | None) -> None:
        """Read one request to its end, or until the engine wants no more of it."""
        async with self._backend.stream(request) as model:
            await self._accepted(model)
            self._concluded = False
            if resume is not None:
                commands = await self._take((UpstreamResumed(resume.choice),))
                if self._stops(commands):
                    return
                await self._write(commands)
            last: Event = UpstreamEnded()
            try:
                async for events in model.events:
                    commands = await self._handle(_but_thinking(events) if self._concluded else events)
                    if self._stops(commands):
                        if not await self._goes_on_live(model):
                            return
                    elif commands:
                        await self._write(commands)
            except UpstreamError as error:
                last = UpstreamFailed(error.code, error.message)
                self.summary.error = error.code
            self._last = await self._handle((last,))

    async def _accepted(self, model: ModelStream) -> None:
        """Upstream answers. To the client an answer that is continued is one: it keeps its spelling and its counts."""
        before, self._model = self._model, model
        if before is not None:
            self._spelled = self._spelled or before.reasoning_field
            model.dropped.update(before.dropped)
        self.summary.backend = model.backend
        self.summary.dropped = model.dropped
        self._heard = self._loop.time()
        await self._sink.begin(model.backend, model.allowed)

    def _stops(self, commands: Sequence[Command]) -> bool:
        """Is no more of this request wanted? Then `commands` wait until upstream has been let go."""
        if self._guard.ended:
            self._last = commands
            return True
        resume = asked(commands)
        if resume is None:
            return False
        self._unsent = commands
        self._repairs.begin(resume, self._loop.time())
        return True

    async def _goes_on_live(self, model: ModelStream) -> bool:
        """Where upstream can be told to end a thinking, that is done in the running request."""
        resume = asked(self._unsent)
        if resume is None or resume.repair.how != "conclude" or model.end_thinking is None:
            return False
        if _but_thinking(self._left) or not await model.end_thinking():
            return False
        commands, self._unsent = self._unsent, ()
        await self._write(commands)
        self._concluded = True
        return not self._stops(await self._take((UpstreamResumed(resume.choice, live=True),)))

    async def _last_word(self, event: Event) -> Sequence[Command]:
        """What is left to say where reading was broken off by `event`: nothing else if the answer had ended before."""
        if not self._last:
            self._last = [*self._unsent, *await self._recorded(self._guard.receive(event))]
            self._note(self._last[len(self._unsent) :])
        return self._last

    async def _handle(self, events: Sequence[Event]) -> list[Command]:
        self._heard = self._loop.time()
        self._speaking = True
        began = perf_counter()
        commands = await self._receive(events)
        if self._audit is not None:
            commands = await self._recorded(commands)
        if self._asked_logprobs:
            self.summary.dropped["logprobs"] += _count_logprobs(events) - _count_logprobs(commands)
        self._note(commands)
        self._waiting.look(self._guard, self._heard)
        self._metrics.event_handled(perf_counter() - began)
        return commands

    async def _take(self, events: Sequence[Event]) -> list[Command]:
        """What the engine orders on events that are not the model's. Detectors that are opened with a long history may
        need a tenth of a second for it, so it is done off the event loop."""
        commands = await self._recorded(await self._receive(events, slow=True))
        self._note(commands)
        return commands

    async def _recorded(self, commands: list[Command]) -> list[Command]:
        """`commands`, once their decisions are recorded; if they cannot be, what ends the stream instead."""
        if self._audit is None or await self._audit.record(commands):
            return commands
        self._guard = _Abandoned()
        return [_UNRECORDED]

    async def _receive(self, events: Sequence[Event], *, slow: bool = False) -> list[Command]:
        if self._texts is not None:
            self._texts.heard(events)
        if not (slow or self._slow):
            return self._receive_all(events)
        try:
            async with asyncio.timeout(self._clocks.detector):
                with self._trace.reviewing(len(events)) if self._trace is not None else nullcontext():
                    return await run_in_thread(partial(self._receive_all, events))
        except TimeoutError:
            self._guard = _Abandoned()
            return self._guard.receive(DeadlinePassed(Deadline.DETECTOR))
        except asyncio.CancelledError:
            self._guard = _Abandoned()
            raise

    def _receive_all(self, events: Sequence[Event]) -> list[Command]:
        receive = self._guard.receive
        self._left = ()
        if len(events) == 1:
            return receive(events[0])
        commands: list[Command] = []
        for read, event in enumerate(events, 1):
            commands += receive(event)
            if asked(commands):
                self._left = events[read:]  # said by an upstream that is let go
                break
        return commands

    # --- writing

    async def _write(self, commands: Sequence[Command]) -> None:
        if not commands:
            return
        self._writing = self._loop.time()
        await self._sink.carry_out(commands, self._spelled or (self._model.reasoning_field if self._model else ""))
        self._writing = None
        self._heard = self._wrote = self._loop.time()

    async def _end(self, commands: Sequence[Command]) -> None:
        """Carry out the last commands, for which no clock of the stream runs any more."""
        if not self._sink.begun and commands and isinstance(commands[-1], FailStream):
            raise failure(commands[-1])
        try:
            async with asyncio.timeout(self._clocks.write):
                await self._write(commands)
        except TimeoutError:
            self._give_up()

    def _give_up(self) -> None:
        self.stalled = True
        self.summary.worsen("client_left")

    async def _keep_alive(self) -> None:
        if self._writing is None and await self._sink.keep_alive():
            self._metrics.kept_alive()

    def _note(self, commands: Sequence[Command]) -> None:
        """Count what is about to happen."""
        now = self._loop.time()
        self.summary.note(commands, now - self._started, self._guard, self._metrics)
        self._repairs.look(commands, now)
        if self._trace is not None:
            self._trace.note(commands)

    # --- clocks

    def _tick(self) -> None:
        """Look at every clock; come back when the next one may run out."""
        now = self._loop.time()
        clocks = self._clocks
        due = [(self._started + clocks.total, Deadline.TOTAL)]
        if self._writing is None:
            limit, kind = (
                (clocks.between_events, Deadline.BETWEEN_EVENTS)
                if self._speaking
                else (clocks.first_byte, Deadline.FIRST_BYTE)
            )
            if self._guard.answered:
                limit = min(limit, clocks.after_answer)
            due.append((self._heard + limit, kind))
            if now >= self._wrote + clocks.keep_alive:
                self._wrote = now
                if self._comment is None or self._comment.done():
                    self._comment = self._loop.create_task(self._keep_alive())
        elif now >= self._writing + clocks.write:
            self._give_up()
            self._expire(None)
            return
        when, kind = min(due)
        if now >= when:
            self._expire(kind)
            return
        next_write = self._wrote + clocks.keep_alive if self._writing is None else self._writing + clocks.write
        self._timer = self._loop.call_at(max(min(when, next_write, now + self._pace), now + 0.005), self._tick)

    def _expire(self, kind: Deadline | None) -> None:
        if self._scope is None:
            self._passed = self._passed or kind
        elif not self._scope.expired():
            self._passed = kind
            self._scope.reschedule(self._loop.time())


def _but_thinking(events: Sequence[Event]) -> Sequence[Event]:
    """`events` without text of the thinking."""
    return [each for each in events if not (isinstance(each, TextReceived) and each.lane.channel is Channel.REASONING)]


def _count_logprobs(parts: Sequence[Event | Command]) -> int:
    """Tokens whose log probabilities go along with text."""
    return sum(len(part.logprobs) for part in parts if isinstance(part, TextReceived | SendText))


class _Abandoned(StreamGuard):
    """Stands in for an engine that a thread still holds: it fails the stream once, and nothing more leaves."""

    def __init__(self) -> None:
        self.ended = True

    @property
    def answered(self) -> bool:
        return False

    def spent(self, choice: int) -> int:
        return 0

    def written(self, choice: int) -> int:
        return 0

    def lanes(self) -> Sequence[LaneReview]:
        return ()

    def receive(self, event: Event) -> list[Command]:
        if isinstance(event, DeadlinePassed):
            return [FailStream(f"deadline_{event.kind}", DEADLINE_MESSAGES[event.kind])]
        return []
