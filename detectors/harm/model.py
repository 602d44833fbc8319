"""The harm model: a sum of weights, one per bucket of a hashed text, made a probability.

    window -> features -> risk:     TF-IDF, length 1 -> sum of weights -.
                                    words -> sum of their senses, damped +-> Platt scaling -> probability of harm
                       -> category: the first with a small table for each category; the largest wins

A word's sense is one number: what its word vector says of harm, learned from the words that the training texts hold and
known for many that they do not. The sum is weighted by IDF.

The file is a line of JSON (format, sizes, scales, calibration, the names of the categories) and, compressed, the
tables. The large ones hold, for each bucket, a signed byte for weight times IDF, an unsigned one for the IDF, which the
length needs, and a signed one for the sense, 0 where the word is not known. Reading and using it needs nothing but the
standard library.
"""

from __future__ import annotations

import itertools
import json
import lzma
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from detectors.harm.features import BITS, pair_bucket, upright, word_bucket, word_buckets, words
from detectors.harm.seen import seen

FORMAT: Final = "qwq-guard harm 2"
SHIPPED: Final = Path(__file__).with_name("model.bin")
IDF_STEPS: Final = 16
"""An IDF is stored in sixteenths."""
DAMPING: Final = 0.75
"""The senses of a text are summed and divided by the sum of their IDFs to this power: 1 would make it their mean, but a
long text that keeps speaking of something says more than a short one."""
_SQUARES: Final = tuple(value * value for value in range(256))
_WORDS: Final = 16_384
"""Words whose weight is remembered."""
_PAIRS: Final = 8_192
"""Pairs of words whose weight is remembered: every other window holds them again."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the file says of its tables."""

    bits: int
    """The large table has `2 ** bits` buckets."""
    scale: float
    """What one step of a weight of the large table is worth, in log-odds before calibration."""
    bias: float
    sense_scale: float
    """What one step of the damped sum of senses is worth, in the same log-odds."""
    slope: float
    """Platt scaling: probability = sigmoid(slope * log-odds + offset)."""
    offset: float
    category_bits: int
    categories: Sequence[str]
    category_scale: float
    category_bias: Sequence[float]
    format: str = FORMAT


class ModelError(ValueError):
    """A file is no harm model, or one of another version."""


class Model:
    """Immutable but for its caches; safe to use from several threads."""

    def __init__(self, card: Card, risks: bytes, idfs: bytes, senses: bytes, tables: bytes) -> None:
        if card.format != FORMAT or card.bits != BITS:
            raise ModelError(f"it is {card.format!r} with 2**{card.bits} buckets, not {FORMAT!r} with 2**{BITS}")
        if (
            not len(risks) == len(idfs) == len(senses) == 1 << card.bits
            or len(tables) != len(card.categories) << card.category_bits
        ):
            raise ModelError("its tables have not the sizes that its first line says")
        self.card = card
        self.risks = risks
        self.idfs = idfs
        self.senses = senses
        self.tables = tables
        self._risks = memoryview(risks).cast("b")
        self._senses = memoryview(senses).cast("b")
        size = 1 << card.category_bits
        self._categories = [memoryview(tables)[at : at + size].cast("b") for at in range(0, len(tables), size)]
        self._word = lru_cache(_WORDS)(self._weigh)
        self._pair = lru_cache(_PAIRS)(self._weigh_pair)

    def risk(self, text: str) -> float:
        """The probability that `text`, a window of some 400 characters, is harmful. 0 for a text without words."""
        return self.weigh(seen(text))

    def weigh(self, text: str) -> float:
        """`risk` of a text that has been `seen`."""
        sequence = upright(words(text))
        if not sequence:
            return 0.0
        word, weigh_pair = self._word, self._pair
        total = square = sense = known = 0
        for each in set(sequence):
            weight, length, meaning, idf = word(each)
            total += weight
            square += length
            sense += meaning
            known += idf
        for pair in set(itertools.pairwise(sequence)):
            weight, length = weigh_pair(*pair)
            total += weight
            square += length
        raw = self.card.scale * total * IDF_STEPS / math.sqrt(square) + self.card.bias
        if known:
            raw += self.card.sense_scale * sense / known**DAMPING
        return sigmoid(self.card.slope * raw + self.card.offset)

    def category(self, text: str) -> str:
        """Which kind of harm it would be, if it is harmful. A guess: see the model card."""
        buckets = text_buckets(upright(words(seen(text))))
        root = math.sqrt(max(1, sum(_SQUARES[self.idfs[bucket]] for bucket in buckets))) / IDF_STEPS
        mask = (1 << self.card.category_bits) - 1
        folded = [(bucket & mask, self.idfs[bucket]) for bucket in buckets]
        scores = [
            self.card.category_scale * sum(table[bucket] * idf for bucket, idf in folded) / IDF_STEPS / root + bias
            for table, bias in zip(self._categories, self.card.category_bias, strict=True)
        ]
        return self.card.categories[max(range(len(scores)), key=scores.__getitem__)]

    def to_bytes(self) -> bytes:
        """The file: the same bytes for the same model."""
        head = json.dumps(asdict(self.card), sort_keys=True).encode() + b"\n"
        return head + lzma.compress(self.risks + self.idfs + self.senses + self.tables, preset=9 | lzma.PRESET_EXTREME)

    def _weigh(self, word: str) -> tuple[int, int, int, int]:
        """The sum of a word's weights, its share of the square of the length; its sense times its IDF, and its IDF, or
        nothing of both where the sense is not known."""
        buckets = word_buckets(word)
        bucket = word_bucket(word)
        idf = self.idfs[bucket] if self._senses[bucket] else 0
        return (
            sum(self._risks[bucket] for bucket in buckets),
            sum(_SQUARES[self.idfs[bucket]] for bucket in buckets),
            self._senses[bucket] * idf,
            idf,
        )

    def _weigh_pair(self, first: str, second: str) -> tuple[int, int]:
        bucket = pair_bucket(first, second)
        return self._risks[bucket], _SQUARES[self.idfs[bucket]]


def text_buckets(sequence: Sequence[str]) -> list[int]:
    """The buckets of a text, given its words: one for each distinct word, each piece of it, and each distinct pair."""
    buckets = [bucket for word in dict.fromkeys(sequence) for bucket in word_buckets(word)]
    buckets += [pair_bucket(*pair) for pair in dict.fromkeys(itertools.pairwise(sequence))]
    return buckets


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, value))))


def parse_model(data: bytes) -> Model:
    """The model in `data`. Raises `ModelError` if it holds none."""
    head, _, body = data.partition(b"\n")
    try:
        fields: Mapping[str, object] = json.loads(head)
        card = Card(**fields)  # type: ignore[arg-type]
        tables = lzma.decompress(body)
    except (ValueError, TypeError, lzma.LZMAError) as error:
        raise ModelError(f"it cannot be read: {error}") from error
    size = 1 << card.bits
    return Model(card, tables[:size], tables[size : 2 * size], tables[2 * size : 3 * size], tables[3 * size :])


@lru_cache(1)
def shipped_model() -> Model:
    """The model that comes with the package; read once. Raises `OSError` or `ModelError`."""
    return parse_model(SHIPPED.read_bytes())


def quantise(values: Iterable[float], scale: float) -> bytes:
    """Weights as signed bytes in steps of `scale`."""
    return bytes(max(-127, min(127, round(value / scale))) & 0xFF for value in values)
