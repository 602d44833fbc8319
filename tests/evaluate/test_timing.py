from __future__ import annotations

import pytest

from guard.contract import Channel, Context, Lane, Report
from guard.evaluate import timing
from guard.evaluate.timing import TimedDetector, TimedScanner
from tests.support.fake_detectors import Words, WordsSettings
from tests.support.transcripts import Counts, CountsSettings

LANE = Lane(0, Channel.CONTENT)


def test_a_timed_detector_says_what_it_is() -> None:
    counts = Counts("loop", CountsSettings())
    timed = TimedDetector(counts)
    assert (timed.name, timed.labels, timed.slow) == ("loop", counts.labels, False)


def test_time_is_summed_over_feeds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 10))
    monkeypatch.setattr(timing, "perf_counter_ns", lambda: next(clock))
    timed = TimedDetector(Counts("loop", CountsSettings(times=2)))
    scanner = timed.open(LANE, Context())
    assert scanner.feed("again and ") == Report(10)
    assert len(scanner.feed("again").findings) == 1
    assert scanner.settle() == Report(15)
    assert scanner.peaks() == {"often": 0.9}
    assert timed.nanoseconds == 20


def test_time_is_summed_when_a_feed_raises() -> None:
    class Raises(Words):
        pass

    timed = TimedDetector(Raises("words", WordsSettings()))

    class Bad:
        def feed(self, delta: str) -> Report:
            raise RuntimeError(delta)

        def settle(self) -> Report:
            return Report(0)

    with pytest.raises(RuntimeError):
        TimedScanner(timed, Bad()).feed("x")
    assert timed.nanoseconds > 0


def test_a_scanner_without_peaks_has_none() -> None:
    assert TimedDetector(Words("words", WordsSettings())).open(LANE, Context()).peaks() == {}
