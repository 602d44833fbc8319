from __future__ import annotations

import subprocess
import sys

import pytest

from detectors.loop.tokens import NUMBER, SENTENCE_END, SHORT, codes_of, is_unspaced, pairs_of, whole_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("Let me check", 3),
        ("case 12: x_1 = 3.5", 6),
        ("don't", 2),
        ("我们需要", 4),
        ("もう一度", 4),
        ("❌✅🌊", 3),
        ("-- | == ... --", 0),
        ("a" * 25, 2),
        ("9" * 17, 2),
    ],
)
def test_words(text: str, words: int) -> None:
    assert len([code for code in codes_of(text) if code]) == words


def test_case_does_not_matter() -> None:
    assert codes_of("WAIT, Wait") == codes_of("wait wait")


def test_ends_of_sentences_and_lines() -> None:
    assert [code == SENTENCE_END for code in codes_of("So. Is it?\nYes")] == [
        False,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_numbers_and_short_words_are_marked() -> None:
    number, short, word, sign = codes_of("12 is twelve 我")
    assert number & NUMBER
    assert short & SHORT
    assert not short & NUMBER
    assert word < SHORT
    assert sign < SHORT


def test_codes_are_the_same_in_every_process() -> None:
    script = "from detectors.loop.tokens import codes_of; print(codes_of('the same in every process 1'))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(codes_of("the same in every process 1"))


def test_pairs_join_what_came_before() -> None:
    assert pairs_of([1, 2], 7) == [7 << 16 | 1, 1 << 16 | 2]
    assert pairs_of([], 7) == []


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Let me che", 7),
        ("Let me ", 7),
        ("line\nnext", 5),
        ("Letmecheck", 0),
        ("条件不满足", 5),
        ("条件 x", 3),
        ("", 0),
    ],
)
def test_a_word_that_may_go_on_is_left(text: str, whole: int) -> None:
    assert whole_words(text) == whole


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("all Latin", False),
        ("naïve", False),
        ("我们需要重新 check", False),
        ("我们需要重新考虑 x", True),
        ("only 我 here", False),
    ],
)
def test_scripts_that_do_not_part_words(text: str, unspaced: bool) -> None:
    assert is_unspaced(text) is unspaced
