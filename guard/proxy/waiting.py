"""How much text waits for its verdict, and for how long: a look at every 16th read.

    look:  fed - released of each lane is how much waits now
           the newest text that waits gets a mark ──> a later read finds it released: that is how long it waited

A stretch of text shorter than a lane's step is not fed to scanners yet and is left out. Text that never leaves, because
it was cut or replaced, leaves no time behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from guard.contract import PROMPT_CHOICE
from guard.engine.lane import LaneReview
from guard.observe.metrics import StreamMetrics

EVERY: Final = 16


class Reviewed(Protocol):
    """As much of `StreamGuard` as is looked at here."""

    def lanes(self) -> Sequence[LaneReview]: ...


class Waiting:
    """The looks at one stream."""

    __slots__ = ("_end", "_left", "_marked", "_metrics", "_since")

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics
        self._left = EVERY
        self._marked: LaneReview | None = None
        self._end = 0
        self._since = 0.0

    def look(self, guard: Reviewed, now: float) -> None:
        """To be called after every read of upstream; `now` is in seconds of any clock."""
        marked = self._marked
        if marked is not None:
            if marked.released >= self._end:
                self._metrics.held_for(marked.lane.channel, now - self._since)
                self._marked = None
            elif marked.ending is not None or marked.fed < self._end:
                self._marked = None  # it will never leave
        self._left -= 1
        if self._left:
            return
        self._left = EVERY
        for lane in guard.lanes():
            if lane.lane.choice == PROMPT_CHOICE or lane.ending is not None:
                continue
            waits = max(lane.fed - lane.released, 0)
            self._metrics.held(lane.lane.channel, waits)
            if not waits:
                self._metrics.held_for(lane.lane.channel, 0.0)
            elif self._marked is None:
                self._marked, self._end, self._since = lane, lane.fed, now
