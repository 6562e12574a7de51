"""Bootstrap intervals over environments: of a mean, and of the mean of paired differences (SPEC 7).

Environments are drawn with replacement; 95 % percentile intervals. The draws are seeded, so equal data give equal intervals.
"""

from collections.abc import Sequence

import numpy as np

from astra_jobs.records.evaluation import Interval

_SEED = 20260121
_CELLS = 4_000_000


def interval(values: Sequence[float], resamples: int) -> Interval:
    """Return the mean of values [N] and its interval from ``resamples`` draws of N."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        raise ValueError("no values to take a mean of")
    generator = np.random.default_rng(_SEED)
    rows = max(1, _CELLS // len(data))
    means = np.concatenate(
        [
            data[generator.integers(0, len(data), (min(rows, resamples - start), len(data)))].mean(axis=1)
            for start in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(mean=float(data.mean()), low=float(low), high=float(high))


def paired(before: Sequence[float], after: Sequence[float], resamples: int) -> Interval:
    """Return the mean of ``after - before`` on the same environments, in the same order, and its interval."""
    return interval([late - early for early, late in zip(before, after, strict=True)], resamples)
