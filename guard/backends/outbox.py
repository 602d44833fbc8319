"""Events from a model's thread to the event loop.

    thread:  put, put, put ──► [waiting] ──one wake-up per batch──► loop: `async for batch in outbox.batches()`

A consumer that is slower than the model takes everything that has come meanwhile at once; neighbouring texts of one
lane are then joined.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

from guard.events import Event, TextReceived
from guard.wire.errors import UpstreamError


class Outbox:
    """One producing thread, one consuming task on the loop that was running at construction.

    The first `close` counts. What was put before it is delivered, nothing after it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._lock = threading.Lock()
        self._waiting: list[Event] = []
        self._closed = False
        self._error: UpstreamError | None = None

    def put(self, *events: Event) -> None:
        """Hand over `events`. From any thread; does nothing once closed."""
        with self._lock:
            if self._closed:
                return
            idle = not self._waiting
            for event in events:
                self._append(event)
        if idle:
            self._wake()

    def close(self, error: UpstreamError | None = None) -> None:
        """End the batches, by raising `error` if there is one. From any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._error = True, error
        self._wake()

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """What has come since the last batch, until closed. Raises the error it was closed with."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            with self._lock:
                batch, self._waiting = self._waiting, []
                closed, error = self._closed, self._error
            if batch:
                yield batch
            if closed:
                if error is not None:
                    raise error
                return

    def _append(self, event: Event) -> None:
        last = self._waiting[-1] if self._waiting else None
        if (
            isinstance(event, TextReceived)
            and isinstance(last, TextReceived)
            and event.lane == last.lane
            and not event.logprobs
            and not last.logprobs
        ):
            self._waiting[-1] = TextReceived(last.lane, last.text + event.text)
        else:
            self._waiting.append(event)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is gone, and with it whoever waited
            with self._lock:
                self._closed = True
