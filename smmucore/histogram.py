"""A log-linear latency histogram: 64 buckets an octave, exact below 64 ns."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from smmucore.kernel import inlined
from smmucore.vector import bit_length

SUB_BITS = 6
SUB = 1 << SUB_BITS
OCTAVES = 44  # up to 2**50 ns, 13 days
#: The last latency with a bucket of its own.
LAST_EXACT = 2 * SUB - 1
BUCKETS = SUB * (OCTAVES + 1)

FROM_INTENDED = 0
FROM_ISSUE = 1
KINDS = 2


@inlined
def bucket_of(ns):
    """Return the bucket of a latency: its own below 64 ns, then 64 for each power of two."""
    ns = max(ns, 0)
    octave = bit_length(ns | LAST_EXACT) - SUB_BITS - 1
    return min(SUB * octave + (ns >> octave), BUCKETS - 1)


def highest_of(bucket: int) -> int:
    """Return the largest ns that falls into `bucket`.

    >>> [highest_of(b) for b in (0, 63, 64, 127, 128)]
    [0, 63, 64, 127, 129]
    """
    if bucket < SUB:
        return bucket
    octave = bucket // SUB - 1
    return ((bucket % SUB + SUB + 1) << octave) - 1


def percentiles(counts: Any, percents: Sequence[float], highest: int) -> list[int]:
    """Return the latencies that so many percent of the samples do not exceed.

    Parameters
    ----------
    counts : ndarray of int64, shape (BUCKETS,)
    percents : sequence of float
    highest : int
        The exact maximum, which caps the answers.

    Returns
    -------
    list of int
        ns, high by at most 1/64; 0 without samples.
    """
    up_to = np.cumsum(counts)
    total = int(up_to[-1])
    if total == 0:
        return [0] * len(percents)
    ranks = [max(1, ceil(total * percent / 100 - 1e-9)) for percent in percents]
    return [min(highest_of(bucket), highest) for bucket in np.searchsorted(up_to, ranks).tolist()]
