"""The polls of a TLBI_SYNC and the writes of a TLBI, held against the independent reference (section 6)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smmucore import memory
from smmucore.records import NEVER
from smmucore.spaces import Space, Upper, empty_tables
from smmucore.sync import polled, tlbi_writes
from tests.reference import sync as reference
from traces import events as ev

pytestmark = pytest.mark.nojit

GIVEN_UP = 1000 * ((1 << 20) - 1)
KINDS = (*reference.RANGE_KINDS, "TLBI_ASID", "TLBI_VMID", "TLBI_ALL", "TLBI_SYNC")
NAMES = {getattr(ev, name): name for name in KINDS}
waits = st.one_of(st.none(), st.integers(0, 100_000), st.integers(0, 2 * GIVEN_UP))
costs = st.sampled_from([0, 1, 3, 50, 100, 333, 5000])


def both(wait: int | None, read: int, write: int) -> tuple[tuple[int, int, bool], tuple[int, int, bool]]:
    made = polled(NEVER if wait is None else np.int64(wait), np.int64(read), np.int64(write))
    want = reference.sync(wait, read, write)
    return tuple(int(x) for x in made), (want.status_reads, want.total_ns, want.timed_out)  # type: ignore[return-value]


@settings(max_examples=1000, deadline=None)
@given(wait=waits, read=costs, write=costs)
def test_polls_end_when_the_reference_says(wait: int | None, read: int, write: int) -> None:
    ours, theirs = both(wait, read, write)
    assert ours == theirs


@settings(deadline=None)
@given(
    rounds=st.integers(0, 20),
    reads=st.integers(0, 11),
    off=st.integers(-1, 1),
    read=st.sampled_from([0, 1, 100]),
)
def test_they_end_so_at_the_edges_of_rounds_too(rounds: int, reads: int, off: int, read: int) -> None:
    wait = 1000 * ((1 << rounds) - 1) + (10 * rounds + reads) * read + off
    if wait >= 0:
        ours, theirs = both(wait, read, 50)
        assert ours == theirs


def test_a_sync_that_is_never_done_takes_200_reads_and_2_to_the_20th_less_one_microseconds() -> None:
    assert both(None, 100, 50)[0] == (200, 50 + 200 * 100 + GIVEN_UP, 1)


SPACES = (
    Space(granule=16384, ias=47, ttbr1=Upper(39, 65536), sep=48),
    Space(format="aarch64-s2", ias=40, granule=65536),
    Space(format="nested", ias=39, stage2=1),
    Space(format="aarch32-short", ias=32),
)
REGIMES = empty_tables(SPACES, memory.memory(4096, int(memory.SHORT_TABLE_BASE)))
#: The granule of each space at a low address, at one near the top of 49 bits, and of its IPAs.
GRANULES = ((16384, 65536, 16384), (65536, 65536, 65536), (4096, 4096, 65536), (4096, 4096, 4096))


@settings(deadline=None)
@given(
    space=st.integers(0, 3),
    kind=st.sampled_from(sorted(NAMES)),
    upper=st.booleans(),
    iova=st.integers(0, 1 << 30),
    size=st.one_of(st.integers(0, 300_000), st.integers(0, 1 << 28)),
)
def test_a_tlbi_takes_a_write_for_each_granule_of_its_half(
    space: int, kind: int, upper: bool, iova: int, size: int
) -> None:
    at = iova + ((1 << 49) - (1 << 31) if upper else 0)
    low, high, ipa = GRANULES[space]
    granule = ipa if kind in (ev.TLBI_IPAS2, ev.TLBI_IPAS2_LAST) else high if upper else low
    made = tlbi_writes(REGIMES[space], ev.ABRUPT | kind, np.uint64(at), np.uint64(size))
    assert int(made) == reference.tlbi_writes(NAMES[kind], at, size, granule)
