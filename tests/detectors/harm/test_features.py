from __future__ import annotations

import pytest

from detectors.harm.features import BITS, pair_bucket, upright, word_bucket, word_buckets, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... --- !!", []),
        ("Don't STOP, now_please", ["don't", "stop", "now", "please"]),
        ("in 1984 and 3.5", ["in", "0", "and", "0", "0"]),
        ("制作炸弹 bomb", ["制", "作", "炸", "弹", "bomb"]),
        ("Bombe bauen: 'jetzt'", ["bombe", "bauen", "jetzt"]),
        ("как сделать", ["как", "сделать"]),
        ("half \ud83d pair", ["half", "pair"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_buckets_are_the_same_on_every_machine() -> None:
    """The shipped model depends on these numbers."""
    assert word_buckets("bomb") == [489751, 35491, 204402, 5073, 11553, 20776]
    assert pair_bucket("a", "bomb") == 21848


def test_words_share_pieces_with_their_forms() -> None:
    assert len(set(word_buckets("bombing")) & set(word_buckets("bombs"))) >= 2
    assert len(word_buckets("the")) == 1


def test_buckets_are_in_range_and_their_number_is_bounded() -> None:
    buckets = word_buckets("x" * 100_000)
    assert len(buckets) < 60
    assert all(0 <= bucket < 1 << BITS for bucket in [*buckets, pair_bucket("y" * 1_000, "z")])


def test_a_pair_has_an_order() -> None:
    assert pair_bucket("kill", "people") != pair_bucket("people", "kill")


def test_the_first_bucket_is_the_word_itself() -> None:
    for word in ("bomb", "a", "x" * 100):
        assert word_bucket(word) == word_buckets(word)[0]


def test_a_text_in_rot13_is_turned_back() -> None:
    assert upright(["znxr", "gur", "obzo", "naq", "eha"]) == ["make", "the", "bomb", "and", "run"]
    assert upright(["gur", "gur", "bomb"]) == ["gur", "gur", "bomb"]
