"""How long anything of a stream may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clocks:
    """Limits of a stream, in seconds."""

    first_byte: float = 120.0
    between_events: float = 60.0
    after_answer: float = 5.0
    """From the last choice's end to upstream's: what is still to come is usage, which can be estimated."""
    total: float = 1800.0
    keep_alive: float = 10.0
    """A client that has received nothing for this long is sent a comment."""
    write: float = 60.0
    """A client that takes nothing for this long is given up."""
    detector: float = 30.0
    """A slow detector that has not come back after this long is abandoned."""
