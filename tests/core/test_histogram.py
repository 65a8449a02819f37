"""The histogram against numpy's exact percentiles."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import ceil

import numpy as np
import pytest

from smmucore.histogram import BUCKETS, SUB, bucket_of, highest_of, percentiles

PERCENTS = (1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100)

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "uniform": lambda rng, n: rng.integers(0, 1_000_000, n),
    "lognormal": lambda rng, n: np.exp(rng.normal(6, 2, n)).astype(np.int64),
    "two peaks": lambda rng, n: np.where(rng.random(n) < 0.97, 3, rng.integers(25_000_000, 26_000_000, n)),
    "up to 2**45": lambda rng, n: (2.0 ** (45 * rng.random(n))).astype(np.int64),
    "one value": lambda rng, n: np.full(n, 123_457),
}


def exact_percentile(samples: np.ndarray, percent: float) -> int:
    """The smallest sample that `percent` of the samples do not exceed.

    numpy's inverted_cdf, but for the rank, which numpy works out in floats: 99.9 % of 20,000 is its 19,981st.
    """
    rank = ceil(Fraction(str(percent)) * len(samples) / 100)
    return int(np.sort(samples)[rank - 1])


def counted(samples: np.ndarray) -> np.ndarray:
    counts = np.zeros(BUCKETS, np.int64)
    for ns in samples.tolist():
        counts[bucket_of(ns)] += 1
    return counts


def check(samples: np.ndarray) -> None:
    counts = counted(samples)
    highest = int(samples.max())
    for percent in PERCENTS:
        exact = exact_percentile(samples, percent)
        found = percentiles(counts, [percent], highest)[0]
        assert exact <= found <= exact + exact / 64, (percent, exact, found)
    assert percentiles(counts, [100], highest)[0] == highest
    # Where numpy's rank is exact, it is numpy's answer that is held.
    for percent in (25, 50, 75):
        assert exact_percentile(samples, percent) == np.percentile(samples, percent, method="inverted_cdf")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_percentile_is_high_by_at_most_one_part_in_64(name: str) -> None:
    check(DISTRIBUTIONS[name](np.random.default_rng(1), 20_000))


@pytest.mark.nojit
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_percentile_of_few_samples_is_high_by_at_most_one_part_in_64(name: str) -> None:
    for n in (1, 2, 3, 100):
        check(DISTRIBUTIONS[name](np.random.default_rng(n), n))


@pytest.mark.nojit
def test_below_64_ns_a_percentile_is_exact() -> None:
    samples = np.random.default_rng(2).integers(0, 64, 3000)
    counts = counted(samples)
    for percent in PERCENTS:
        exact = exact_percentile(samples, percent)
        assert percentiles(counts, [percent], 63)[0] == exact
    assert [bucket_of(ns) for ns in range(64)] == list(range(64))


@pytest.mark.nojit
def test_bucket_bounds_rise_and_each_bound_is_in_its_own_bucket() -> None:
    bounds = [highest_of(bucket) for bucket in range(BUCKETS)]
    assert all(low < high for low, high in pairwise(bounds))
    assert [bucket_of(bound) for bound in bounds] == list(range(BUCKETS))
    assert [bucket_of(bound + 1) for bound in bounds[:-1]] == list(range(1, BUCKETS))


def test_a_bucket_is_as_wide_as_one_64th_of_what_it_holds() -> None:
    for bucket in range(2 * SUB, BUCKETS):
        low, high = highest_of(bucket - 1) + 1, highest_of(bucket)
        assert (high - low + 1) * SUB <= low


@pytest.mark.nojit
def test_what_is_too_long_for_the_histogram_stays_in_its_last_bucket() -> None:
    assert bucket_of(1 << 50) == BUCKETS - 1
    assert bucket_of(1 << 62) == BUCKETS - 1
    assert bucket_of(-5) == 0


def test_the_exact_maximum_caps_a_percentile() -> None:
    counts = counted(np.array([1000]))
    assert highest_of(int(bucket_of(1000))) > 1000
    assert percentiles(counts, [50], 1000)[0] == 1000


def test_without_samples_a_percentile_is_zero() -> None:
    assert percentiles(np.zeros(BUCKETS, np.int64), [99], 0)[0] == 0
