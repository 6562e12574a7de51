"""The embedder without a model: unit rows, sensible order of similarity, equal everywhere."""

import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_jobs.embed.hashed import DIMENSIONS, embed
from astra_jobs.embed.neighbours import clusters, near_pairs


@settings(max_examples=50)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_rows_are_unit_or_zero(texts: list[str]) -> None:
    rows = embed(texts)
    assert rows.shape == (len(texts), DIMENSIONS)
    lengths = np.linalg.norm(rows, axis=1)
    assert all(abs(length - 1) < 1e-5 or length == 0 for length in lengths)


def test_more_shared_words_are_nearer() -> None:
    depth, again, other, far = embed(["depth of a port", "depth of a lake", "menu of a mill", "birth date crew"])
    assert depth @ again > depth @ other > depth @ far
    assert abs(depth @ depth - 1) < 1e-5


def test_equal_in_another_process_with_another_hash_seed() -> None:
    code = (
        "from astra_jobs.embed.hashed import embed; import hashlib; print(hashlib.sha256(embed(['depth of a port']).tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_clusters_join_chains_of_near_rows() -> None:
    texts = ["what is the depth of port a", "find the menu of mill b", "what is the depth of port a", "find the menu of mill b now"]
    vectors = embed(texts)
    assert clusters(vectors, 0.999) == [0, 1, 0, 3]
    assert clusters(vectors, 0.8) == [0, 1, 0, 1]
    assert list(near_pairs(vectors, 0.999)) == [(0, 2)]
