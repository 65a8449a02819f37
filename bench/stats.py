"""Percentiles, by one rule: the nearest rank, that is the smallest value that p% do not exceed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Name and percent, in the order of every table.
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "p99.99": 99.99}
NAMES = (*PERCENTILES, "max")


def of_histogram(counts: Any, highest: int) -> dict[str, int]:
    """Return the percentiles of a latency histogram, ns; zeros without samples."""
    from smmucore.histogram import percentiles  # noqa: PLC0415  (it imports numba)

    found = percentiles(counts, list(PERCENTILES.values()), highest)
    return {**dict(zip(PERCENTILES, found, strict=True)), "max": highest}


def of_samples(samples: Sequence[int] | Any) -> dict[str, int]:
    """Return the exact percentiles of samples; zeros without any.

    Examples
    --------
    >>> of_samples([30, 10, 20])
    {'p50': 20, 'p90': 30, 'p99': 30, 'p99.9': 30, 'p99.99': 30, 'max': 30}
    """
    ordered = np.sort(np.asarray(samples, np.int64))
    if not ordered.size:
        return dict.fromkeys(NAMES, 0)
    ranks = {name: max(1, int(np.ceil(ordered.size * p / 100 - 1e-9))) for name, p in PERCENTILES.items()}
    return {**{name: int(ordered[rank - 1]) for name, rank in ranks.items()}, "max": int(ordered[-1])}
