"""Sorting more rows than are in memory, and the pages that were touched, beside plain Python."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces.errors import TraceError
from traces.importers.ordered import ROW, Ordered
from traces.importers.touched import FIRST_IOVA, Touched


def made(pairs):
    rows = np.zeros(len(pairs), ROW)
    rows["t"], rows["rank"] = [t for t, _ in pairs], [rank for _, rank in pairs]
    rows["iova"] = np.arange(len(pairs))
    return rows


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    times=st.lists(st.integers(0, 12) | st.integers((1 << 63) - 3, (1 << 63) - 1), max_size=3000),
    run=st.sampled_from([1, 2, 7, 300, 1 << 16]),
    piece=st.integers(1, 50),
)
def test_rows_come_out_by_time_and_rank_whatever_the_runs(times, run, piece):
    # A list that hypothesis fills goes on repeating itself: many rows, few different times.
    times = (times * 40)[:4000]
    rng = np.random.default_rng(len(times))
    pairs = list(zip(times, rng.permutation(len(times)).tolist(), strict=True))
    rows = made(pairs)
    with Ordered(None, run) as ordered:
        for at in range(0, len(rows), piece):
            ordered.add(rows[at : at + piece])
        out = list(ordered.blocks())
    assert all(block.size for block in out)
    found = np.concatenate([np.empty(0, ROW), *out])
    assert [(int(row["t"]), int(row["rank"])) for row in found] == sorted(pairs)
    assert sorted(found["iova"].tolist()) == list(range(len(pairs)))


def test_little_is_in_memory_while_runs_are_merged():
    with Ordered(None, 1 << 12) as ordered:
        rng = np.random.default_rng(1)
        for _ in range(64):
            ordered.add(made([(int(t), k) for k, t in enumerate(rng.permutation(1 << 12))]))
        sizes = [block.size for block in ordered.blocks()]
    assert sum(sizes) == 1 << 18
    assert max(sizes) <= 64 * (1 << 8) + (1 << 12)


ADDRESSES = st.lists(
    st.integers(0, 1 << 22) | st.integers(1 << 30, (1 << 30) + (1 << 22)) | st.integers(0, (1 << 48) - 1),
    min_size=1,
    max_size=80,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(addresses=ADDRESSES, granule=st.sampled_from([4096, 16384, 65536]), span=st.integers(1, 1 << 22))
def test_pages_are_those_of_the_addresses_and_ranges(addresses, granule, span):
    first = addresses[0]
    touched = Touched(granule, "x")
    touched.add(np.array(addresses, np.uint64))
    touched.add_range(first, span)
    pages = {address // granule for address in addresses}
    pages |= set(range(first // granule, (first + span - 1) // granule + 1))
    assert touched.finish() == len(pages)
    order = sorted(pages)
    some = np.array([page * granule + 5 for page in order], np.uint64)
    assert touched.ranks(some).tolist() == list(range(len(order)))
    assert touched.moved(some, 1 << 20).tolist() == [FIRST_IOVA + (k << 20) + 5 for k in range(len(order))]
    maps = np.concatenate(list(touched.maps()))
    found = [int(m["iova"]) // granule + k for m in maps for k in range(int(m["size"]) // granule)]
    assert found == order
    # No two lie side by side: runs are whole.
    ends = {int(m["iova"] + m["size"]) for m in maps}
    assert not ends & {int(m["iova"]) for m in maps}
    outputs = sorted((int(m["pa"]), int(m["size"])) for m in maps)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(outputs))
    assert all((int(m["iova"]) ^ int(m["pa"])) & granule for m in maps)


def test_pages_that_lie_too_far_apart_are_refused(monkeypatch):
    monkeypatch.setattr("traces.importers.touched._MOST_REGIONS", 4)
    touched = Touched(4096, "x")
    touched.add(np.arange(0, 4 << 21, 4096, dtype=np.uint64))
    with pytest.raises(TraceError, match="too far apart"):
        touched.add(np.array([1 << 40], np.uint64))
