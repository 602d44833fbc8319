"""One stream's part of the metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from prometheus_client import Counter

from guard.contract import ERROR_LABEL, STOP, Channel, Finding, Lane
from guard.events import Decision
from guard.observe.families import Families
from guard.observe.known import NO_RULE, Names

NO_TOKENS: Final[Mapping[str, float]] = MappingProxyType({})
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
"""As W3C Trace Context spells it."""


class Who(NamedTuple):
    """Whose stream it is, in words that labels may say."""

    model: str
    policy: str
    mode: str


class StreamMetrics:
    """Remembers what is to be counted once. Its `closed` must be called, whatever happens to the stream.

    A `trace_id` goes along as an exemplar with what is rare enough to be looked at one by one. Exemplars are exported
    as OpenMetrics only, and not by several processes.
    """

    __slots__ = (
        "_closed",
        "_exemplar",
        "_names",
        "_route",
        "_seen",
        "_to",
        "_who",
        "event_handled",
    )

    def __init__(self, families: Families, names: Names, route: str, who: Who, trace_id: str = "") -> None:
        """`route` and `who` are known values."""
        self._to = families
        self._names = names
        self._route = route
        self._who = who
        self._exemplar = {"trace_id": trace_id} if _TRACE_ID.fullmatch(trace_id) else None
        self._seen: set[tuple[Counter, Channel]] = set()
        self._closed = False
        self.event_handled = families.added.observe
        """Takes the seconds the guard spent on what one read from upstream brought."""

    def first_token(self, seconds: float) -> None:
        self._to.first_token.labels(self._who.model).observe(seconds, self._exemplar)

    def kept_alive(self) -> None:
        self._to.keep_alives.inc()

    def is_loop(self, finding: Finding) -> bool:
        """Is it a loop that its detector is sure of?"""
        return finding.score >= STOP and finding.label != ERROR_LABEL and finding.detector in self._names.loops

    def decided(self, lane: Lane, finding: Finding, decision: Decision) -> None:
        """Count a finding, what was done about it, and the stream's first sure symptom of a kind in a channel."""
        to, names = self._to, self._names
        channel = names.channels(lane.channel)
        detector = names.detectors(finding.detector)
        label = names.label(detector, finding.label)
        to.findings.labels(detector, label, channel, *self._who).inc()
        action = type(decision.action).__name__.lower()
        rule = names.rules(decision.rule) if decision.rule else NO_RULE
        to.actions.labels(rule, action, detector, label, channel, *self._who).inc(1, self._exemplar)
        if finding.label == ERROR_LABEL:
            to.detector_errors.labels(detector).inc()
            return
        if finding.detector in names.harm:
            if decision.rule or finding.score >= STOP:
                self._once(to.harmful, lane.channel)
        elif finding.score >= STOP:
            if finding.detector in names.loops:
                self._once(to.loops, lane.channel)
            elif finding.detector in names.language_switches:
                self._once(to.switches, lane.channel)
            elif finding.detector in names.budgets:
                self._once(to.runaways, lane.channel)

    def counted(self, detector: str, counter: str, value: float) -> None:
        """What a scanner counted (`Report.counters`). What is not a number above zero counts nothing."""
        if value > 0:
            name = self._names.detectors(detector)
            self._to.detector_counts.labels(name, self._names.counter(name, counter)).inc(value)

    def finished(self, word: str, backend: str) -> None:
        """Upstream ended a choice, and this is its word for why."""
        self._to.finishes.labels(self._names.backends(backend), self._names.finishes(word)).inc()

    def thought(self, tokens: float) -> None:
        """A choice has ended after this much thinking."""
        self._to.thought.labels(self._who.model).observe(tokens, self._exemplar)

    def thought_unfinished(self) -> None:
        """Upstream ended a choice that had thought, and neither answered nor called a tool. Once per stream."""
        if (self._to.unfinished, Channel.REASONING) not in self._seen:
            self._seen.add((self._to.unfinished, Channel.REASONING))
            self._to.unfinished.labels(*self._who).inc(1, self._exemplar)

    def held(self, channel: Channel, characters: int) -> None:
        """This many code points of a lane wait now."""
        self._to.held.labels(self._names.channels(channel)).observe(characters)

    def held_for(self, channel: Channel, seconds: float) -> None:
        """Text has left that waited so long."""
        self._to.held_for.labels(self._names.channels(channel)).observe(seconds)

    def closed(
        self,
        outcome: str,
        *,
        state: str = "",
        backend: str = "",
        tokens: Mapping[str, float] = NO_TOKENS,
        tokens_spent: float = 0.0,
        tokens_saved: float = 0.0,
        tokens_wasted: float = 0.0,
    ) -> None:
        """The stream is over; a second call counts nothing. `state` is how it ended, where `outcome` does not say it.
        `backend` is who answered, "" if nobody was asked. `tokens` are those released, by channel; `tokens_spent` those
        the model wrote, `tokens_saved` what was left of the client's `max_tokens` at a cut, `tokens_wasted` those
        written after a loop had begun to repeat itself."""
        if self._closed:
            return
        self._closed = True
        to, names = self._to, self._names
        to.active.dec()
        to.requests.labels(self._route, *self._who, names.outcomes(outcome)).inc(1, self._exemplar)
        state = names.states(state or _STATES.get(outcome, "complete"))
        to.ended.labels(state).inc()
        if backend:
            to.answers.labels(names.backends(backend)).inc()
            if state in _ANSWERED:
                to.backend_up.labels(names.backends(backend)).set(1)
        for channel, count in tokens.items():
            to.tokens.labels(names.channels(channel)).inc(max(count, 0.0))
        model = self._who.model
        to.spent.labels(model).inc(max(tokens_spent, 0.0))
        to.saved.labels(model).inc(max(tokens_saved, 0.0))
        to.wasted.labels(model).inc(max(tokens_wasted, 0.0))

    def _once(self, counter: Counter, channel: Channel) -> None:
        if (counter, channel) not in self._seen:
            self._seen.add((counter, channel))
            counter.labels(self._names.channels(channel), *self._who).inc(1, self._exemplar)


_STATES: Final[Mapping[str, str]] = {
    "cut": "cut",
    "repaired": "repaired",
    "client_left": "client_left",
    "error": "upstream_died",
    "refused": "refused",
}
"""The state in which a stream of that outcome ends, unless more is known."""
_ANSWERED: Final = frozenset({"complete", "cut", "repaired"})
"""States that show that the backend works."""
