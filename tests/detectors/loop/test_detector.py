from __future__ import annotations

import base64
import json
import lzma
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.loop import Loop, LoopSettings
from guard.contract import STOP, WARN, Channel, Context, Finding, Lane
from guard.testing import assert_detector_contract, scan
from tests.support.shared import shared

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

ANIMALS = ["cat", "dog", "cow", "horse", "sheep", "goat", "pig", "duck", "hen", "fox", "wolf", "bear", "lion"]
PLAN = "[STATEMENT]\nThe red block is on the blue one.\n\n[PLAN]\n"


def shuffled(copies: int) -> str:
    sentences = [f"The {one} chases the {other}. " for one in ANIMALS for other in ANIMALS[:3]]
    rng = random.Random(4)
    return "".join("".join(rng.sample(sentences, len(sentences))) for _ in range(copies))


def varied(copies: int) -> str:
    words = random.Random(5).choices(SENTENCE.split() + ANIMALS, k=120)
    rng = random.Random(6)
    return " ".join(rng.choice(words) if rng.random() < 0.03 else word for _ in range(copies) for word in words)


LOOSE: dict[str, str] = {
    "near": varied(10),
    "counter": "".join(f"Step {n}: I should check case {n} again because it might fail.\n" for n in range(1, 400)),
    "recurrence": varied(40),
    "stagnation": shuffled(20),
    "circular": "Wait, maybe it is the cat. Alternatively, it is the dog. Hmm, or the cow that the dog saw. " * 15,
    "self_prompt": "unstack the red block\n" + PLAN * 6,
}
"""Loops that need not be verbatim copies, by their label."""
VERSES = (
    "Morning light is on the hill",
    "Evening falls upon the bay",
    "Winter wind is blowing still",
    "Summer songs are here to stay",
)

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


def stops(text: str, prompt: str = "", options: LoopSettings | None = None, history: str = "") -> list[Finding]:
    detector = Loop("loop", options or LoopSettings())
    found = scan(detector, text, context=Context(prompt=prompt), lane=LANE, history=history)
    return [finding for _, finding in found if finding.score >= STOP]


@pytest.mark.parametrize("name", LOOPS)
def test_loops_are_found_once(name: str) -> None:
    text, label = LOOPS[name]
    found = [finding.label for finding in stops(text)]
    assert found[0] == label
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", NO_LOOPS)
def test_what_is_not_a_loop_is_not_found(name: str) -> None:
    assert stops(NO_LOOPS[name]) == []


@pytest.mark.parametrize("label", LOOSE)
def test_loops_that_are_no_verbatim_copies(label: str) -> None:
    found = [finding for finding in stops(LOOSE[label], prompt=PLAN * 2) if finding.label == label]
    assert len(found) == 1
    assert found[0].evidence is not None
    assert found[0].evidence.start < found[0].span.start


@pytest.mark.parametrize("label", LOOSE)
def test_each_is_warned_of_before_it_is_sure(label: str) -> None:
    found = scan(DETECTOR, LOOSE[label], context=Context(prompt=PLAN * 2), lane=LANE)
    assert [finding.score for _, finding in found if finding.label == label] == [WARN, STOP]


def test_near_copies_tell_their_period_and_number() -> None:
    (finding,) = (finding for finding in stops(varied(10)) if finding.label == "near")
    assert 0.8 < float(finding.detail["period"]) / len(varied(1)) < 1.2
    assert 4 <= float(finding.detail["copies"]) <= 10


def test_the_arguments_of_a_tool_may_repeat_phrases() -> None:
    found = scan(DETECTOR, shuffled(20), lane=Lane(0, Channel.TOOL, 0))
    assert [finding for _, finding in found if finding.label == "stagnation"] == []


def test_memory_does_not_grow() -> None:
    text = "".join(f"Number {n} is {n * n}, which is more than the number before it. " for n in range(2_000))
    scanner = DETECTOR.open(LANE, Context(prompt="What are the squares?"))
    scanner.feed(text[:30_000])
    tracemalloc.start()
    scanner.feed(text[30_000:])
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 40 * 1024  # what was there before is replaced in part, and counts then


@pytest.mark.parametrize("source", ["misguided-attention", "lineage-bench", "planbench", "skythought"])
def test_real_transcripts_in_chunks_of_any_size(source: str) -> None:
    with lzma.open(shared("corpus/dev.jsonl.xz"), "rt", encoding="utf-8") as file:
        records = [record for record in map(json.loads, file) if record["id"].startswith(source)]
    records.sort(key=lambda record: (not record["labels"]["loop"], record["id"]))
    for record in records[:4] + records[-1:]:
        context = Context(prompt=record["prompt"])
        text = record["output"][-30_000:]
        assert_detector_contract(DETECTOR, [text], context=context, chunk_sizes=(200, 1, 13, 30_000))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*LOOSE.values(), SENTENCE, "items ", "重复", "\n", PLAN, "```\n"]),
            st.integers(1, 40),
        ),
        max_size=4,
    ),
    st.integers(0, 90),
)
def test_generated_text_in_chunks_of_any_size(parts: list[tuple[str, int]], lead: int) -> None:
    text = "x" * lead + "".join((part * times)[: 200 * times] for part, times in parts)
    assert_detector_contract(DETECTOR, [text], context=Context(prompt=PLAN), chunk_sizes=(200, 1, 13, 30_000))


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
    finding = stops("An introduction. " + block * 4)[0]
    assert finding.detail["period"] == period
    assert finding.span.end <= 17 + 3.1 * period


def test_the_finding_says_where_the_first_repeated_copy_starts() -> None:
    before = "The total must be even. "
    finding = stops(before + SENTENCE * 12)[0]
    assert finding.evidence is not None
    assert abs(finding.evidence.start - len(before + SENTENCE)) <= 3
    assert finding.detail == {"period": len(SENTENCE), "copies": finding.detail["copies"]}
    assert 5 <= float(finding.detail["copies"]) < 6


def test_text_is_held_from_the_suspicion_on() -> None:
    found = scan(DETECTOR, SENTENCE * 12, lane=LANE)
    (suspected_at, suspicion), (_, verdict) = [place for place in found if place[1].label == "exact"]
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
    assert [finding.label for finding in found if finding.label in ("exact", "run")] == ["exact", "run"]


def test_patience_moves_the_bar() -> None:
    assert stops(SENTENCE * 12, options=LoopSettings(patience=4)) == []
    assert stops(SENTENCE * 4, options=LoopSettings(patience=0.5)) != []


def test_a_loop_in_the_history_is_reported_only_if_it_goes_on() -> None:
    history = SENTENCE * 12
    assert stops("Enough of that: the answer is twelve. " * 3, history=history) == []
    found = scan(DETECTOR, SENTENCE, lane=LANE, history=history)
    assert [finding.score for _, finding in found if finding.label == "exact"] == [STOP]
    assert found[0][1].span.start >= len(history)


def test_peaks_tell_how_close_it_was() -> None:
    scanner = DETECTOR.open(LANE, Context())
    scanner.feed(SENTENCE * 4)
    peaks = scanner.peaks()
    assert WARN <= peaks["exact"] < STOP
    assert peaks["run"] == 0


def test_keeps_the_contract() -> None:
    texts = [text for text, _ in LOOPS.values()] + list(NO_LOOPS.values())
    assert_detector_contract(DETECTOR, [*texts, SENTENCE * 12 + "items " * 100 + SENTENCE * 20, *LOOSE.values()])
