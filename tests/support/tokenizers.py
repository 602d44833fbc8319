"""Tokenizers made on the spot, so that no test needs a download.

`CharacterTokenizer` is the simplest thing the in-process side accepts: one id per character.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

Decode = Callable[[Sequence[int]], str]

SAMPLE = [
    "The quick brown fox jumps over the lazy dog, again and again.",
    "Ein schöner Tag für große Wörter.",
    "今天天气很好，我们去公园吧。",
    "def f(x):\n    return x ** 2  # 🙂🙂",
]


class CharacterTokenizer:
    """An id is a code point; id 3 ends a turn."""

    eos_token_id = 3
    all_special_ids = (3,)
    added_tokens_decoder: ClassVar[dict[int, Any]] = {3: SimpleNamespace(special=True, content="<|end|>")}
    chat_template: str | None = None

    def decode(self, ids: Sequence[int], **_options: Any) -> str:
        return "".join(map(chr, ids))

    def __call__(self, text: str, **_options: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(character) for character in text]}


def byte_level() -> tuple[Tokenizer, Decode]:
    """Byte-level BPE (GPT-2, Qwen, SmolLM2): any byte may end a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SAMPLE * 4, trainer)
    return tokenizer, _decode(tokenizer)


def sentencepiece_like() -> tuple[Tokenizer, Decode]:
    """SentencePiece's habits (Llama 2, Gemma): `▁` for a space, the first one dropped, unknown characters as bytes."""
    pieces = [("<unk>", 0.0), *((f"<0x{byte:02X}>", -9.0) for byte in range(256))]
    words = ["▁", "▁the", "▁fox", "▁a", "▁again", "th", "e", "a", "n", "g", "i", "o", "x", "f", ",", ".", "ö", "▁▁"]
    pieces += [(word, -2.0 - 0.1 * number) for number, word in enumerate(words)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer, _decode(tokenizer)


def token_ids(tokenizer: Tokenizer, tokens: Sequence[str]) -> list[int]:
    """The ids of tokens in the tokenizer's own spelling."""
    ids = [tokenizer.token_to_id(token) for token in tokens]
    assert all(id is not None for id in ids), f"not all of {tokens} are tokens"
    return [int(id or 0) for id in ids]


def _decode(tokenizer: Tokenizer) -> Decode:
    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    return decode
