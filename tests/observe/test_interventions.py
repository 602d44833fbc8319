from __future__ import annotations

import pytest

from guard.contract import Channel, Finding, Lane, Span
from guard.events import Action, Cut, Decision, Flag, Mask, RecordDecision, Repair
from guard.observe.interventions import SIZE, Interventions, newest


def decided(
    rule: str = "no_loops", action: Action | None = None, *, label: str = "exact", score: float = 0.9
) -> RecordDecision:
    finding = Finding("loop", label, score, Span(10, 20))
    return RecordDecision(Lane(0, Channel.REASONING), finding, Decision(rule, action or Cut("Stopped.")), 20)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def ring() -> Interventions:
    return Interventions(clock=Clock())


def test_an_entry_says_who_did_what_to_which_stream() -> None:
    told = ring()
    told.stream("their-id", "our-id", "qwq-32b")(decided())
    (entry,) = told.acted()
    assert (entry.time, entry.request_id, entry.stream_id, entry.model) == (1_001, "their-id", "our-id", "qwq-32b")
    assert (entry.rule, entry.detector, entry.label, entry.score) == ("no_loops", "loop", "exact", 0.9)
    assert (entry.channel, entry.action, entry.times) == ("reasoning", "cut", 1)


@pytest.mark.parametrize(
    ("action", "acted", "flagged"),
    [
        (Cut("Stopped."), ["cut"], []),
        (Mask("x"), ["mask"], []),
        (Repair("conclude", otherwise=Cut("Stopped.")), ["repair"], []),
        (Flag(), [], ["flag"]),
    ],
)
def test_flags_do_not_drive_out_interventions(action: Action, acted: list[str], flagged: list[str]) -> None:
    told = ring()
    told.stream("r", "s", "m")(decided(action=action))
    assert [each.action for each in told.acted()] == acted
    assert [each.action for each in told.flagged()] == flagged


def test_a_finding_that_no_rule_speaks_of_is_no_news() -> None:
    told = ring()
    told.stream("r", "s", "m")(decided("", Flag()))
    assert not told.acted()
    assert not told.flagged()


def test_what_a_rule_does_again_to_a_stream_is_counted() -> None:
    told = ring()
    first, second = told.stream("r", "one", "m"), told.stream("r", "two", "m")
    first(decided(score=0.9))
    second(decided())
    first(decided(score=0.95))
    first(decided(score=0.92))
    first(decided(label="sentence"))
    seen = [(each.stream_id, each.label, each.times, each.score) for each in told.acted()]
    assert seen == [("one", "sentence", 1, 0.9), ("one", "exact", 3, 0.95), ("two", "exact", 1, 0.9)]


def test_it_keeps_the_last_ones_and_short_names() -> None:
    told = ring()
    for number in range(3 * SIZE):
        told.stream("r", str(number), "m" * 10_000)(decided())
    entries = told.acted()
    assert [each.stream_id for each in entries] == [str(number) for number in range(3 * SIZE - 1, 2 * SIZE - 1, -1)]
    assert {len(each.model) for each in entries} == {100}
    assert len({each.number for each in entries}) == SIZE
    assert newest(entries, 2) == entries[:2]
