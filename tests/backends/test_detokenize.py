from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.backends.detokenize import LONGEST_WAIT, REPLACEMENT, Detokenizer, StopStrings
from tests.support.tokenizers import SAMPLE, byte_level, sentencepiece_like, token_ids

BYTES, DECODE_BYTES = byte_level()
PIECES, DECODE_PIECES = sentencepiece_like()
TEXTS = st.lists(st.sampled_from([*SAMPLE, " ", "  the fox", "ö", "\n", "🙂", "é̂"]) | st.text(max_size=12), max_size=12)


def pieces(detokenizer: Detokenizer, ids: list[int]) -> list[str]:
    return [*(detokenizer.push(id) for id in ids), detokenizer.flush()]


@given(st.lists(st.integers(0, BYTES.get_vocab_size() - 1), max_size=LONGEST_WAIT - 1))
def test_any_ids_of_a_byte_level_tokenizer_give_the_text_of_the_whole(ids: list[int]) -> None:
    assert "".join(pieces(Detokenizer(DECODE_BYTES), ids)) == DECODE_BYTES(ids)


@given(TEXTS)
def test_a_text_in_byte_level_tokens_comes_out_whole_and_in_complete_characters(texts: list[str]) -> None:
    text = "".join(texts).replace(REPLACEMENT, "")
    out = pieces(Detokenizer(DECODE_BYTES), BYTES.encode(text).ids)
    assert "".join(out) == text
    assert all(REPLACEMENT not in piece for piece in out)


@given(TEXTS)
def test_a_text_in_sentencepiece_tokens_is_the_text_of_the_whole(texts: list[str]) -> None:
    ids = PIECES.encode("".join(texts).replace(REPLACEMENT, "")).ids
    assert "".join(pieces(Detokenizer(DECODE_PIECES), ids)) == DECODE_PIECES(ids)


def test_a_character_in_several_tokens_is_held_until_it_is_complete() -> None:
    ids = token_ids(BYTES, "ðŁĻĤ")  # the four bytes of one emoji, as GPT-2 spells them
    assert pieces(Detokenizer(DECODE_BYTES), ids) == ["", "", "", "🙂", ""]


def test_spaces_between_sentencepiece_words_are_kept() -> None:
    ids = token_ids(PIECES, ("▁the", "▁fox", "▁a"))
    assert pieces(Detokenizer(DECODE_PIECES), ids) == ["the", " fox", " a", ""]


def test_bytes_that_never_become_a_character_do_not_wait_forever() -> None:
    detokenizer = Detokenizer(DECODE_BYTES)
    (stray,) = token_ids(BYTES, "Ķ")  # a continuation byte with nothing to continue
    given_at = next(count for count in range(1, 10 * LONGEST_WAIT) if detokenizer.push(stray))
    assert given_at == LONGEST_WAIT


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        ((), "no stop at all", "no stop at all"),
        (("END",), "before END after", "before "),
        (("END",), "only EN", "only EN"),
        (("b", "abc"), "abc", "a"),  # "b" is complete first
        (("ab", "b"), "xab", "x"),  # complete at once: the one that starts first
        (("aab",), "aaab", "a"),
        (("\n\n", "\n"), "line\nline", "line"),
        (("🙂",), "so 🙂", "so "),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_text_ends_before_a_stop_string_however_it_arrives(
    stops: tuple[str, ...], text: str, expected: str, size: int
) -> None:
    ending = StopStrings(stops)
    out = "".join(ending.feed(text[at : at + size]) for at in range(0, len(text), size)) + ending.flush()
    assert out == expected
    assert ending.stopped == (expected != text)


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.text("ab", max_size=5), max_size=9),
)
def test_stops_do_not_depend_on_chunks_and_never_get_out(stops: list[str], chunks: list[str]) -> None:
    text = "".join(chunks)
    ending = StopStrings(stops)
    out = "".join(ending.feed(chunk) for chunk in chunks) + ending.flush()
    whole = StopStrings(stops)
    assert out == whole.feed(text) + whole.flush()
    assert text.startswith(out)
    assert not any(stop in out for stop in stops)
    assert ending.stopped == any(stop in text for stop in stops)
