"""Usage over several requests to upstream."""

from __future__ import annotations

from guard.engine.calls import Calls
from guard.events import RepairUsage, Usage


def test_what_was_reported_is_summed_and_what_was_not_is_estimated() -> None:
    calls = Calls()
    assert calls.running
    calls.add(Usage(10, 20, None, 3), 7, 15)
    assert (calls.usage, calls.estimated, calls.running) == (Usage(10, 20, None, 3), False, False)
    calls.add(None, 7, 19)
    assert (calls.usage, calls.estimated) == (Usage(17, 24, None, 3), True)
    calls.add(Usage(1, 2, 3), 7, 30)
    assert (calls.usage, calls.estimated) == (Usage(18, 26, 3, 3), True)


def test_a_request_that_goes_on_after_all_is_counted_once() -> None:
    calls = Calls()
    calls.add(Usage(1, 2), 7, 10)
    calls.go_on(same=False)
    calls.add(None, 7, 15)
    calls.go_on(same=True)
    calls.add(Usage(7, 20), 7, 25)
    assert (calls.usage, calls.estimated, calls.number) == (Usage(8, 22), False, 2)


def test_it_runs_until_it_is_over() -> None:
    calls = Calls()
    running = [calls.running]
    calls.add(None, 0, 0)
    running.append(calls.running)
    calls.go_on(same=False)
    assert [*running, calls.running] == [True, False, True]


def test_what_repairs_came_to() -> None:
    calls = Calls()
    calls.add(Usage(10, 20), 0, 0)
    assert calls.repairs(0, 100) is None
    assert calls.repairs(1, 100) == RepairUsage(1, 20, 80)
    assert calls.repairs(1, 15) == RepairUsage(1, 20, 0)
    assert calls.repairs(2, None) == RepairUsage(2, 20)
