"""Trains the model that comes with the package.

    python -m detectors.harm.train TRAIN.jsonl.xz --vectors FOLDER --profanity FOLDER [--out F] [--without SOURCE ...]

Needs `pip install qwq-guard[train]` and two folders that `detectors.harm.senses` tells of; without them a model is made
that knows only the words of its rows. Nine rows in ten fit a logistic regression over TF-IDF features of their windows
and the features of their words, the tenth (chosen by a hash of its id) calibrates it. No random numbers: the same
rows, folders and library versions give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from detectors.harm.categories import CATEGORIES, NAMED_IN_DATA
from detectors.harm.corpus import Row, excerpts, read_rows
from detectors.harm.features import BITS, HAN, upright, word_bucket, words
from detectors.harm.model import DAMPING, IDF_STEPS, SHIPPED, Card, Model, quantise, text_buckets
from detectors.harm.seen import seen
from detectors.harm.senses import Senses

MOST_WINDOWS: Final = 6
"""Of one row, so that long answers do not outweigh the rest."""
STRENGTH: Final = 3.0
"""Inverse of the L2 penalty (`C`), chosen on dev."""
SENSE_WEIGHT: Final = 2.5
"""Size of the words' features beside the others: what the penalty makes of them depends on it. Chosen on dev."""
CATEGORY_BITS: Final = 15


def train(rows: Sequence[Row], senses: Senses | None = None, bits: int = CATEGORY_BITS) -> Model:
    """A model of `rows`. Raises `ValueError` if they are not harmful and benign ones, in both parts of the split."""
    texts = train_texts(rows)
    harmful = np.array([row.harmful for _, row in texts])
    kept = np.array([kept_to_fit(row) for _, row in texts])
    for part in (harmful[kept], harmful[~kept]):
        if len(set(part.tolist())) < 2:
            raise ValueError(
                f"{len(rows)} rows are too few: harmful and benign ones are needed to fit and to calibrate"
            )
    counts = _counts([sequence for sequence, _ in texts])
    idf = _idf(counts[kept])
    scaled = _scale(counts, idf)
    known = _Known([sequence for sequence, _ in texts], senses, idf)
    weights, of_senses, bias = logistic(scaled[kept], known.sums[kept], harmful[kept], STRENGTH)
    raw = scaled[~kept] @ weights + known.sums[~kept] @ of_senses + bias
    platt = LogisticRegression(C=1e6).fit(raw[:, None], harmful[~kept])
    categories, tables, category_scale, category_bias = _categories(
        scaled[kept & harmful],
        [NAMED_IN_DATA[row.category] for (_, row), mine in zip(texts, kept & harmful, strict=True) if mine],
        bits,
    )
    risks = weights * idf
    scale = float(np.quantile(np.abs(risks[risks != 0]), 0.9995)) / 127
    sense_scale, sense_table = known.table(of_senses)
    card = Card(
        bits=BITS,
        scale=_short(scale),
        bias=_short(bias),
        sense_scale=_short(sense_scale),
        slope=_short(platt.coef_[0, 0]),
        offset=_short(platt.intercept_[0]),
        category_bits=bits,
        categories=categories,
        category_scale=_short(category_scale),
        category_bias=[_short(bias) for bias in category_bias],
    )
    return Model(card, quantise(risks, card.scale), _stored(idf), sense_table, tables)


def train_texts(rows: Sequence[Row]) -> list[tuple[list[str], Row]]:
    """The words of each excerpt, as the model reads them, and the row it is of."""
    return [(upright(words(seen(text))), row) for row in rows for text in excerpts(row, MOST_WINDOWS)]


def kept_to_fit(row: Row) -> bool:
    """Does a row fit the model? Else it calibrates it."""
    return crc32(row.id.encode()) % 10 != 0


def idf_table(texts: Sequence[Sequence[str]]) -> bytes:
    """The IDFs of the model that these texts fit, as it stores them."""
    return _stored(_idf(_counts(texts)))


def _stored(idf: Any) -> bytes:
    return bytes(np.rint(idf * IDF_STEPS).astype(np.uint8))


class _Known:
    """The words whose features are known, and the damped sum of features of each text."""

    def __init__(self, texts: Sequence[Sequence[str]], senses: Senses | None, idf: Any) -> None:
        self.sums = np.zeros((len(texts), 0))
        self._buckets = np.zeros(0, np.int64)
        self._features = np.zeros((0, 0), np.float32)
        if senses is None:
            return
        counted = Counter(word for text in texts for word in set(text) if not HAN.match(word))
        listed = sorted(counted.keys() | senses.vocabulary(), key=lambda word: (-counted[word], word))
        features, known = senses.matrix(listed)
        buckets = np.array([word_bucket(word) for word in listed], np.int64)
        # of two words in one bucket the model knows the more frequent
        chosen = np.flatnonzero(known)[np.unique(buckets[known], return_index=True)[1]]
        self._buckets, self._features = buckets[chosen], features[chosen]
        column = {bucket: number for number, bucket in enumerate(self._buckets.tolist())}
        found = [sorted({column[b] for b in map(word_bucket, set(text)) if b in column}) for text in texts]
        starts = np.cumsum([0, *map(len, found)])
        every = np.array([number for numbers in found for number in numbers], np.int32)
        shape = (len(texts), len(self._buckets))
        weighed = sparse.csr_matrix((idf[self._buckets[every]], every, starts), shape=shape)
        total = np.asarray(weighed.sum(axis=1)).ravel()
        damped = SENSE_WEIGHT / np.maximum(1e-9, total) ** DAMPING
        self.sums = np.asarray(sparse.diags(damped) @ weighed @ self._features)

    def table(self, weights: Any) -> tuple[float, bytes]:
        """The scale, and for each bucket the sense in steps of it; never 0 for a word that is known."""
        if not len(self._buckets):
            return 1.0, bytes(1 << BITS)
        values = self._features @ weights * SENSE_WEIGHT * IDF_STEPS ** (DAMPING - 1)
        scale = _short(float(np.quantile(np.abs(values), 0.9999)) / 127)
        steps = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        steps[steps == 0] = 1
        table = np.zeros(1 << BITS, np.int8)
        table[self._buckets] = steps
        return scale, table.tobytes()


