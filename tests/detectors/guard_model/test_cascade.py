from __future__ import annotations

import pytest

from detectors.guard_model.adapter import Judgement, Level, Reason, Unavailable
from detectors.guard_model.cascade import CascadeScanner
from detectors.guard_model.embedded import Embedded
from detectors.guard_model.lane import Desk
from detectors.harm import Harm, HarmSettings
from guard.contract import Channel, Context, Finding, Lane, Report, Span
from guard.testing import chunks
from tests.support.harm_model import Told

CALM = "All is well here. "


class Notes:
    """A judge that writes down what it is shown: `BAD` is harmful, `GONE` fails."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        assert (prompt, final) == ("asked", True)
        self.shown.append((text_so_far, new_text))
        if "GONE" in new_text:
            raise Unavailable(Reason.TIMEOUT)
        harmful = "BAD" in new_text
        return Judgement(0.9 if harmful else 0.1, Level.UNSAFE if harmful else Level.SAFE, ("hate",), len(new_text))


class ToldHarm(Harm):
    """With a model that reads the risk from the text."""

    def load(self) -> None:
        self._model = Told()


def scanner(notes: Notes, history: str = "", *, second: bool = False, tail: int = 300) -> CascadeScanner:
    first = Embedded(HarmSettings(), Told())
    desk = Desk("judge", Channel.CONTENT, 0.5, first if second else None)
    scout = ToldHarm("judge", HarmSettings(0.3, 0.3))
    scout.load()
    watch = scout.open(Lane(0, Channel.CONTENT), Context(), history)
    return CascadeScanner(desk, watch, first, lambda: notes, "asked", history, escalate=0.3, tail=tail)


def text(*steps: str) -> str:
    """Steps of 200 characters: calm sentences that hold a mark like `r0.4`, or none, and end with a sentence."""
    return "".join((step + " " + CALM * 20)[:199] + "." for step in steps)


class Run:
    """A whole text through a scanner."""

    def __init__(self, whole: str, size: int = 16, *, second: bool = False) -> None:
        self.notes = Notes()
        self.counts: dict[str, float] = {}
        self.findings: list[Finding] = []
        self.settled: list[int] = []
        one = scanner(self.notes, second=second)
        for piece in chunks(whole, size):
            self.take(one.feed(piece))
        self.take(one.settle())

    def take(self, report: Report) -> None:
        self.findings += report.findings
        self.settled.append(report.settled)
        for name, value in report.counters.items():
            self.counts[name] = self.counts.get(name, 0) + value


def test_what_the_first_look_clears_the_guard_model_never_sees() -> None:
    run = Run(text("", "r0.29", "", ""))
    assert run.notes.shown == []
    assert run.counts == {"windows": 4}
    assert run.findings == []


def test_what_it_escalates_is_judged_whole_with_the_text_before() -> None:
    whole = text("", "", "", "r0.4", "", "")
    run = Run(whole)
    assert run.notes.shown == [(whole[100:400], whole[400:800]), (whole[300:600], whole[600:1000])]
    assert run.counts == {"windows": 6, "escalated": 2, "judged": 2, "cleared": 2, "held_chars": 400}
    assert run.findings == []


def test_what_the_judge_confirms_is_a_finding() -> None:
    run = Run(text("", "", "r0.4 BAD", "", ""))
    assert [(finding.label, finding.score, finding.span, finding.evidence) for finding in run.findings] == [
        ("hate", 0.9, Span(400, 600), Span(200, 600))
    ]
    assert run.counts["confirmed"] == 2  # in both windows, but one stretch
    assert run.counts["escalated"] == 2


def test_what_the_first_look_misses_is_missed() -> None:
    assert Run(text("", "BAD", "")).findings == []


def test_text_waits_for_the_end_of_a_sentence() -> None:
    whole = text("", "", "")[:380] + " and this sentence goes on and on" + text("", "")
    one = scanner(Notes())
    settled = [one.feed(step).settled for step in chunks(whole, 200)]
    assert settled[0] == 200
    assert settled[1] < 400
    assert whole[: settled[1]].rstrip().endswith(".")


def test_a_window_is_held_from_its_new_half_until_it_is_judged() -> None:
    one = scanner(Notes())
    before = one.feed(text("")).settled
    held = one.feed(text("r0.4 BAD")[:199]).settled
    assert before == held == 200
    report = one.feed(".")
    assert report.settled == 400
    assert report.findings[0].span == (200, 400)


def test_a_failing_judge_is_an_error_or_the_first_looks_word() -> None:
    whole = text("", "r0.98 GONE", "", "r0.4 GONE", "")
    run = Run(whole)
    assert [finding.label for finding in run.findings] == ["error"] * 4
    assert run.counts["unavailable"] == 4
    assert "judged" not in run.counts
    run = Run(whole, second=True)
    assert [(finding.label, finding.score) for finding in run.findings] == [("indiscriminate_weapons", 0.98)]
    assert run.counts["unavailable"] == 4


@pytest.mark.parametrize("size", [1, 13, 200, 5_000])
def test_chunks_do_not_matter(size: int) -> None:
    whole = text("", "r0.4", "", "r0.5 BAD", "", "r0.9 GONE", "")[:-70]
    run, other = Run(whole, size), Run(whole, 16)
    assert run.notes.shown == other.notes.shown
    assert run.findings == other.findings
    assert run.counts == other.counts


def test_a_short_text_is_judged_when_it_ends() -> None:
    run = Run("r0.4 BAD")
    assert run.notes.shown == [("", "r0.4 BAD")]
    assert [finding.span for finding in run.findings] == [(0, 8)]


def test_settling_where_nothing_is_new_asks_nobody() -> None:
    one = scanner(notes := Notes())
    one.feed(text("r0.4")[:-10] + "and so on ")
    assert len(notes.shown) == 1
    assert one.settle().settled == 200
    assert one.settle().counters == {}
    assert len(notes.shown) == 1


def test_history_is_context_only() -> None:
    one = scanner(notes := Notes(), history="BAD " + CALM * 10 + "r0.4 ")
    start = len("BAD " + CALM * 10 + "r0.4 ")
    assert one.feed("").settled == start
    report = one.feed(CALM * 20)
    assert all(finding.span.start >= start for finding in report.findings)
    assert notes.shown
