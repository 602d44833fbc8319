from __future__ import annotations

from detectors._matches import Match, Matches
from guard.contract import Finding, Report, Span

CARD = Match(10, 26, "CARD", "", 1.0)
KEY = Match(4, 12, "KEY", "base64", 0.8)


def matches(*found: Match) -> Matches:
    made = Matches("mine", ["CARD", "KEY"])
    for match in found:
        made.add(match)
    return made


def test_a_match_is_told_once_when_its_beginning_is_settled() -> None:
    made = matches(CARD, KEY, KEY)
    assert list(made) == [KEY, CARD]
    assert made.report(4) == Report(4, [])
    assert made.report(8) == Report(8, [Finding("mine", "KEY", 0.8, Span(4, 12), detail={"decoded": "base64"})])
    assert made.peaks() == {"CARD": 0.0, "KEY": 0.8}
    assert made.report(30) == Report(30, [Finding("mine", "CARD", 1.0, Span(10, 26))])
    assert made.report(30) == Report(30)


def test_settled_never_falls() -> None:
    made = matches()
    assert made.report(9).settled == 9
    assert made.report(3).settled == 9


def test_of_what_began_in_settled_text_the_rest_is_told() -> None:
    made = matches()
    made.report(20)
    made.add(CARD)
    made.add(KEY)
    assert made.report(30).findings == [Finding("mine", "CARD", 1.0, Span(20, 26), evidence=Span(10, 26))]


def test_what_lies_wholly_in_the_history_is_not_told() -> None:
    made = matches(CARD, KEY)
    made.begin(12)
    assert made.report(12) == Report(12, [Finding("mine", "CARD", 1.0, Span(12, 26), evidence=Span(10, 26))])
    assert made.peaks() == {"CARD": 1.0, "KEY": 0.0}
