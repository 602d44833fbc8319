"""How far a statistic has come, on the one scale on which all of them are reported.

    0 ............ 0.5 ............ 0.9 ............ 1
                   warn             stop

And when to speak: once at each severity in an episode, which is over when the level has fallen below a quarter.
"""

from __future__ import annotations

from guard.contract import STOP, WARN

_OVER = 0.25


def level(warned: float, stopped: float) -> float:
    """The level of a statistic that has come to these shares of its two thresholds: 1 is at the threshold."""
    if stopped >= 1:
        return 1 - (1 - STOP) / stopped
    return max(WARN * min(warned, 1), STOP * stopped)


class Episode:
    """Tells when a level deserves a finding."""

    __slots__ = ("said",)

    def __init__(self) -> None:
        self.said = 0.0

    def rise(self, level: float) -> float | None:
        """The score to report now, if any: `WARN` or `STOP`, each once per episode."""
        if level < _OVER:
            self.said = 0.0
        score = STOP if level >= STOP else WARN if level >= WARN else 0.0
        if score <= self.said:
            return None
        self.said = score
        return score
