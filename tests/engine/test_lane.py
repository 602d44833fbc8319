"""LaneReview: the grid, the floor, hold limits, whole lanes, masks, endings, and scanners that break their word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from guard.contract import Channel, Context, Detector, Finding, Lane, Report, Span
from guard.engine.lane import HOLD_LIMIT_RULE, LaneReview
from guard.engine.plan import Hold, Plan
from guard.events import Action, Cut, Flag, Mask, Repair
from tests.support.engine import CONTENT, Custom, Words, hit, plan_of, rechunk

CUT = Cut("Stopped.")
TOOL = Lane(0, Channel.TOOL, 0)
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def review(
    *detectors: Detector,
    do: Action | dict[str, Action] | None = None,
    hold: Hold | None = None,
    lane: Lane = CONTENT,
    on_error: Action | None = None,
    keep_text: bool = False,
) -> LaneReview:
    """A lane whose detectors all act as `do` says, on a grid of 4."""
    actions = do if isinstance(do, dict) else {detector.name: do for detector in detectors} if do else {}
    holds = {lane.channel: hold or Hold(step=4, limit=1_000)}
    plan = plan_of(*detectors, actions=actions, hold=holds, on_error=on_error, keep_text=keep_text)
    return LaneReview(lane, plan, Context(), lambda tokens: None)


def whole(limit: int = 1_000) -> Hold:
    return Hold(step=4, limit=limit, whole=True)


# --- the grid


@pytest.mark.parametrize("sizes", [[1], [3], [4], [5], [7, 1], [26], [100]])
def test_scanners_are_fed_whole_steps_however_text_arrives(sizes: list[int]) -> None:
    words = Words("w", ["zzz"])
    lane = review(words, do=CUT)
    for piece in rechunk(ALPHABET, sizes):
        lane.push(piece)
    assert words.fed[CONTENT] == ["abcd", "efgh", "ijkl", "mnop", "qrst", "uvwx"]
    assert lane.fed == 24
    lane.settle()
    assert words.fed[CONTENT][-1] == "yz"
    assert (lane.fed, words.settles[CONTENT]) == (26, [26])


def test_after_settling_the_grid_is_still_counted_from_the_start_of_the_lane() -> None:
    words = Words("w", ["zzz"])
    lane = review(words, do=CUT)
    lane.push("abcdef")
    lane.settle()
    lane.push("ghijklmn")
    assert words.fed[CONTENT] == ["abcd", "ef", "gh", "ijkl"]
    lane.settle()
    lane.settle()
    assert words.fed[CONTENT] == ["abcd", "ef", "gh", "ijkl", "mn"]


def test_a_tail_waits_for_more_text_or_the_end() -> None:
    lane = review(Words("w", ["zzz"]), do=CUT)
    assert [lane.push(piece) for piece in ("abc", "de", "f")] == ["", "abcd", ""]
    assert lane.finish() == "ef"


def test_tokens_are_spent_as_they_are_fed() -> None:
    spent: list[float] = []
    plan = plan_of(hold={Channel.CONTENT: Hold(step=4, limit=8)})
    lane = LaneReview(CONTENT, plan, Context(), spent.append)
    lane.push(ALPHABET[:10])
    assert spent == pytest.approx([4 / 4] * 2)
    lane.settle()
    assert sum(spent) == pytest.approx(10 / 4)


# --- the floor


def test_text_leaves_up_to_the_least_that_any_acting_scanner_has_settled() -> None:
    near = Custom("near", feed=lambda text: Report(max(len(text) - 2, 0)))
    far = Custom("far", feed=lambda text: Report(max(len(text) - 7, 0)))
    lane = review(near, far, do=CUT)
    assert lane.push(ALPHABET[:8]) == "a"
    assert (lane.released, lane.floor, lane.fed) == (1, 1, 8)
    assert lane.settle() == "bcdefgh"


def test_a_scanner_that_can_only_flag_holds_nothing_back() -> None:
    never = Custom("never", feed=lambda text: Report(0))
    lane = review(never, do={"never": Flag()})
    assert not lane.held
    assert [lane.push(piece) for piece in ("abcde", "f", "ghijklmn")] == ["abcde", "f", "ghijklmn"]
    assert lane.settle() == ""


def test_beside_one_that_can_act_it_is_not_waited_for_either() -> None:
    never = Custom("never", feed=lambda text: Report(0))
    lane = review(never, Words("w", ["zzz"]), do={"w": CUT})
    assert lane.held
    assert lane.push("abcdef") == "abcd"


def test_without_scanners_text_leaves_on_arrival() -> None:
    lane = review()
    assert not lane.held
    assert lane.push("abcdef") + lane.push("g") + lane.finish() == "abcdefg"


def test_a_channel_without_a_hold_of_its_own_takes_the_default() -> None:
    words = Words("w", ["zzz"])
    plan = Plan(watch={Channel.CONTENT: [words]}, decide=plan_of().decide, can_act=lambda channel, name: True, hold={})
    lane = LaneReview(CONTENT, plan, Context(), lambda tokens: None)
    assert lane.push(ALPHABET) == ALPHABET[:16]


# --- hold limits


def test_at_the_hold_limit_scanners_must_settle() -> None:
    lagging = Words("w", ["zzz"], lag=100)
    lane = review(lagging, do=CUT, hold=Hold(step=4, limit=8))
    released = [lane.push(piece) for piece in rechunk(ALPHABET[:18], [2])]
    assert [text for text in released if text] == ["abcdefgh", "ijklmnop"]
    assert released.index("abcdefgh") == 3
    assert lagging.settles[CONTENT] == [8, 16]


@pytest.mark.parametrize(("action", "text"), [(CUT, "ab"), (Mask("#"), "ab#"), (Flag(), "abcdefgh")])
def test_what_is_found_when_settling_at_the_limit_is_decided_like_anything_else(action: Action, text: str) -> None:
    late = Custom(
        feed=lambda text: Report(0),
        settle=lambda text: Report(len(text), [hit(2, 8)] if len(text) == 8 else []),
    )
    keep_held = Custom("holds", feed=lambda text: Report(0))
    lane = review(late, keep_held, do={"custom": action, "holds": CUT}, hold=Hold(step=4, limit=8))
    assert lane.push(ALPHABET[:11]) == text
    assert [record.at for record in lane.take_records()] == [8]


def test_a_lane_held_whole_leaves_when_it_is_finished_and_not_before() -> None:
    lane = review(Words("w", ["zzz"]), do=CUT, hold=whole())
    assert lane.push(ALPHABET) == ""
    assert lane.settle() == ""
    assert lane.push("...") == ""
    assert lane.finish() == ALPHABET + "..."
    assert (lane.ending, lane.released) == (None, 29)


def test_a_lane_is_held_whole_even_if_nobody_watches_it() -> None:
    lane = review(hold=whole())
    assert lane.held
    assert lane.push(ALPHABET) == ""
    assert lane.finish() == ALPHABET


@pytest.mark.parametrize("sizes", [[1], [7], [26]])
def test_a_lane_held_whole_is_cut_at_its_limit(sizes: list[int]) -> None:
    lane = review(Words("w", ["zzz"]), do=CUT, hold=whole(limit=10))
    assert "".join(lane.push(piece) for piece in rechunk(ALPHABET, sizes)) == ""
    assert lane.ending is not None
    assert (lane.ending.rule, lane.ending.action) == (HOLD_LIMIT_RULE, Cut())
    (record,) = lane.take_records()
    assert (record.finding.detector, record.finding.label, record.finding.span, record.at) == (
        "hold", "limit", Span(0, 12), 12
    )  # fmt: skip
    assert lane.finish() == ""


def test_a_lane_held_whole_does_not_leave_after_a_cut() -> None:
    lane = review(Words("w", ["k"]), do=CUT, hold=whole())
    assert lane.push(ALPHABET) + lane.finish() == ""
    assert lane.ending is not None


# --- findings


def test_a_flag_is_recorded_and_changes_nothing() -> None:
    lane = review(Words("w", ["fg"]), Words("other", ["zzz"]), do={"other": CUT})
    assert lane.push(ALPHABET) + lane.settle() == ALPHABET
    (record,) = lane.take_records()
    assert (record.finding.span, record.decision.action, record.at) == (Span(5, 7), Flag(), 8)
    assert lane.take_records() == []


def test_a_mask_leaves_as_its_replacement_with_the_label_in_it() -> None:
    lane = review(Words("w", ["fg", "pqr"], label="other"), do=Mask("<{label}|{label}>"))
    assert lane.push(ALPHABET) + lane.settle() == "abcde<other|other>hijklmno<other|other>stuvwxyz"
    first, second = lane.take_records()
    assert lane.masked == first
    assert (first.at, second.at) == (8, 20)


def test_a_mask_waits_whole_for_a_slower_scanner() -> None:
    slow = Custom("slow", feed=lambda text: Report(max(len(text) - 5, 0)))
    lane = review(Words("w", ["cdef"]), slow, do={"w": Mask("#"), "slow": CUT})
    assert [lane.push(piece) for piece in rechunk(ALPHABET[:16], [4])] == ["", "ab", "#g", "hijk"]


def test_a_mask_of_what_has_partly_left_becomes_a_cut_without_a_notice() -> None:
    late = Custom(feed=lambda text: Report(0, [hit(2, 6)] if len(text) == 8 else []))
    words = Words("w", ["zzz"])
    both = plan_of(late, words, actions={"custom": Mask("#"), "w": CUT}, hold={Channel.CONTENT: Hold(4, 99)})
    plan = replace(both, can_act=lambda channel, name: name == "w")  # a policy that waits for the wrong one
    lane = LaneReview(CONTENT, plan, Context(), lambda tokens: None)
    assert [lane.push("abcd"), lane.push("efghij")] == ["abcd", ""]
    (record,) = lane.take_records()
    assert record.decision == ("custom", Cut())
    assert lane.ending is not None
    assert lane.ending.at == 4
    assert lane.masked is None


def test_findings_of_one_grid_point_are_decided_in_the_order_of_the_detectors() -> None:
    lane = review(Words("b", ["fg"]), Words("a", ["ef", "h"]), do=Mask())
    lane.push(ALPHABET[:8])
    assert [(record.finding.detector, record.finding.span) for record in lane.take_records()] == [
        ("b", (5, 7)), ("a", (4, 6)), ("a", (7, 8))
    ]  # fmt: skip


# --- endings


@pytest.mark.parametrize("sizes", [[1], [4], [26]])
def test_a_cut_ends_the_lane_at_the_start_of_its_span(sizes: list[int]) -> None:
    words = Words("w", ["fg"])
    lane = review(words, do=CUT)
    assert "".join(lane.push(piece) for piece in rechunk(ALPHABET, sizes)) + lane.finish() == "abcde"
    assert lane.ending is not None
    assert (lane.ending.at, lane.ending.rule, lane.ending.action, lane.ending.finding.span) == (5, "w", CUT, (5, 7))
    assert (lane.fed, words.settles[CONTENT]) == (8, [8])
    assert len(lane.take_records()) == 1


def test_at_an_ending_the_text_before_it_is_reviewed_to_its_end_first() -> None:
    slow = Custom(
        "slow", feed=lambda text: Report(0), settle=lambda text: Report(len(text), [hit(1, 2, detector="slow")])
    )
    lane = review(Words("w", ["f"]), slow, do={"w": CUT, "slow": Mask("#")})
    assert lane.push(ALPHABET) == "a#cde"
    assert [record.finding.detector for record in lane.take_records()] == ["w", "slow"]


def test_a_mask_across_an_ending_does_not_leave() -> None:
    lane = review(Words("m", ["defg"]), Words("w", ["f"]), do={"w": CUT, "m": Mask("#")})
    assert lane.push(ALPHABET) == "abc"


def test_a_cut_where_nothing_is_held_ends_after_what_was_fed() -> None:
    broken = Custom(feed=lambda text: Report(len(text)) if len(text) < 12 else None)
    lane = review(broken)
    assert not lane.held
    assert [lane.push(piece) for piece in rechunk(ALPHABET, [5])] == ["abcde", "fghij", "kl", "", "", ""]
    assert lane.ending is not None
    assert lane.ending.at == 12


REPAIR = Repair("conclude")


@pytest.mark.parametrize(
    ("actions", "rule", "at"),
    [
        pytest.param({"early": CUT, "late": CUT}, "early", 4, id="two cuts: the first one found, at the earlier place"),
        pytest.param(
            {"early": REPAIR, "late": CUT}, "late", 4, id="a cut is harder than a repair, at the earlier place"
        ),
        pytest.param({"early": CUT, "late": REPAIR}, "early", 4, id="whichever comes first"),
        pytest.param({"early": REPAIR, "late": REPAIR}, "early", 4, id="two repairs"),
        pytest.param({"early": Mask("#"), "late": REPAIR}, "late", 6, id="a mask ends nothing"),
    ],
)
def test_of_several_endings_the_most_severe_wins(actions: dict[str, Action], rule: str, at: int) -> None:
    lane = review(Words("early", ["e"]), Words("late", ["g"]), do=actions)
    text = lane.push(ALPHABET)
    assert lane.ending is not None
    assert (lane.ending.rule, lane.ending.at) == (rule, at)
    assert text == ("abcd#f" if "#" in str(actions) else "abcd")
    assert len(lane.take_records()) == 2


def test_an_earlier_place_found_later_moves_the_ending() -> None:
    lane = review(Words("late", ["g"]), Words("early", ["e"]), do=CUT)
    assert lane.push(ALPHABET) == "abcd"
    assert lane.ending is not None
    assert (lane.ending.rule, lane.ending.at) == ("late", 4)


def test_after_an_ending_nothing_more_is_taken() -> None:
    words = Words("w", ["b"])
    lane = review(words, do=CUT)
    lane.push(ALPHABET)
    assert (lane.push("more"), lane.settle(), lane.finish(), lane.fed) == ("", "", "", 4)
    assert words.fed[CONTENT] == ["abcd"]


def test_an_ending_found_in_the_tail() -> None:
    lane = review(Words("w", ["f"]), do=CUT)
    assert lane.push("abcdefg") == "abcd"
    assert lane.settle() == "e"
    assert lane.ending is not None


def test_an_ending_found_when_settling() -> None:
    lane = review(Custom(feed=lambda text: Report(0), settle=lambda text: Report(len(text), [hit(3, 5)])), do=CUT)
    assert lane.push("abcdefg") == ""
    assert lane.settle() == "abc"


# --- scanners that raise or break their word


def raising(text: str) -> Report:
    raise RuntimeError("out of order")


def at_eight(report: Any) -> Callable[[str], Any]:
    """A scanner that settles everything until 8 code points have been fed, then answers with `report`."""
    return lambda text: report if len(text) >= 8 else Report(len(text))


def finding(**changes: Any) -> Finding:
    given: dict[str, Any] = {"detector": "custom", "label": "hit", "score": 0.9, "span": Span(4, 8)}
    return Finding(**(given | changes))


LIES: dict[str, Any] = {
    "nothing": None,
    "not a report": "settled",
    "settled beyond what was fed": Report(9),
    "settled falls": Report(3),
    "settled is a fraction": Report(7.5),  # type: ignore[arg-type]
    "settled is no number": Report("8"),  # type: ignore[arg-type]
    "findings are no sequence": Report(8, 3),  # type: ignore[arg-type]
    "a finding is none": Report(8, [None]),  # type: ignore[list-item]
    "a finding is a tuple": Report(8, [("custom", "hit", 0.9, Span(4, 8))]),  # type: ignore[list-item]
    "span before what was settled": Report(8, [finding(span=Span(3, 8))]),
    "span beyond what was fed": Report(8, [finding(span=Span(4, 9))]),
    "span backwards": Report(8, [finding(span=Span(7, 6))]),
    "span is a bare tuple": Report(8, [finding(span=(4, 8))]),
    "span of fractions": Report(8, [finding(span=Span(4.5, 8))]),  # type: ignore[arg-type]
    "evidence beyond what was fed": Report(8, [finding(evidence=Span(4, 9))]),
    "evidence before the lane": Report(8, [finding(evidence=Span(-1, 4))]),
    "evidence is a bare tuple": Report(8, [finding(evidence=(0, 4))]),
    "somebody else's name": Report(8, [finding(detector="loop")]),
    "a label it never declared": Report(8, [finding(label="novel")]),
    "a label that cannot be one": Report(8, [finding(label=[])]),
    "a score that is none": Report(8, [finding(score=float("nan"))]),
    "a score above one": Report(8, [finding(score=1.5)]),
    "a score below nought": Report(8, [finding(score=-0.1)]),
    "a score in words": Report(8, [finding(score="high")]),
    "counters that do not count": Report(8, (), {"judged": "many"}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("acts", [True, False])
@pytest.mark.parametrize("when", ["feed", "settle"])
def test_a_scanner_that_lies_is_an_error_and_by_default_the_end(lie: Any, acts: bool, when: str) -> None:
    detector = Custom(feed=at_eight(lie)) if when == "feed" else Custom(settle=at_eight(lie))
    hold = Hold(step=4, limit=1_000)
    lane = review(detector, Words("w", ["zzz"]), do={"w": CUT, **({"custom": Mask()} if acts else {})}, hold=hold)
    text = lane.push("abcdefgh") + lane.settle()
    assert lane.ending is not None
    (record,) = lane.take_records()
    assert (record.finding.detector, record.finding.label, record.finding.score) == ("custom", "error", 1.0)
    assert record.decision == ("on_error", Cut())
    assert record.at == 8
    expected = "abcd" if when == "feed" else "abcdefgh"
    assert text == expected
    assert record.finding.span == (len(expected), 8)
    assert lane.push("more") + lane.finish() == ""


def test_findings_that_can_be_read_only_once_are_not_lost() -> None:
    def one_by_one(text: str) -> Any:
        return Report(len(text), (finding() for _ in range(len(text) == 8)))  # type: ignore[arg-type]

    assert review(Custom(feed=one_by_one), do=Mask("#")).push("abcdefgh") == "abcd#"


def test_what_a_liar_says_beside_the_lie_is_not_believed() -> None:
    lane = review(
        Custom(feed=at_eight(Report(8, [finding(), finding(span=Span(0, 8))]))), do=Mask("#"), on_error=Flag()
    )
    assert lane.push("abcdefgh") == "abcdefgh"
    assert [record.finding.label for record in lane.take_records()] == ["error"]


@pytest.mark.parametrize("settled", [7, 9])
def test_settling_means_settling_everything(settled: int) -> None:
    lane = review(Custom(feed=lambda text: Report(0), settle=lambda text: Report(settled)), do=CUT)
    assert lane.push("abcdefgh") + lane.settle() == ""
    (record,) = lane.take_records()
    assert record.finding.detail == {"error": "DetectorError"}
    assert record.finding.span == (0, 8)


@pytest.mark.parametrize(
    ("on_error", "text"),
    [(Cut(), "abcd"), (Flag(), ALPHABET), (Mask("#"), "abcd#" + ALPHABET[8:]), (REPAIR, "abcd")],
    ids=["cut", "flag", "mask", "repair"],
)
def test_a_scanner_that_raises_is_asked_no_more_and_the_plan_decides(on_error: Action, text: str) -> None:
    detector = Custom(feed=lambda text: Report(len(text)) if len(text) < 8 else raising(text))
    lane = review(detector, do=Mask("!"), on_error=on_error)
    assert lane.push(ALPHABET) + lane.finish() == text
    (record,) = lane.take_records()
    assert (record.finding.span, record.finding.detail) == (Span(4, 8), {"error": "RuntimeError"})
    assert record.decision.action == on_error
    assert detector.fed[CONTENT] == ["abcd", "efgh"]


def test_one_broken_scanner_does_not_silence_the_others() -> None:
    lane = review(Custom(feed=raising), Words("w", ["fg"]), do={"custom": CUT, "w": Mask("#")}, on_error=Flag())
    assert lane.push(ALPHABET) + lane.settle() == "abcde#" + ALPHABET[7:]


def test_a_scanner_that_breaks_at_an_ending_may_move_it_forward() -> None:
    holds = Custom("holds", feed=lambda text: Report(2), settle=raising)
    lane = review(Words("w", ["g"]), holds, do={"w": CUT, "holds": Mask()})
    assert lane.push(ALPHABET) == "ab"
    assert [record.finding.label for record in lane.take_records()] == ["hit", "error"]


def test_a_scanner_may_report_its_own_error() -> None:
    lane = review(Custom(feed=at_eight(Report(8, [finding(label="error")]))), do=Mask())
    assert lane.push(ALPHABET) == "abcd"
    assert lane.ending is not None
    assert lane.ending.rule == "on_error"


@pytest.mark.parametrize(
    ("on_error", "text"), [(Cut(), ""), (Flag(), ALPHABET), (Mask("#"), ALPHABET)], ids=["cut", "flag", "mask"]
)
@pytest.mark.parametrize("others", [0, 1])
def test_a_scanner_that_cannot_be_opened_is_an_error_before_the_first_character(
    on_error: Action, text: str, others: int
) -> None:
    def opening(lane: Lane, context: Context) -> None:
        raise OSError("no such model")

    lane = review(Custom(opening=opening), *[Words("w", ["zzz"])] * others, do=Mask(), on_error=on_error)
    assert lane.push(ALPHABET) + lane.finish() == text
    (record,) = lane.take_records()
    assert (record.finding.span, record.at, record.finding.detail) == ((0, 0), 0, {"error": "OSError"})
    assert (lane.ending is not None) == (text == "")


# --- what it knows besides


def test_counters_are_summed_by_detector() -> None:
    one = Custom("one", feed=lambda text: Report(len(text), (), {"judged": 1, "escalated": 0.5}))
    two = Custom("two", settle=lambda text: Report(len(text), (), {"judged": 1}))
    lane = review(one, two)
    lane.push("abcdefgh")
    assert lane.counters() == {("one", "judged"): 2, ("one", "escalated"): 1.0}
    lane.settle()
    assert lane.counters() == {("one", "judged"): 2, ("one", "escalated"): 1.0, ("two", "judged"): 1}


def test_peaks_are_asked_of_those_who_tell() -> None:
    lane = review(Custom("tells", peaks=lambda: {"hit": 0.4}), Words("w", ["zzz"]))
    assert lane.peaks() == {("tells", "hit"): 0.4}


@pytest.mark.parametrize("keep_text", [True, False])
def test_released_text_is_kept_only_for_plans_that_repair(keep_text: bool) -> None:
    lane = review(Words("w", ["zzz"]), Words("m", ["cd"]), do={"w": REPAIR, "m": Mask("#")}, keep_text=keep_text)
    assert lane.push(ALPHABET[:10]) == "ab#efgh"
    assert lane.sent() == ("ab#efgh" if keep_text else "")
