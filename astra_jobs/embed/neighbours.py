"""Near neighbours and clusters of unit vectors, by exact cosine in blocks."""

from collections.abc import Iterator

import numpy as np

from astra_jobs.embed.hashed import Vectors

BLOCK = 1024


def near_pairs(vectors: Vectors, least: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs i < j of rows whose cosine is at least ``least``, in order."""
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ vectors.T
        for row, column in np.argwhere(cosines >= least):
            if start + row < column:
                yield int(start + row), int(column)


def clusters(vectors: Vectors, least: float) -> list[int]:
    """Return for each row the smallest row that a chain of near pairs leads to: equal numbers are one cluster."""
    parent = list(range(len(vectors)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for first, second in near_pairs(vectors, least):
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [root(item) for item in range(len(vectors))]
