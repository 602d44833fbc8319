from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from detectors.loop import Loop, LoopSettings
from guard.contract import STOP, WARN, Channel, Context, Finding, Lane
from guard.testing import assert_detector_contract, scan

DETECTOR = Loop("loop", LoopSettings())
LANE = Lane(0, Channel.REASONING)
SENTENCE = (
    "Let me reconsider the constraint that the total number of apples is even, because if it were odd the division "
    "would fail. "
)

LOOPS: dict[str, tuple[str, str]] = {
    "one letter": ("So the answer is " + "a" * 400, "run"),
    "newlines": ("Done.\n" + "\n" * 600, "run"),
    "spaces": ("x" + " " * 700, "run"),
    "zero width": ("ok " + "\u200b" * 700, "run"),
    "emoji": ("Nice " + "🌊 " * 200, "run"),
    "decimals": ("1/3 = 0." + "3" * 700, "run"),
    "a word": ("items " * 200, "run"),
    "a word and a comma": ("Wait, " * 100, "run"),
    "a Chinese word": ("重复" * 100, "run"),
    "a long rule": ("-" * 900, "run"),
    "closing thoughts": (
        "I need to investigate this. Let\n me just paste the message.\n</think>\n" * 30,
        "exact",
    ),
    "a sentence": (SENTENCE * 12, "exact"),
    "Chinese": ("我们需要重新考虑这个问题，因为条件不满足。" * 25, "exact"),
    "Japanese": ("もう一度確認します。答えは五です。" * 30, "exact"),
    "code": ("```python\n" + "x = compute(x)\n" * 300 + "```", "exact"),
    "two sentences": ("Wait, maybe the answer is 12. Alternatively, maybe the answer is 13. " * 15, "exact"),
}

VERSES = (
    "Morning light is on the hill",
    "Evening falls upon the bay",
    "Winter wind is blowing still",
    "Summer songs are here to stay",
)
ANIMALS = ["cat", "dog", "cow", "horse", "sheep", "goat", "pig", "duck", "hen", "fox", "wolf", "bear", "lion"]

NO_LOOPS: dict[str, str] = {
    "decimals": "1/3 = 0." + "3" * 60,
    "longer decimals": "1/7 = 0." + "142857" * 20,
    "wait": "Wait, wait, wait, wait, let me think again about this problem carefully before answering it.",
    "a sentence three times": SENTENCE * 3,
    "a sentence twice": SENTENCE * 2 + "Therefore we get twelve apples in total.",
    "a counter": "".join(f"Step {number}: check case {number}.\n" for number in range(1, 12)),
    "rules": "Title\n" + "-" * 120 + "\ntext\n" + "=" * 120 + "\n",
    "a table": "| a | b |\n|---|---|\n" + "".join(f"| {number} | {number**2} |\n" for number in range(40)),
    "a table rule": "|" + "---|" * 40 + "\n",
    "a table of few words": "| a | b |\n|---|---|\n" + "| yes | no |\n" * 14,
    "a box": "+" + "-" * 30 + "+\n" + ("|" + " " * 30 + "|\n") * 8 + "+" + "-" * 30 + "+\n",
    "a matrix": "[" + ",\n".join("[" + ",".join("0" * 10) + "]" for _ in range(10)) + "]",
    "a song": "\n\n".join(f"{verse}\nLa la la la, sing it with me,\nLa la la la, wild and free." for verse in VERSES),
    "assertions": "```python\n" + "".join(f"assert f({n}) == {n * n}\n" for n in range(30)) + "```",
    "equal lines of code": "```c\n" + "    counter += step(counter);\n" * 12 + "```",
    "a list": "".join(
        f"- The {animal} is a common kind of animal found in many parts of the world.\n" for animal in ANIMALS
    ),
    "markup": "".join(f'<li class="item"><a href="/page/{animal}">Page {animal}</a></li>\n' for animal in ANIMALS),
    "base64": base64.b64encode(random.Random(1).randbytes(1_500)).decode(),
}


def stops(text: str, prompt: str = "", settings: LoopSettings | None = None) -> list[Finding]:
    detector = Loop("loop", settings or LoopSettings())
    found = scan(detector, text, context=Context(prompt=prompt), lane=LANE)
    return [finding for _, finding in found if finding.score >= STOP]


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_found_once(name: str) -> None:
    text, label = LOOPS[name]
    assert [finding.label for finding in stops(text)] == [label]


