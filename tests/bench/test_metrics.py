from __future__ import annotations

from bench.metrics import measure


def test_every_part_is_measured() -> None:
    found = measure(times=200, repeats=1)
    assert list(found) == ["time", "waiting", "summary", "detectors"]
    assert all(microseconds >= 0 for microseconds in found.values())
    assert found["time"] + found["summary"] > 0
