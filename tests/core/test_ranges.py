"""Which addresses TLBs tell apart, and what an invalidation's range meets (H2; docs/translation.md 2, 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smmucore.invalidate import invalidate
from smmucore.mmu import FROM_UTLB, FROM_WALK, Mmu, mmu, owners, translate
from smmucore.pagetable import Memory, memory, new_table, new_tables
from smmucore.regime import aarch64_s1, aarch64_s2, nested
from smmucore.shapes import Caches
from traces import events as ev

from .tools import K, M, map_range

UPPER = 0xFFFF_0000_0000_0000
END = 1 << 64


class Two:
    """Bank 0 a stage 1 of two halves, bank 1 a stage 2 alone, of one VMID and ASID; a page in each table."""

    def __init__(self) -> None:
        self.mem: Memory = memory(64)
        first = aarch64_s1(ttbr0=int(new_table(self.mem)), ttbr1=int(new_table(self.mem)), epd1=False)
        second = aarch64_s2(ttbr=int(new_table(self.mem)), ias=48)
        self.regimes = [first, second]
        for regime, at in ((first, 0), (first, UPPER), (second, 0)):
            assert map_range(self.mem, regime, at, 4 * K, M) == 0
        self.core: Mmu = mmu(Caches(), owners(self.regimes, asids=[5, 5], vmids=[1, 1]))

    def read(self, iova: int, bank: int = 0) -> tuple[int, int]:
        """(fault, source)."""
        answer: Any = translate(
            self.core, self.mem, self.regimes[bank], 0, bank, np.uint64(iova), np.uint64(0)
        )
        return int(answer[0]), int(answer[3])

    def stays(self, kind: int, iova: int, size: int, *, bank: int = 0, at: int = 0, of: int = 0) -> bool:
        """Whether the page of bank `of` at `at` outlives an invalidation."""
        assert self.read(at, of)[0] == 0
        invalidate(self.core, kind, bank, np.uint64(iova), np.uint64(size))
        return self.read(at, of)[1] == FROM_UTLB


@pytest.mark.nojit
@pytest.mark.parametrize(
    "iova", [0x0003_0000_0000_0000, 0x00FF_0000_0000_0000, 0xFFFC_0000_0000_0000, 1 << 50]
)
def test_an_address_of_neither_half_is_not_taken_for_one_of_a_half(iova: int) -> None:
    two = Two()
    assert two.read(0) == two.read(UPPER) == (0, FROM_WALK)
    fault, source = two.read(iova)
    assert (fault != 0, source) == (True, FROM_WALK)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("iova", "size", "low", "high"),
    [
        (0, 1, False, True),
        (UPPER, 1, True, False),
        (1 << 50, 4 * K, True, True),  # page number 0, were it cut short
        (0x0003_0000_0000_0000, 4 * K, True, True),
        (0x0003_0000_0000_0000, 1 << 60, True, True),
        (0, 1 << 63, False, True),
        (4 * K, END - 4 * K, True, False),
        (END - 4 * K, 8 * K, True, True),  # ends at 2^64
        (UPPER - 4 * K, END - 1, True, False),
        (0, END - 1, False, False),
        (0, 0, True, True),
        (UPPER, 0, True, True),
    ],
)
def test_a_range_meets_what_lies_between_its_first_and_its_last_address(
    iova: int, size: int, low: bool, high: bool
) -> None:
    for kind in (ev.TLBI_VA_LAST, ev.TLBI_VAA):
        assert Two().stays(kind, iova, size) == low
        assert Two().stays(kind, iova, size, at=UPPER) == high


@pytest.mark.nojit
def test_tlbi_asid_of_a_bank_with_a_stage_2_alone_takes_nothing() -> None:
    assert Two().stays(ev.TLBI_ASID, 0, 0, bank=1, of=1), "a stage 2 has no ASID"
    assert Two().stays(ev.TLBI_ASID, 0, 0, bank=1, of=0)
    assert Two().stays(ev.TLBI_ASID, 0, 0, bank=0, of=1)
    assert not Two().stays(ev.TLBI_ASID, 0, 0, bank=0, of=0)


@pytest.mark.nojit
def test_tlbi_sync_takes_nothing() -> None:
    assert Two().stays(ev.TLBI_SYNC, 0, 0)
    assert Two().stays(ev.TLBI_SYNC, 0, 4 * K)


@pytest.mark.nojit
def test_wide_inputs_are_refused_where_pages_of_the_vmid_are_smaller_than_64k() -> None:
    mem = memory(64)
    root = int(new_tables(mem, 1 << 13))
    wide = aarch64_s1(ttbr0=root, ias0=52, page_bits=16, oas=52)
    small = aarch64_s1(ttbr0=root)
    under = nested(wide, aarch64_s2(ttbr=root, ias=40))
    for regimes, vmids in (([wide, small], [1, 1]), ([under], [1])):
        with pytest.raises(ValueError, match="only 64K granules"):
            owners(regimes, vmids=vmids)
    assert len(owners([wide, small])) == 2, "of VMIDs of their own"
