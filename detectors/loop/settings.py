"""What an operator may change of the loop detector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What an operator may change."""

    patience: float = 1.0
    """Multiplies what makes a loop, of any kind but `self_prompt`: 0.7 stops sooner, 2 later."""
    longest_period: int = 16_000
    """Longest period of verbatim copies that is looked for, in characters; memory and CPU grow with it."""
    restarts: int = 4
    """How often a response may start a part of the prompt (`Question:`, `[STATEMENT]`) until it is taken to continue
    the prompt instead of answering it. 0: as often as it likes."""
    hold: int = 512
    """Most characters held back while a loop is suspected. 0 holds nothing."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.patience <= 100:
            raise ValueError(f"patience must be between 0.1 and 100, not {self.patience}")
        if not 64 <= self.longest_period <= 65_536:
            raise ValueError(f"longest_period must be between 64 and 65536 characters, not {self.longest_period}")
        if self.restarts != 0 and not 2 <= self.restarts <= 1_000:
            raise ValueError(f"restarts must be 0, or between 2 and 1000, not {self.restarts}")
        if not 0 <= self.hold <= 4_000:
            raise ValueError(f"hold must be between 0 and 4000 characters, not {self.hold}")
