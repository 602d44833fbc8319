from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from detectors.guard_model.settled import settled_end

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen's tokenizers split a text (the `pre_tokenizer` of their tokenizer.json)."""


def qwen_like() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    sample = ["The cat's hat isn't  here.\n\nIt's 12.5 (or so), über-öde; 今天天气很好，我们去。 f(x) == y"] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(sample, trainer)
    return tokenizer


QWEN = qwen_like()
PIECES = [
    "The",
    "cat",
    "'s",
    "isn't",
    " ",
    "  ",
    "\n",
    "\r\n",
    ".",
    "...",
    "12",
    "5",
    "ü",
    "ü",
    "\u0308",
    "今天",
    "，",
    "。",
]
PIECES += ["(", ")", "é", "🙂", "\u200d", "\u00a0", "\t", "=", "'", "١", "क्", "ष"]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", 0),
        ("word", 0),
        ("two words", 3),
        ("two  words", 3),
        ("end.\n\nNext", 3),
        ("It isn't", 6),
        ("a, b", 2),
        ("今天，我们", 2),
        ("cafe\u0301", 0),
        ("1.5", 1),
        (" ", 0),
        ("a ", 1),
    ],
)
def test_where_it_can_be_cut(text: str, end: int) -> None:
    assert settled_end(text) == end


def test_what_has_no_such_place_is_cut_when_it_is_long() -> None:
    assert settled_end("天" * 95) == 0
    assert settled_end("天" * 96) == 96


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_the_parts_have_the_tokens_of_the_whole(text: str) -> None:
    cut = settled_end(text)
    parts = QWEN.encode(text[:cut]).ids + QWEN.encode(text[cut:]).ids
    if 0 < cut < len(text):
        assert parts == QWEN.encode(text).ids


@given(st.text(max_size=60), st.text(max_size=20))
def test_what_comes_later_does_not_change_it(text: str, later: str) -> None:
    cut = settled_end(text)
    if 0 < cut < len(text):
        whole = QWEN.encode(text + later).ids
        assert QWEN.encode(text[:cut]).ids + QWEN.encode(text[cut:] + later).ids == whole
