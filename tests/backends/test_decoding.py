from __future__ import annotations

import random
from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.backends.base import Script
from guard.backends.decoding import COPIES, LONGEST_PERIOD, SHORTEST, CycleBreaker, ScriptBan, vocabulary, written_in
from tests.support.tokenizers import byte_level

BYTES: list[bytes | None] = [bytes([byte]) for byte in range(256)]
SCRIPTS: frozenset[Script] = frozenset({"Han", "Kana"})


def forbidden(ban: ScriptBan, token: int) -> bool:
    return token in ban.always or token in ban.now()


def refused_at(ban: ScriptBan, ids: Sequence[int]) -> int | None:
    """The first of `ids` that the ban forbids, by its place."""
    ban = ban.fresh()
    for place, token in enumerate(ids):
        if forbidden(ban, token):
            return place
        ban.written(token)
    return None


ONE_BYTE_EACH = ScriptBan(BYTES, SCRIPTS)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Hello", None),
        ("na\u00efve \u2013 \u20ac5", None),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", None),  # Cyrillic, which is not banned
        ("\ud55c\uad6d", None),  # Hangul, nor is this
        ("\u6211", 0),  # every character that begins with this byte is Han
        ("a\u4e2d", 2),  # here only the second byte tells
        ("\u306e", 2),  # Hiragana shares its first byte with CJK punctuation
        ("\u3002", None),  # which belongs to no script
        ("\U0001f600", None),
        ("\U00020000", 1),
    ],
)
def test_a_banned_character_is_stopped_before_its_last_byte(text: str, place: int | None) -> None:
    assert refused_at(ONE_BYTE_EACH, list(text.encode())) == place


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.randoms())
def test_exactly_the_texts_without_the_scripts_can_be_written(text: str, chance: random.Random) -> None:
    data, pieces, at = text.encode(), [], 0
    while at < len(data):
        size = chance.randint(1, 5)
        pieces.append(data[at : at + size])
        at += size
    ban = ScriptBan([*pieces, None], SCRIPTS)
    stopped = refused_at(ban, range(len(pieces))) is not None
    assert stopped == bool(written_in(text) & SCRIPTS)


def test_a_stray_byte_does_not_hide_what_comes_after_it() -> None:
    for stray in (b"\x80", b"\xe6", b"\xff", b"\xe6\x88"):
        assert refused_at(ONE_BYTE_EACH, [*stray, *"\u6211".encode()]) is not None
        assert refused_at(ONE_BYTE_EACH, [*stray[:1], *b" fine"]) in (None, 0)


def test_every_script_is_known_by_its_letters() -> None:
    letters = "\u0627\u0561\u0995\u0436\u0915\u1200\u10d0\u03b1\u0a95\u0a15\u6211\uac00\u05d0\u304b\u0c95\u1780\u0e81a"
    letters += "\u0d15\u1000\u0d9a\u0b95\u0c15\u0e01"
    assert written_in(letters) == set(get_args(Script))
    assert written_in("1 + 2 = 3, \u3002") == frozenset()


def test_a_byte_level_vocabulary_is_read_as_bytes() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer, _ = byte_level()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    tokens = vocabulary(fast)
    assert len(tokens) == len(fast)
    assert tokens[fast.eos_token_id] is None
    text = "Zürich, 我们 \n"
    ids = fast(text, add_special_tokens=False)["input_ids"]
    assert b"".join(tokens[index] or b"" for index in ids) == text.encode()


class Pieces:
    """A SentencePiece vocabulary with its byte fallback."""

    all_special_ids = (0,)
    added_tokens_decoder: dict[int, str] = {}  # noqa: RUF012
    decoder = None
    pieces = ("</s>", "\u2581Hello", "<0xE6>", "<0x88>", "<0x91>", "<0xZZ", "\u6211")

    def __len__(self) -> int:
        return len(self.pieces)

    def convert_ids_to_tokens(self, ids: range) -> list[str]:
        return [self.pieces[index] for index in ids]


def test_a_sentencepiece_vocabulary_is_read_as_bytes() -> None:
    tokens = vocabulary(Pieces())
    assert tokens == [None, b" Hello", b"\xe6", b"\x88", b"\x91", b"<0xZZ", "\u6211".encode()]
    assert ScriptBan(tokens, {"Han"}).always == {2, 6}


def breaks_at(ids: Sequence[int]) -> int | None:
    """The first of `ids` that must not come, by its place."""
    breaker = CycleBreaker()
    for place, token in enumerate(ids):
        if token in breaker.now():
            return place
        breaker.written(token)
    return None


@pytest.mark.parametrize("period", [1, 2, 7, 11, 40, LONGEST_PERIOD])
def test_a_cycle_is_not_gone_on_with(period: int) -> None:
    before = [1000, 1001, 1002]
    copies = [*range(period)] * 40
    assert breaks_at([*before, *copies]) == len(before) + max(period * COPIES, SHORTEST)


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [1] * (SHORTEST - 1),
        [*range(20)] * 2 + [99] + [*range(20)] * 2,
        [*range(LONGEST_PERIOD + 1)] * 5,
        random.Random(7).choices(range(50), k=2000),
    ],
)
def test_what_is_no_cycle_goes_on(ids: list[int]) -> None:
    assert breaks_at(ids) is None


def test_another_token_ends_the_cycle() -> None:
    breaker = CycleBreaker()
    for token in [5, 6] * 20:
        breaker.written(token)
    assert breaker.now() == {5}
    breaker.written(7)
    assert not breaker.now()
