"""MAP and UNMAP: what is refused, and that a refusal of UNMAP changes nothing (H3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smmucore import pagetable
from smmucore.kernel import jit_disabled
from smmucore.pagetable import MAP_EXISTS, MAP_MISALIGNED, MAP_OK, MAP_OUT_OF_RANGE, UNMAP_PARTIAL, memory
from smmucore.registers import FSR_TF
from smmucore.spaces import linux
from smmucore.translate import Translator
from tests.reference import walker
from traces import events as ev

from .tools import (
    RW,
    G,
    K,
    M,
    Row,
    accesses,
    entry_pa,
    events,
    map_range,
    reference_memory,
    reference_regime,
    regime,
    unmap_range,
    word_at,
)

pytestmark = pytest.mark.nojit


def resolve(mem: pagetable.Memory, where: Any, iova: int) -> int | None:
    """Where the reference walker finds `iova`, or None."""
    its_regime = reference_regime(where.ttbr, int(where.ias))
    return walker.walk(its_regime, reference_memory(mem), iova, privileged=True).pa


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0x1000, 4 * K), (0x1000, 4 * K)),
        ((2 * M, 2 * M), (2 * M, 2 * M)),
        ((2 * M, 2 * M), (2 * M + 0x5000, 4 * K)),
        ((G, G), (G, 4 * K)),
        ((G, G), (G + 4 * M, 2 * M)),
        ((G, G), (G, G)),
    ],
    ids=["page", "block", "page in a block", "page in 1G", "block in 1G", "1G"],
)
def test_a_valid_leaf_is_never_overwritten(first: tuple[int, int], second: tuple[int, int]) -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, *first, pa=8 * G) == MAP_OK
    before = mem.words.copy()
    assert map_range(mem, where, *second, pa=16 * G) == MAP_EXISTS
    assert np.array_equal(mem.words, before)
    assert resolve(mem, where, second[0]) == 8 * G + second[0] - first[0]


@pytest.mark.parametrize(("block", "granule"), [(2 * M, 4 * K), (G, 2 * M), (G, 4 * K)])
@pytest.mark.parametrize("part", ["head", "tail", "middle", "from before", "to behind"])
def test_a_block_is_not_unmapped_in_part_and_nothing_is_cleared(block: int, granule: int, part: str) -> None:
    mem = memory(16)
    where = regime(mem)
    at = 2 * G
    # A page on either side, which a half-done UNMAP would have cleared.
    for iova, size in ((at, block), (at - 4 * K, 4 * K), (at + block, 4 * K)):
        assert map_range(mem, where, iova, size, pa=4 * G + iova) == MAP_OK
    iova, size = {
        "head": (at, granule),
        "tail": (at + block - granule, granule),
        "middle": (at + granule, granule),
        "from before": (at - 4 * K, 4 * K + granule),
        "to behind": (at + granule, block - granule + 4 * K),
    }[part]
    before = mem.words.copy()
    assert unmap_range(mem, where, iova, size) == UNMAP_PARTIAL
    assert np.array_equal(mem.words, before)


def test_an_unmap_of_whole_leaves_and_holes_clears_the_leaves() -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 2 * M - 4 * K, 2 * M + 8 * K, pa=4 * M - 4 * K) == MAP_OK
    assert word_at(mem, entry_pa(mem, where, 2 * M, 2)) & 3 == 1, "a block"
    assert word_at(mem, entry_pa(mem, where, 4 * M, 3)) & 3 == 3, "a page"
    assert unmap_range(mem, where, 0, 8 * M) == MAP_OK
    for iova in (2 * M - 4 * K, 2 * M, 4 * M - 1, 4 * M):
        assert resolve(mem, where, iova) is None
    assert unmap_range(mem, where, 0, 8 * M) == MAP_OK, "what is not mapped is passed over"


@pytest.mark.parametrize(
    ("iova", "size", "pa"),
    [(0x800, 4 * K, 0), (0x1000, 0x800, 0), (0x1000, 4 * K, 0x10), (0x1000, 0, 0), (0x1000, 4097, 0)],
)
def test_a_map_that_is_not_in_whole_pages_is_refused(iova: int, size: int, pa: int) -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, iova, size, pa) == MAP_MISALIGNED
    assert not mem.words.any()


@pytest.mark.parametrize(("iova", "size"), [(0x800, 4 * K), (0x1000, 0x800), (0x1000, 0)])
def test_an_unmap_that_is_not_in_whole_pages_is_refused(iova: int, size: int) -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 0, 16 * K, pa=0) == MAP_OK
    before = mem.words.copy()
    assert unmap_range(mem, where, iova, size) == MAP_MISALIGNED
    assert np.array_equal(mem.words, before)


@pytest.mark.parametrize("ias", [32, 39, 48])
def test_a_range_beyond_the_input_size_is_refused_and_the_last_page_is_not(ias: int) -> None:
    mem = memory(16)
    where = regime(mem, ias)
    end = 1 << ias
    for change in (map_range, unmap_range):
        for iova, size in ((end, 4 * K), (end - 4 * K, 8 * K), (1 << 63, 4 * K)):
            more = (0,) if change is map_range else ()
            assert change(mem, where, iova, size, *more) == MAP_OUT_OF_RANGE
    assert not mem.words.any()
    assert map_range(mem, where, end - 4 * K, 4 * K, pa=0x5000) == MAP_OK
    assert resolve(mem, where, end - 1) == 0x5FFF
    assert unmap_range(mem, where, end - 4 * K, 4 * K) == MAP_OK
    assert resolve(mem, where, end - 1) is None


# Plain Python says so where a kernel wraps.
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("size", [8 * K, (1 << 64) - 4 * K])
def test_a_range_that_wraps_round_is_refused(size: int) -> None:
    mem = memory(16)
    where = regime(mem, 48)
    last_page = (1 << 64) - 4 * K
    assert map_range(mem, where, last_page, size, pa=0) == MAP_OUT_OF_RANGE
    assert unmap_range(mem, where, last_page, size) == MAP_OUT_OF_RANGE
    assert not mem.words.any()


def test_a_block_takes_the_place_of_a_table_whose_pages_are_all_unmapped() -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 2 * M, 16 * K, pa=0x7000) == MAP_OK
    assert unmap_range(mem, where, 2 * M, 16 * K) == MAP_OK
    assert map_range(mem, where, 2 * M, 2 * M, pa=6 * M) == MAP_OK
    assert word_at(mem, entry_pa(mem, where, 2 * M, 2)) & 3 == 1
    assert resolve(mem, where, 3 * M) == 7 * M


def test_a_block_takes_the_place_of_a_table_that_still_holds_pages_as_io_pgtable_lets_it() -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 2 * M, 16 * K, pa=0x7000) == MAP_OK
    assert map_range(mem, where, 2 * M, 2 * M, pa=6 * M) == MAP_OK
    assert resolve(mem, where, 2 * M + 0x1000) == 6 * M + 0x1000


@pytest.mark.parametrize("pa", [1 << 48, 1 << 54, (1 << 48) - 4 * K])
def test_a_map_to_an_address_beyond_48_bits_is_refused(pa: int) -> None:
    # Linux: paddr >> cfg->oas gives -ERANGE.  Bit 54 of a descriptor is UXN, no address.
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 0x1000, 8 * K, pa) != MAP_OK
    assert resolve(mem, where, 0x2000) is None


def test_the_largest_leaves_that_fit_are_used() -> None:
    mem = memory(16)
    where = regime(mem, 48)
    assert map_range(mem, where, G - 2 * M - 4 * K, G + 2 * M + 8 * K, pa=5 * G - 2 * M - 4 * K) == MAP_OK
    sizes = []
    at, end = G - 2 * M - 4 * K, 2 * G + 4 * K
    while at < end:
        found = walker.walk(reference_regime(where.ttbr, 48), reference_memory(mem), at)
        assert found.pa == at + 4 * G
        sizes.append(found.page_size)
        at += found.page_size
    assert sizes == [4 * K, 2 * M, G, 4 * K]


def test_blocks_need_an_output_address_that_is_aligned_too() -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 2 * M, 2 * M, pa=4 * M + 4 * K) == MAP_OK
    assert word_at(mem, entry_pa(mem, where, 2 * M, 2)) & 3 == 3, "a table"
    assert resolve(mem, where, 4 * M - 1) == 6 * M + 4 * K - 1


def test_a_start_level_below_the_block_is_not_stepped_over() -> None:
    # 30 input bits start at level 2: there is no entry that a leaf of 1G could go into.
    mem = memory(16)
    where = regime(mem, 30)
    assert where.start_level == 2
    assert map_range(mem, where, 0, G, pa=G) == MAP_OK
    assert resolve(mem, where, G - 1) == 2 * G - 1


def test_a_map_without_read_and_write_maps_nothing() -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 0x1000, 4 * K, 0, ev.PROT_EXEC) == MAP_OK
    assert resolve(mem, where, 0x1000) is None


@pytest.mark.parametrize(
    ("prot", "bits"),
    [
        # AttrIndx 4:2, AP[1] 6, AP[2] 7, SH 9:8, AF 10, nG 11, PXN 53, UXN 54 (Arm ARM D8.3), typed by hand
        (RW, 0x60_0000_0000_0E43),
        (ev.PROT_READ, 0x60_0000_0000_0EC3),
        (RW | ev.PROT_PRIV, 0x60_0000_0000_0E03),
        (RW | ev.PROT_EXEC, 0x0E43),
        (RW | ev.PROT_CACHE, 0x60_0000_0000_0F47),
        (RW | ev.PROT_DEVICE, 0x60_0000_0000_0E4B),
        (ev.PROT_WRITE, 0x60_0000_0000_0E43),
    ],
)
def test_a_leaf_has_the_bits_that_io_pgtable_gives_it(prot: int, bits: int) -> None:
    mem = memory(16)
    where = regime(mem)
    assert map_range(mem, where, 0x1000, 4 * K, 0, prot) == MAP_OK
    assert word_at(mem, entry_pa(mem, where, 0x1000, 3)) == bits


def test_a_bad_map_in_a_block_of_events_is_named_by_its_index() -> None:
    translator = Translator.empty(linux(39))
    rows = [Row(ev.MAP, 0x1000, prot=RW), Row(ev.READ, 0x1000), Row(ev.MAP, 0x1000, prot=RW)]
    with pytest.raises(ValueError, match=r"event 2: .*already|event 2: .*not mapped yet"):
        translator.feed(events(rows))


# --- Growth: too much work for plain Python

SLOW_IN_PYTHON = pytest.mark.skipif(jit_disabled(), reason="minutes in plain Python")


@SLOW_IN_PYTHON
def test_table_memory_grows_under_one_large_mapping_of_small_pages() -> None:
    # 10 GiB of 4K pages (PA and IOVA differ by a page): 5,120 level-3 tables, over 4,096.
    translator = Translator.empty(linux(39))
    room = translator.mem.words.size
    size = 10 * G
    translator.feed(events([Row(ev.MAP, 0, size, 4 * K, RW)]))
    assert translator.mem.words.size > room
    iovas = np.append(np.arange(0, size, 101 * 4 * K, dtype=np.uint64), np.uint64(size - 1))
    answers = translator.feed(accesses(iovas))
    assert np.array_equal(answers.pa, iovas + np.uint64(4 * K))
    assert translator.feed(accesses([size]))[0].fault == FSR_TF


@SLOW_IN_PYTHON
def test_table_memory_grows_under_many_sparse_pages_and_keeps_what_it_held() -> None:
    translator = Translator.empty(linux(48))
    room = translator.mem.words.size
    # 3,000 pages, none of which shares a level-2 table: 6,000 tables and more.
    sparse = [Row(ev.MAP, n << 30, 4 * K, 0x1000_0000 + n * 4 * K, RW) for n in range(3000)]
    for start in range(0, 3000, 250):
        translator.feed(events(sparse[start : start + 250]))
    assert translator.mem.words.size > room
    answers = translator.feed(accesses([row.iova + 0x123 for row in sparse]))
    assert answers.pa.tolist() == [row.pa + 0x123 for row in sparse]


@SLOW_IN_PYTHON
@pytest.mark.parametrize("gigabytes", [6, 8, 16])
def test_the_bound_on_the_tables_a_mapping_needs_is_one(gigabytes: int) -> None:
    # The IOVA begins one page before a 512G boundary, so that no table is filled from its start.
    mem = memory(9000)
    where = regime(mem, 48)
    before = int(mem.used[0])
    iova, size = 512 * G - 4 * K, gigabytes * G
    assert map_range(mem, where, iova, size, pa=0) == MAP_OK
    used = (int(mem.used[0]) - before) // pagetable.TABLE_WORDS
    assert used <= pagetable.tables_needed(np.uint64(size))


@SLOW_IN_PYTHON
def test_a_mapping_that_just_does_not_fit_makes_table_memory_grow() -> None:
    # 4,087 level-3 tables, 8 of level 2, the rest of level 1 and 0: one table more than 4,096.
    translator = Translator.empty(linux(48))
    size = 4087 * 2 * M
    translator.feed(events([Row(ev.MAP, 0, size, 4 * K, RW)]))
    (answer,) = translator.feed(accesses([size - 1]))
    assert answer.pa == size - 1 + 4 * K
