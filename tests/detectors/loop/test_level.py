from __future__ import annotations

import pytest

from detectors.loop.level import Episode, level
from guard.contract import STOP, WARN


@pytest.mark.parametrize(
    ("warned", "stopped", "expected"),
    [(0, 0, 0), (0.5, 0, 0.25), (1, 0, 0.5), (3, 0.3, 0.5), (3, 0.8, 0.72), (9, 1, 0.9), (9, 2, 0.95), (0, 10, 0.99)],
)
def test_thresholds_stand_at_fixed_places(warned: float, stopped: float, expected: float) -> None:
    assert level(warned, stopped) == pytest.approx(expected)


def test_an_episode_speaks_once_at_each_severity() -> None:
    episode = Episode()
    said = [episode.rise(reached) for reached in (0.2, 0.5, 0.6, 0.4, 0.7, 0.9, 0.95, 0.6, 0.92)]
    assert said == [None, WARN, None, None, None, STOP, None, None, None]


def test_a_new_episode_begins_when_the_level_has_fallen() -> None:
    episode = Episode()
    assert [episode.rise(reached) for reached in (0.95, 0.2, 0.55, 0.1, 0.9)] == [STOP, None, WARN, None, STOP]
