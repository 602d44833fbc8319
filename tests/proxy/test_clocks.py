from __future__ import annotations

import dataclasses

import pytest

from guard.proxy.clocks import Clocks
from guard.settings import Timeouts


def test_the_defaults_are_those_of_the_settings() -> None:
    clocks, settings = Clocks(), Timeouts()
    for name in ("first_byte", "between_events", "total"):
        assert getattr(clocks, name) == getattr(settings, name)


def test_a_waiting_client_hears_something_before_any_deadline() -> None:
    clocks = Clocks()
    assert clocks.keep_alive < min(clocks.first_byte, clocks.between_events, clocks.write, clocks.total)
    assert clocks.after_answer < clocks.between_events


def test_they_do_not_change_while_a_stream_runs() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Clocks().total = 1.0  # type: ignore[misc]
