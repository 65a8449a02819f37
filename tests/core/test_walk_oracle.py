"""The compiled walk against recordings that nothing of this project's code computed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import pytest

from smmucore.pagetable import Memory
from smmucore.records import one
from smmucore.regime import REGIME
from smmucore.registers import FSR_TF
from smmucore.walk import MAY_EXEC, MAY_UNPRIV, MAY_WRITE, leaf_level_of, output_address
from tests.reference import oracle
from tests.reference.oracle import COMMITTED, WalkRow

from .tools import G, K, M, bare_walk, put, window

PAGE_OF_LEVEL = {3: 4 * K, 2: 2 * M, 1: G}


def walk(mem: Memory, ttb: int, iova: int) -> tuple[int, int, Any, int]:
    """(fault, level, leaf, reads) of a walk of 48 input bits."""
    regime = one(REGIME, ttbr=ttb, ias=48, start_level=0)[0]
    fault, level, leaf, reads = bare_walk(mem, regime, iova)
    return int(fault), int(level), leaf, int(reads)


def check_rows(walks: Iterable[WalkRow]) -> dict[str | None, int]:
    """Walk each row in a memory that holds the row's own reads and nothing else; count what agreed."""
    listed = list(walks)
    tables = [ptep for row in listed for ptep, _ in row.reads]
    mem = window(min(tables), max(tables))
    agreed: dict[str | None, int] = {None: 0, "F_TRANSLATION": 0, "F_PERMISSION": 0}
    for row in listed:
        for ptep, pte in row.reads:
            put(mem, ptep, pte)
        fault, level, leaf, reads = walk(mem, row.ttb, row.iova)
        for ptep, _ in row.reads:
            put(mem, ptep, 0)
        where = f"seq {row.seq}"
        assert reads == len(row.reads), where
        assert level == len(row.reads) - 1, where
        if row.fault == "F_TRANSLATION":
            assert fault == FSR_TF, where
            assert leaf == 0, where
        else:
            assert fault == 0, where
            writable = bool(leaf & MAY_WRITE)
            assert leaf_level_of(leaf) == level, where
            if row.fault is None:
                assert output_address(leaf, np.uint64(row.iova)) == row.pa, where
                assert PAGE_OF_LEVEL[level] == row.size, where
                assert (1 | writable << 1) == row.perm, where
            else:
                # The page is valid and read-only: it was a write that faulted.
                assert not writable, where
        agreed[row.fault] += 1
    return agreed


def test_every_recorded_gpu_walk_is_reproduced() -> None:
    agreed = check_rows(oracle.load_walks(COMMITTED / "gpu.oracle.csv.gz"))
    assert sum(agreed.values()) == 20_894
    assert agreed["F_TRANSLATION"] == 8


def test_every_recorded_vfio_walk_is_reproduced() -> None:
    agreed = check_rows(oracle.load_walks(COMMITTED / "vfio.oracle.csv.gz"))
    assert sum(agreed.values()) == 9_138
    assert all(agreed.values()), "each kind of ending is in the recording"


@pytest.mark.nojit
def test_the_first_recorded_walks_are_reproduced() -> None:
    rows = islice(oracle.load_walks(COMMITTED / "vfio.oracle.csv.gz"), 100)
    assert sum(check_rows(rows).values()) == 100


# --- The page tables of a whole machine, dumped


@pytest.fixture(scope="module")
def vfio() -> tuple[Memory, int, dict[int, tuple[int, int, bool]]]:
    """Tables of the VFIO domain, their root, and what was mapped: {iova: (pa, length, writable)}."""
    tables = oracle.load_tables(COMMITTED, "vfio")
    mem = window(min(tables.pages), max(tables.pages))
    base = int(mem.base[0])
    for pa, words in tables.pages.items():
        at = (pa - base) >> 3
        mem.words[at : at + 512] = words
    (root,) = {context.ttb0 for context in tables.contexts if context.sid in (0x20, 0x28)}
    mapped: dict[int, tuple[int, int, bool]] = {}
    # The dump was taken just before the last call.
    for call in oracle.load_maps(COMMITTED / "vfio.maps.csv.gz")[:-1]:
        if call.op == "map":
            assert call.pa is not None
            mapped[call.iova] = (call.pa, call.length, "w" in call.prot)
        else:
            for iova in [at for at in mapped if call.iova <= at < call.iova + call.length]:
                del mapped[iova]
    return mem, root, mapped


def test_every_page_of_the_dumped_tables_is_where_the_program_mapped_it(vfio: Any) -> None:
    mem, root, mapped = vfio
    sizes = {4 * K: 0, 2 * M: 0, G: 0}
    for start, (pa, length, writable) in mapped.items():
        at = start
        while at < start + length:
            fault, level, leaf, reads = walk(mem, root, at)
            assert fault == 0, hex(at)
            size = PAGE_OF_LEVEL[level]
            for inside in (0, size - 1):
                assert output_address(leaf, np.uint64(at + inside)) == pa + at - start + inside, hex(at)
            assert bool(leaf & MAY_WRITE) == writable, hex(at)
            assert reads == level + 1
            sizes[size] += 1
            at += size
    # The README of the recordings says so: 2,112 pages, 8 blocks of 2M, one of 1G.
    assert sizes == {4 * K: 2112, 2 * M: 8, G: 1}


def test_nothing_else_is_mapped_in_the_dumped_tables(vfio: Any) -> None:
    mem, root, mapped = vfio

    starts = sorted(mapped)

    def is_mapped(iova: int) -> bool:
        before = bisect_right(starts, iova) - 1
        return before >= 0 and iova < starts[before] + mapped[starts[before]][1]

    # Both sides of every mapping at every page size, and the rest of each table of level 3 and 2.
    neighbours = {
        (edge + step) & ~0xFFF
        for start, (_, length, _) in mapped.items()
        for edge in (start, start + length - 1)
        for step in (-G, -2 * M, -4 * K, 4 * K, 2 * M, G)
    }
    gigabytes = {start >> 30 for start in mapped}
    neighbours |= {(gigabyte << 30) + n * 2 * M for gigabyte in gigabytes for n in range(512)}
    spans = {start >> 21 for start, (_, length, _) in mapped.items() if length < 2 * M}
    neighbours |= {(span << 21) + n * 4 * K for span in sorted(spans)[:20] for n in range(512)}
    checked = 0
    for iova in sorted(neighbours):
        if 0 <= iova < 1 << 48 and not is_mapped(iova):
            assert walk(mem, root, iova)[0] == FSR_TF, hex(iova)
            checked += 1
    assert checked > 5000


# --- A real Adreno


@pytest.mark.nojit
def test_the_walk_of_a_real_adreno_reads_what_its_driver_printed() -> None:
    printed = oracle.load_adreno_walk()
    tables = [printed.root, *(descriptor & 0xFFFF_FFFF_F000 for descriptor in printed.descriptors[:3])]
    mem = window(min(tables), max(tables))
    for table, index, descriptor in zip(tables, printed.indices, printed.descriptors, strict=True):
        put(mem, table + 8 * index, descriptor)
    fault, level, leaf, reads = walk(mem, printed.root, printed.iova)
    assert (fault, level, reads) == (0, 3, 4)
    assert output_address(leaf, np.uint64(printed.iova)) == printed.leaf["pa"]
    # AP 1 is writable and unprivileged; bits 54:53 are clear.
    assert leaf & MAY_WRITE and leaf & MAY_UNPRIV and leaf & MAY_EXEC
