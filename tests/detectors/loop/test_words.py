from __future__ import annotations

from detectors.loop.tokens import codes_of, pairs_of
from detectors.loop.words import REMEMBERED
from tests.support.loop_steps import read, words_for

TEXT = "Let me check case 12 again, and then the other cases. " * 40


def test_every_whole_word_is_read_once() -> None:
    words = words_for()
    got = [code for step in read(words, TEXT) for code in step.words]
    expected = [code for code in codes_of(TEXT) if code]
    assert got == expected[: len(got)]
    assert len(expected) - len(got) < 15
    assert words.count == len(got)


def test_a_step_knows_its_pairs_and_place() -> None:
    words = words_for()
    steps = list(read(words, TEXT))
    everything = [code for step in steps for code in step.words]
    assert [pair for step in steps for pair in step.pairs] == pairs_of(everything)
    assert [step.end for step in steps] == list(range(64, len(TEXT) + 1, 64))
    assert steps[3].first == sum(len(step.words) for step in steps[:3])


def test_the_last_words_are_remembered_across_the_end_of_the_ring() -> None:
    words = words_for()
    numbers = " ".join(map(str, range(6_000))) + " "
    everything = [code for step in read(words, numbers) for code in step.words]
    assert words.count > REMEMBERED
    assert list(words.last(1_000, words.count)) == everything[-1_000:]
    assert list(words.last(3_000, 5_000)) == everything[2_000:5_000]


def test_what_the_prompt_holds_is_told() -> None:
    (first, *_) = read(words_for("Let me check case 12"), TEXT)
    assert list(first.told[:6]) == [True, True, True, True, True, False]


def test_a_word_without_end_is_read_at_last() -> None:
    words = words_for()
    list(read(words, "x" * 640))
    assert words.count > 0


def test_scripts_without_spaces() -> None:
    (step,) = read(words_for(), "我们需要重新考虑这个问题" * 5 + "条件不满")
    assert step.unspaced
    assert len(step.words) == 64
