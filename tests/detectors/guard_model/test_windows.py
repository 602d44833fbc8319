from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from detectors.guard_model.adapter import Judgement, Level, Reason, Unavailable
from detectors.guard_model.lane import Desk
from detectors.guard_model.windows import WindowScanner
from guard.contract import Channel, Finding, Span
from guard.testing import chunks


class Notes:
    """A judge that writes down what it is shown: `BAD` is harmful, `GONE` fails, and from `?` on it keeps text back."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, bool]] = []
        self.opened = 0

    def open(self) -> Notes:
        self.opened += 1
        return self

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        assert prompt == "asked"
        self.shown.append((text_so_far, new_text, final))
        if "GONE" in new_text:
            raise Unavailable(Reason.CONNECTION)
        consumed = new_text.find("?") if "?" in new_text and not final else len(new_text)
        harmful = "BAD" in text_so_far + new_text
        return Judgement(0.9 if harmful else 0.1, Level.UNSAFE if harmful else Level.SAFE, ("hate",), consumed)


def scanner(notes: Notes, history: str = "", tail: int = 6) -> WindowScanner:
    desk = Desk("judge", Channel.CONTENT, 0.5, None)
    return WindowScanner(desk, notes.open, "asked", history, every=10, tail=tail, reach=0)


def run(text: str, size: int, tail: int = 6) -> tuple[Notes, list[Finding], dict[str, float], list[int]]:
    notes, counts, findings, settled = Notes(), dict[str, float](), list[Finding](), list[int]()
    one = scanner(notes, tail=tail)
    for report in [*map(one.feed, chunks(text, size)), one.settle()]:
        findings += report.findings
        settled.append(report.settled)
        for name, value in report.counters.items():
            counts[name] = counts.get(name, 0) + value
    return notes, findings, counts, settled


def test_everything_is_shown_once_after_the_end_of_what_came_before() -> None:
    notes, findings, counts, _ = run("abcdefghijklmnopqrstuvwxyz", 26)
    assert notes.shown == [
        ("", "abcdefghij", False),
        ("efghij", "klmnopqrst", False),
        ("opqrst", "uvwxyz", True),
    ]
    assert findings == []
    assert counts == {"windows": 3, "judged": 3, "cleared": 3, "held_chars": 26}
    assert notes.opened == 1


@pytest.mark.parametrize("size", [1, 3, 10, 16, 99])
def test_calls_stand_at_the_same_places_however_the_text_comes(size: int) -> None:
    text = "one two? three BAD four GONE five six? seven" * 3
    assert run(text, size)[:1][0].shown == run(text, 7)[0].shown
    assert run(text, size)[1:3] == run(text, 7)[1:3]


def test_what_is_not_consumed_is_held_and_shown_again() -> None:
    notes, _, _, settled = run("abc?efghijklmnopqrstuvwx", 4)
    assert [new for _, new, _ in notes.shown] == ["abc?efghij", "?efghijklmnopqrst", "?efghijklmnopqrstuvwx"]
    assert settled == [0, 0, 3, 3, 3, 3, 24]


def test_a_finding_lies_in_what_was_held() -> None:
    _, findings, counts, _ = run("0123456789abcBADghijklmnopq", 5)
    assert [(finding.span, finding.evidence) for finding in findings] == [(Span(10, 20), Span(4, 20))]
    assert counts["confirmed"] == 1


def test_after_a_failure_the_text_goes_on_with_a_new_judge() -> None:
    notes, findings, counts, settled = run("0123456789abcGONEhijklmnopqrst", 30)
    assert [(finding.label, finding.span) for finding in findings] == [("error", Span(10, 20))]
    assert notes.opened == 2
    assert notes.shown[-1] == ("ONEhij", "klmnopqrst", False)
    assert counts["unavailable"] == 1
    assert settled[-1] == 30


def test_history_is_context_and_is_not_judged() -> None:
    notes = Notes()
    one = scanner(notes, history="BAD history")
    assert one.feed("").settled == 11
    one.feed("123456789")
    assert notes.shown == [("istory", "123456789", False)]


def test_without_a_tail_only_the_new_text_is_shown() -> None:
    assert {before for before, _, _ in run("a" * 35, 35, tail=0)[0].shown} == {""}


@pytest.mark.parametrize("settle_at", [0, 5, 10, 15])
def test_settling_midway_shows_what_there_is(settle_at: int) -> None:
    notes = Notes()
    one = scanner(notes)
    one.feed("x" * settle_at)
    assert one.settle().settled == settle_at
    one.feed("y" * 20)
    assert one.settle().settled == settle_at + 20
    assert "".join(new for _, new, _ in notes.shown) == "x" * settle_at + "y" * 20


def test_peaks_are_the_desks() -> None:
    one = scanner(Notes())
    tell: Callable[[], Any] = one.peaks
    assert tell() == {}
    one.feed("all BAD!!!")
    assert tell() == {"hate": 0.9}
