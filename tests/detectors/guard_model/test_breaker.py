from __future__ import annotations

from detectors.guard_model.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def failing(times: int, clock: Clock) -> Breaker:
    breaker = Breaker(3, 10.0, clock)
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert failing(2, Clock()).allows()
    assert not failing(3, Clock()).allows()


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = failing(2, Clock())
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_after_its_time_one_call_tries() -> None:
    clock = Clock()
    breaker = failing(3, clock)
    clock.now += 9.99
    assert not breaker.allows()
    clock.now += 0.01
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_the_try_closes_it_or_opens_it_again() -> None:
    clock = Clock()
    breaker = failing(3, clock)
    clock.now += 10
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += 10
    assert breaker.allows()
    breaker.succeeded()
    assert [breaker.allows() for _ in range(3)] == [True, True, True]
