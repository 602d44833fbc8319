"""Trains the model that comes with the package.

    python -m detectors.harm.train TRAIN.jsonl.xz [--out model.bin] [--without SOURCE ...]

Needs `pip install qwq-guard[train]`. Nine rows in ten fit a logistic regression over TF-IDF features of their windows,
the tenth (chosen by a hash of its id) calibrates it. No random numbers: the same rows and library versions give the
same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from detectors.harm.categories import CATEGORIES, NAMED_IN_DATA
from detectors.harm.corpus import Row, excerpts, read_rows
from detectors.harm.features import BITS, words
from detectors.harm.model import IDF_STEPS, SHIPPED, Card, Model, quantise, text_buckets

MOST_WINDOWS: Final = 6
"""Of one row, so that long answers do not outweigh the rest."""
STRENGTH: Final = 3.0
"""Inverse of the L2 penalty (`C`), chosen on dev."""
CATEGORY_BITS: Final = 15


def train(rows: Sequence[Row], bits: int = CATEGORY_BITS) -> Model:
    """A model of `rows`. Raises `ValueError` if they are not harmful and benign ones, in both parts of the split."""
    texts = [(text, row) for row in rows for text in excerpts(row, MOST_WINDOWS)]
    harmful = np.array([row.harmful for _, row in texts])
    kept = np.array([crc32(row.id.encode()) % 10 != 0 for _, row in texts])
    for part in (harmful[kept], harmful[~kept]):
        if len(set(part.tolist())) < 2:
            raise ValueError(
                f"{len(rows)} rows are too few: harmful and benign ones are needed to fit and to calibrate"
            )
    counts = _counts([text for text, _ in texts])
    idf = _idf(counts[kept])
    scaled = _scale(counts, idf)
    risk = _logistic().fit(scaled[kept], harmful[kept])
    raw = risk.decision_function(scaled[~kept])
    platt = LogisticRegression(C=1e6).fit(raw[:, None], harmful[~kept])
    categories, tables, category_scale, category_bias = _categories(
        scaled[kept & harmful],
        [NAMED_IN_DATA[row.category] for (_, row), mine in zip(texts, kept & harmful, strict=True) if mine],
        bits,
    )
    weights = risk.coef_[0] * idf
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    card = Card(
        bits=BITS,
        scale=_short(scale),
        bias=_short(risk.intercept_[0]),
        slope=_short(platt.coef_[0, 0]),
        offset=_short(platt.intercept_[0]),
        category_bits=bits,
        categories=categories,
        category_scale=_short(category_scale),
        category_bias=[_short(bias) for bias in category_bias],
    )
    return Model(card, quantise(weights, card.scale), bytes(np.rint(idf * IDF_STEPS).astype(np.uint8)), tables)


def _logistic() -> Any:
    return LogisticRegression(C=STRENGTH, solver="lbfgs", max_iter=400, tol=1e-5)


def _short(value: float) -> float:
    """Few digits: what differs behind them is noise of the machine."""
    return float(f"{value:.6g}")


def _counts(texts: Sequence[str]) -> Any:
    """One row per text: how often each bucket occurs among the features of its distinct words and pairs."""
    buckets = [np.array(text_buckets(words(text)), np.int32) for text in texts]
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m detectors.harm.train", description="Train the harm model.")
    parser.add_argument("rows", type=Path, help="labelled rows, JSON Lines, .xz or not")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the model goes (default: into the package)")
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources to leave out")
    told = parser.parse_args(arguments)
    try:
        rows = [row for row in read_rows(told.rows) if row.source not in told.without]
        data = train(rows).to_bytes()
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    told.out.write_bytes(data)
    print(f"{told.out}: {len(data):,} bytes, from {len(rows):,} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