def logistic(features: Any, dense: Any, harmful: Any, strength: float) -> tuple[Any, Any, float]:
    """Weights of sparse and of dense features, and the bias, of an L2-regularised logistic regression (L-BFGS)."""
    sign = np.where(harmful, 1.0, -1.0)
    wide, turned = features.shape[1], features.T.tocsr()

    def loss(point: Any) -> tuple[float, Any]:
        weights, others, bias = point[:wide], point[wide:-1], point[-1]
        margin = sign * (features @ weights + dense @ others + bias)
        pull = -sign * expit(-margin)
        slope = strength * np.concatenate([turned @ pull, dense.T @ pull, [pull.sum()]])
        slope[:-1] += point[:-1]
        return float(strength * np.logaddexp(0, -margin).sum() + point[:-1] @ point[:-1] / 2), slope

    start = np.zeros(wide + dense.shape[1] + 1)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxcor": 8, "ftol": 1e-6})
    return best.x[:wide], best.x[wide:-1], float(best.x[-1])


def _short(value: float) -> float:
    """Few digits: what differs behind them is noise of the machine."""
    return float(f"{value:.6g}")


def _counts(texts: Sequence[Sequence[str]]) -> Any:
    """One row per text: how often each bucket occurs among the features of its distinct words and pairs."""
    buckets = [np.array(text_buckets(words), np.int32) for words in texts]
    starts = np.cumsum([0, *map(len, buckets)])
    every = np.concatenate(buckets)
    counts = sparse.csr_matrix((np.ones(len(every), np.float32), every, starts), shape=(len(texts), 1 << BITS))
    counts.sum_duplicates()
    return counts


def _idf(counts: Any) -> Any:
    """Smoothed, rounded as it is stored, and at most what a byte holds."""
    having = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + counts.shape[0]) / (1 + having)) + 1
    return np.minimum(np.rint(idf * IDF_STEPS), 255) / IDF_STEPS


def _scale(counts: Any, idf: Any) -> Any:
    lengths = np.sqrt(np.maximum(1e-9, counts @ (idf * idf)))
    return (sparse.diags(1 / lengths) @ counts @ sparse.diags(idf)).tocsr()


def _categories(scaled: Any, names: Sequence[str], bits: int) -> tuple[list[str], bytes, float, Sequence[float]]:
    """Names, tables, scale and biases of a model that tells categories apart, its buckets folded to `2 ** bits`."""
    known = [name for name in CATEGORIES if name in set(names)]
    size = 1 << bits
    folded = sparse.csr_matrix((scaled.data, scaled.indices & (size - 1), scaled.indptr), shape=(scaled.shape[0], size))
    if len(known) == 1:
        return known, bytes(size), 1.0, [0.0]
    fitted = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=200, tol=1e-4)
    fitted.fit(folded, [known.index(name) for name in names])
    weights = fitted.coef_ if len(known) > 2 else np.vstack([-fitted.coef_, fitted.coef_])
    biases = fitted.intercept_ if len(known) > 2 else [-fitted.intercept_[0], fitted.intercept_[0]]
    scale = _short(float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127)
    return known, quantise(weights.ravel(), scale), scale, biases


def add_senses(parser: argparse.ArgumentParser) -> None:
    """The options that name the folders of `Senses.read`."""
    parser.add_argument("--vectors", type=Path, metavar="FOLDER", help="all-MiniLM-L6-v2, unpacked")
    parser.add_argument("--profanity", type=Path, metavar="FOLDER", help="the data folder of alt-profanity-check")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m detectors.harm.train", description="Train the harm model.")
    parser.add_argument("rows", type=Path, help="labelled rows, JSON Lines, .xz or not")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the model goes (default: into the package)")
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources to leave out")
    add_senses(parser)
    told = parser.parse_args(arguments)
    try:
        senses = Senses.read(told.vectors, told.profanity) if told.vectors else None
        rows = [row for row in read_rows(told.rows) if row.source not in told.without]
        data = train(rows, senses).to_bytes()
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    told.out.write_bytes(data)
    print(f"{told.out}: {len(data):,} bytes, from {len(rows):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
