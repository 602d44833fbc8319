"""A backend made of two: the second takes over while the first has not said anything.

    CLOSED --`threshold` failures in a row--> OPEN --`cool_down` seconds--> one request tries --ok--> CLOSED
      |                                        ^                                    |
      first, else second                       +------------- failed --------------+
                                               second only

Once the first has said something (text, a tool call, a finish) nothing is switched: the client has been told who
answers. A refused request (4xx) is the client's to mend, and shows that the first is alive.

A repair goes on where the answer came from, and nowhere else; `hand_over` goes from the first to the second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

from guard.backends.base import Backend, Capabilities, Continuation, ModelRequest, ModelStream, UpstreamError
from guard.backends.continuation import same_again
from guard.events import ChoiceFinished, Event, TextReceived, ToolCallOpened, UpstreamFailed

_AT_FAULT: Final[Mapping[str, int]] = {
    "content_filter": 400,
    "context_length_exceeded": 400,
    "invalid_request": 400,
    "model_not_found": 404,
}
"""Codes with which a stream can begin that speak of the request, as a 4xx does, and the status for the client."""
_CANNOT: Final = "repair_unsupported"


class CircuitBreaker:
    """Counts failures in a row and says whether the next try is worth it. `on_change(open)` is told when it opens and
    when it closes."""

    def __init__(
        self,
        threshold: int,
        cool_down: float,
        clock: Callable[[], float],
        on_change: Callable[[bool], None] = lambda _open: None,
    ) -> None:
        self._threshold = threshold
        self._cool_down = cool_down
        self._clock = clock
        self._on_change = on_change
        self._failures = 0
        self._opened_at: float | None = None

    @property
    def open(self) -> bool:
        return self._opened_at is not None

    def allows(self) -> bool:
        """True if a request may try; while open, one request per cool-down."""
        if self._opened_at is None:
            return True
        if self._clock() - self._opened_at < self._cool_down:
            return False
        self._opened_at = self._clock()
        return True

    def succeeded(self) -> None:
        self._failures = 0
        was_open, self._opened_at = self.open, None
        if was_open:
            self._on_change(False)

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._threshold:
            was_open, self._opened_at = self.open, self._clock()
            if not was_open:
                self._on_change(True)


class FailoverBackend:
    """`first`, or `second` where the first cannot be reached, answers 5xx or 429, or fails or ends having said nothing,
    or has said nothing for `patience` seconds.

    `on_failover(first, second, code)` is told of every switch. `threshold` failures in a row open the breaker for
    `cool_down` seconds; `on_breaker` is told when it opens and closes. Raises what the first said if the second fails
    too.
    """

    def __init__(
        self,
        first: Backend,
        second: Backend,
        *,
        threshold: int = 5,
        cool_down: float = 30.0,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_failover: Callable[[str, str, str], None] = lambda _first, _second, _code: None,
        on_breaker: Callable[[bool], None] = lambda _open: None,
    ) -> None:
        self.name = first.name
        self.first = first
        self.second = second
        self.patience = patience
        self.breaker = CircuitBreaker(threshold, cool_down, clock, on_breaker)
        self.on_failover = on_failover

    @property
    def capabilities(self) -> Capabilities:
        """What the first can do, and `hand_over`. What the second cannot do, where it answers, is refused then."""
        able = self.first.capabilities
        return Capabilities(able.repairs | {"hand_over"}, able.chat_repairs | {"hand_over"}, able.embeddings)

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        if request.continuation is not None:
            backend, request = self._continues(request, request.continuation)
            async with backend.stream(request) as model:
                yield model
            return
        reason: UpstreamError | None = None
        if self.breaker.allows():
            async with AsyncExitStack() as stack:
                try:
                    model = await self._begin_in_time(stack, request)
                except UpstreamError as error:
                    if not error.retry:
                        self.breaker.succeeded()  # it is alive: the request is at fault
                        raise
                    reason = error
                    self.breaker.failed()
                else:
                    self.breaker.succeeded()
                    yield model
                    return
        self.on_failover(self.first.name, self.second.name, reason.code if reason else "breaker_open")
        async with AsyncExitStack() as stack:
            try:
                model = await stack.enter_async_context(self.second.stream(request))
            except UpstreamError as error:
                raise _both(reason, error) from error
            yield model

    async def models(self) -> Sequence[str]:
        try:
            return await self.first.models()
        except UpstreamError:
            return await self.second.models()

    async def aclose(self) -> None:
        try:
            await self.first.aclose()
        finally:
            await self.second.aclose()

    def _continues(self, request: ModelRequest, continuation: Continuation) -> tuple[Backend, ModelRequest]:
        """Who goes on with an answer, and how. Raises `UpstreamError` if nobody can."""
        second = request.answered_by == self.second.name
        backend = self.second if second else self.first
        if continuation.how != "hand_over":
            if continuation.how in _repairs(backend, request):
                return backend, request
            raise UpstreamError(f"`{backend.name}` cannot {continuation.how} an answer.", code=_CANNOT, retry=False)
        if second:
            message = f"`{backend.name}` has the answer already; there is nobody to hand it over to."
            raise UpstreamError(message, code=_CANNOT, retry=False)
        self.on_failover(self.first.name, self.second.name, "hand_over")
        if not continuation.content:
            # Thoughts of another model, in the form that one thinks in, are of little use to the second.
            anew = same_again(request, continuation)
            return self.second, replace(request, continuation=None, answered_by="", body=anew)
        if "resample" in _repairs(self.second, request):
            return self.second, replace(request, continuation=replace(continuation, how="resample"))
        raise UpstreamError(
            f"`{self.second.name}` cannot go on with an answer that was begun.", code=_CANNOT, retry=False
        )

    async def _begin_in_time(self, stack: AsyncExitStack, request: ModelRequest) -> ModelStream:
        try:
            async with asyncio.timeout(self.patience):
                return await self._begin(stack, request)
        except TimeoutError as error:
            message = f"`{self.first.name}` did not begin to answer in time."
            raise UpstreamError(message, code="upstream_timeout", status=504) from error

    async def _begin(self, stack: AsyncExitStack, request: ModelRequest) -> ModelStream:
        """Open the first backend and wait until it has said something; what came before that is kept."""
        model = await stack.enter_async_context(self.first.stream(request))
        begun: list[Event] = []
        async for events in model.events:
            begun += events
            for event in events:
                if isinstance(event, TextReceived | ToolCallOpened | ChoiceFinished):
                    model.events = _chain(begun, model.events)
                    return model
                if isinstance(event, UpstreamFailed):
                    status = _AT_FAULT.get(event.code)
                    raise UpstreamError(event.message, code=event.code, status=status or 502, retry=status is None)
        raise UpstreamError(f"`{self.first.name}` ended its stream without an answer.", code="upstream_empty")


def _repairs(backend: Backend, request: ModelRequest) -> frozenset[str]:
    able = backend.capabilities
    return able.chat_repairs if request.chat_only else able.repairs


async def _chain(begun: Sequence[Event], rest: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Sequence[Event]]:
    yield begun
    async for events in rest:
        yield events


def _both(first: UpstreamError | None, second: UpstreamError) -> UpstreamError:
    if first is None or not second.retry:
        return second
    message = f"{first.message} The fallback could not answer either: {second.message}"
    return UpstreamError(message, code=first.code, status=second.status, retry_after=second.retry_after)