@pytest.mark.parametrize("name", NO_LOOPS)
def test_what_is_not_a_loop_is_not_found(name: str) -> None:
    assert stops(NO_LOOPS[name]) == []


@pytest.mark.xfail(reason="each copy differs by a number; exact periods cannot see it", strict=True)
def test_a_long_counter_is_a_loop() -> None:
    assert stops("".join(f"Step {n}: I should check case {n} again because it might fail.\n" for n in range(1, 400)))


def test_a_grid_of_the_prompt_may_be_written_down() -> None:
    grid = "\n".join(" ".join("0" * 50) for _ in range(50))
    assert stops(f"The grid is:\n{grid}\nand turned:\n{grid}\n", prompt=f"Turn this grid:\n{grid}") == []
    assert stops(f"The grid is:\n{grid}\n") != []


def test_what_the_prompt_tells_once_is_no_excuse_for_going_round() -> None:
    assert stops(SENTENCE * 12, prompt=f"Comment on this: {SENTENCE}") != []


@pytest.mark.parametrize("length", [800, 2_000, 4_000])
def test_a_passage_told_twice_is_not_a_loop(length: int) -> None:
    words = Path(__file__).read_text(encoding="utf-8").split()
    passage = " ".join(random.Random(length).choices(words, k=length))[:length]
    assert stops(f"First. {passage} Again. {passage} Done.") == []


@pytest.mark.parametrize("period", [1_500, 6_000, 16_000])
def test_long_periods_are_found_after_two_and_a_half_copies(period: int) -> None:
    block = "".join(random.Random(period).choices("abcdefghij klmnop", k=period))
    (finding,) = stops("An introduction. " + block * 4)
    assert finding.detail["period"] == period
    assert finding.span.end <= 17 + 3.1 * period


def test_the_finding_says_where_the_first_repeated_copy_starts() -> None:
    before = "The total must be even. "
    (finding,) = stops(before + SENTENCE * 12)
    assert finding.evidence is not None
    assert abs(finding.evidence.start - len(before + SENTENCE)) <= 3
    assert finding.detail == {"period": len(SENTENCE), "copies": finding.detail["copies"]}
    assert 5 <= float(finding.detail["copies"]) < 6


def test_text_is_held_from_the_suspicion_on() -> None:
    found = scan(DETECTOR, SENTENCE * 12, lane=LANE)
    (suspected_at, suspicion), (_, verdict) = found
    assert (suspicion.score, verdict.score) == (WARN, STOP)
    assert verdict.span.start == suspicion.span.start == suspected_at - 1


def test_no_more_is_held_than_the_settings_allow() -> None:
    block = "".join(random.Random(3).choices("abcdefghij klmnop", k=3_000))
    scanner = Loop("loop", LoopSettings(hold=100)).open(LANE, Context())
    text = block * 5
    for start in range(0, len(text), 16):
        report = scanner.feed(text[start : start + 16])
        assert min(start + 16, len(text)) - report.settled <= 100 + 64


def test_a_second_loop_is_a_second_finding() -> None:
    found = stops(SENTENCE * 12 + "But no. " + "items " * 100)
    assert [finding.label for finding in found] == ["exact", "run"]


def test_patience_moves_the_bar() -> None:
    assert stops(SENTENCE * 12, settings=LoopSettings(patience=4)) == []
    assert stops(SENTENCE * 4, settings=LoopSettings(patience=0.5)) != []


def test_a_loop_in_the_history_is_reported_only_if_it_goes_on() -> None:
    history = SENTENCE * 12
    assert scan(DETECTOR, "Enough of that: the answer is twelve. " * 3, lane=LANE, history=history) == []
    found = scan(DETECTOR, SENTENCE, lane=LANE, history=history)
    assert [finding.score for _, finding in found] == [STOP]
    assert found[0][1].span.start >= len(history)


def test_peaks_tell_how_close_it_was() -> None:
    scanner = DETECTOR.open(LANE, Context())
    scanner.feed(SENTENCE * 4)
    peaks = scanner.peaks()
    assert WARN <= peaks["exact"] < STOP
    assert peaks["run"] == 0


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"patience": 0}, "patience"), ({"longest_period": 10}, "longest_period"), ({"hold": -1}, "hold")],
)
def test_settings_out_of_range_are_named(settings: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        LoopSettings(**settings)


def test_keeps_the_contract() -> None:
    texts = [text for text, _ in LOOPS.values()] + list(NO_LOOPS.values())
    assert_detector_contract(DETECTOR, [*texts, SENTENCE * 12 + "items " * 100 + SENTENCE * 20])
