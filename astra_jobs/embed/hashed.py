"""Embedding without a model: hashed character and word n-grams, sublinear counts, unit length.

Stands in for the paper's Qwen3-Embedding-8B where there is no GPU and no network: near-duplicates and shared words
are near each other, synonyms are not. Hashing is by CRC-32, so that vectors are equal on every machine.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from astra_jobs.text.tokens import words

DIMENSIONS = 512

Vectors = npt.NDArray[np.float32]


def embed(texts: Sequence[str]) -> Vectors:
    """Return one row of unit length for each text, shape (texts, DIMENSIONS); a text without a word gives zeros."""
    rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for index, text in enumerate(texts):
        for feature, count in Counter(_features(text)).items():
            slot, sign = _slot(feature)
            rows[index, slot] += sign * (1.0 + np.log(count))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def _features(text: str) -> list[str]:
    found = words(text)
    grams = [f"{first} {second}" for first, second in pairwise(found)]
    for word in found:
        padded = f"^{word}$"
        grams += [padded[start : start + 3] for start in range(max(1, len(padded) - 2))]
    return found + grams


@lru_cache(maxsize=1 << 16)
def _slot(feature: str) -> tuple[int, float]:
    code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    return code % DIMENSIONS, 1.0 if code & (1 << 31) else -1.0
