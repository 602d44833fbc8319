from __future__ import annotations

import pytest

from detectors.loop import LoopSettings


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"patience": 0}, "patience"),
        ({"patience": 101}, "patience"),
        ({"longest_period": 10}, "longest_period"),
        ({"longest_period": 100_000}, "longest_period"),
        ({"hold": -1}, "hold"),
        ({"hold": 4_001}, "hold"),
        ({"restarts": 1}, "restarts"),
        ({"restarts": -4}, "restarts"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        LoopSettings(**settings)


def test_limits_are_allowed() -> None:
    LoopSettings(patience=0.1, longest_period=64, restarts=0, hold=0)
    LoopSettings(patience=100, longest_period=65_536, restarts=1_000, hold=4_000)
