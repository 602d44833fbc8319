"""The last things that rules did, for whoever looks at the guard now: in memory, few of them, and no text.

    stream --RecordDecision--> Interventions: acted (mask, cut, repair)   the last 50
                                              flagged                     the last 50

The audit is the record of all decisions; this is what an operator glances at. What one rule does again and again to one
stream is one entry that says how often.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from guard.events import Flag, RecordDecision

SIZE: Final = 50
_LONGEST: Final = 100
"""Characters of a model's name that are kept: clients choose it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream's entries say of it."""

    request_id: str
    stream_id: str
    model: str


@dataclass(slots=True)
class Intervention:
    """What a rule did. `time` is the last time, as Unix seconds; `score` the highest."""

    number: int
    """Counts the entries of a process."""
    time: float
    request_id: str
    stream_id: str
    model: str
    rule: str
    detector: str
    label: str
    score: float
    channel: str
    action: str
    times: int = 1


class Interventions:
    """The last entries of one process."""

    def __init__(self, size: int = SIZE, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time."""
        self._acted: deque[Intervention] = deque(maxlen=size)
        self._flagged: deque[Intervention] = deque(maxlen=size)
        self._clock = clock
        self._count = 0

    def stream(self, request_id: str, stream_id: str, model: str) -> Callable[[RecordDecision], None]:
        """What is to be told of a stream's decisions."""
        return partial(self._take, Told(request_id, stream_id, model[:_LONGEST]))

    def acted(self) -> list[Intervention]:
        """Masks, cuts and repairs, the newest first."""
        return newest(self._acted)

    def flagged(self) -> list[Intervention]:
        """What rules only flagged, the newest first."""
        return newest(self._flagged)

    def _take(self, told: Told, command: RecordDecision) -> None:
        rule, action = command.decision.rule, command.decision.action
        if not rule:
            return
        ring = self._flagged if isinstance(action, Flag) else self._acted
        finding, channel = command.finding, str(command.lane.channel)
        word = type(action).__name__.lower()
        same = (told.stream_id, rule, finding.detector, finding.label, channel, word)
        for each in ring:
            if (each.stream_id, each.rule, each.detector, each.label, each.channel, each.action) == same:
                each.times += 1
                each.time = self._clock()
                each.score = max(each.score, finding.score)
                return
        self._count += 1
        ring.append(
            Intervention(
                number=self._count,
                time=self._clock(),
                request_id=told.request_id,
                stream_id=told.stream_id,
                model=told.model,
                rule=rule,
                detector=finding.detector,
                label=finding.label,
                score=finding.score,
                channel=channel,
                action=word,
            )
        )


def newest(entries: Iterable[Intervention], size: int = SIZE) -> list[Intervention]:
    """The newest of `entries`, those first."""
    return sorted(entries, key=lambda each: each.time, reverse=True)[:size]
