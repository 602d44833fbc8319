"""What the engine needs to know of a policy, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from guard.contract import Channel, Detector, Finding, Lane, estimate_tokens
from guard.events import Decision


@dataclass(frozen=True, slots=True)
class Hold:
    """How text of a channel waits. All figures are code points."""

    step: int = 16
    """Scanners are fed at absolute multiples of this."""
    limit: int = 4_000
    """Held text at which scanners must settle."""
    whole: bool = False
    """Release only when the lane ends; reaching `limit` then cuts."""
    sentences: bool = False
    """Release whole sentences, so that an answer can be taken up at the end of one."""

    def __post_init__(self) -> None:
        if self.step < 1 or self.limit < self.step:
            raise ValueError(f"a hold needs 1 <= step <= limit, not step {self.step} and limit {self.limit}")


WHOLE_LIMIT = 262_144
"""Longest tool call or prompt part that is held whole, in code points."""

DEFAULT_HOLD: Mapping[Channel, Hold] = {
    Channel.PROMPT: Hold(step=1_024, limit=WHOLE_LIMIT, whole=True),
    Channel.REASONING: Hold(),
    Channel.CONTENT: Hold(),
    Channel.TOOL: Hold(limit=WHOLE_LIMIT, whole=True),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled policy."""

    watch: Mapping[Channel, Sequence[Detector]]
    decide: Callable[[Lane, Finding], Decision]
    """Pure. A finding that no rule speaks of is flagged, under the rule id ""."""
    can_act: Callable[[Channel, str], bool]
    """May any rule do more than flag on this detector (by name) on this channel?"""
    hold: Mapping[Channel, Hold] = field(default_factory=lambda: DEFAULT_HOLD)
    keep_text: bool = False
    """Some rule can repair: clean released text is kept for the continued prompt, else it is dropped."""
    count_tokens: Callable[[str], float] = estimate_tokens
    """Additive over any cut of a text."""

    @property
    def slow(self) -> bool:
        """True if any watching detector must be kept off the event loop."""
        return any(detector.slow for detectors in self.watch.values() for detector in detectors)
