"""MAP and UNMAP of AArch32 short descriptors: as Linux, as a dict, as the reference walker (H3)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from smmucore.memory import (
    MAP_EXISTS,
    MAP_MISALIGNED,
    MAP_NO_MEMORY,
    MAP_OK,
    MAP_OUT_OF_RANGE,
    UNMAP_PARTIAL,
    memory,
    new_tables,
)
from smmucore.pagetable import copy_leaf, find_leaf, words_needed
from smmucore.regime import aarch32_short
from smmucore.spaces import linux
from smmucore.translate import Translator
from tests.reference import walker
from traces import events as ev

from .short_tables import FIRST_WORDS, LOW, SIZES, both, empty, get32
from .tables import KINDS, Tally, compare
from .tools import RW, G, K, M, Row, events, map_range, reference_memory, unmap_range


@dataclass
class Leaves:
    """Linux's rules on a dict: IOVA of a leaf -> its size, PA and rights."""

    held: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def inside(self, iova: int, size: int) -> list[int]:
        return [at for at, (covers, _, _) in self.held.items() if at < iova + size and iova < at + covers]

    def map(self, iova: int, size: int, pa: int, prot: int) -> int:
        end = iova + size
        while iova < end:
            leaf = max(s for s in SIZES if (iova | pa) % s == 0 and s <= end - iova)
            in_the_way = self.inside(iova, leaf)
            # A section replaces a table and all its pages.
            if any(leaf < M or self.held[at][0] >= M for at in in_the_way):
                return MAP_EXISTS
            for at in in_the_way:
                del self.held[at]
            self.held[iova] = leaf, pa, prot
            iova, pa = iova + leaf, pa + leaf
        return MAP_OK

    def unmap(self, iova: int, size: int) -> int:
        leaves = self.inside(iova, size)
        if any(at < iova or at + self.held[at][0] > iova + size for at in leaves):
            return UNMAP_PARTIAL
        for at in leaves:
            del self.held[at]
        return MAP_OK

    def at(self, iova: int) -> tuple[int, int, int, int] | None:
        for at in self.inside(iova, 1):
            return at, *self.held[at]
        return None


RIGHTS = [
    right | execute | private | kind
    for right in (ev.PROT_READ, RW, ev.PROT_WRITE)
    for execute in (0, ev.PROT_EXEC)
    for private in (0, ev.PROT_PRIV)
    for kind in (0, ev.PROT_CACHE, ev.PROT_DEVICE)
]


def allowed(prot: int, op: int, private: int) -> bool:
    """READ is implied; without PRIV everyone may."""
    if prot & ev.PROT_PRIV and not private:
        return False
    return op == ev.READ or bool(prot & (ev.PROT_WRITE if op == ev.WRITE else ev.PROT_EXEC))


def check_changes(seed: int, changes: int, **words: Any) -> tuple[Tally, set[tuple[str, int]]]:
    """Map and unmap at random in 48 MiB at either end; the dict, the reference and the core agree."""
    rng = random.Random(seed)
    mem, regime, reference = empty(**words)
    model, tally, answers = Leaves(), Tally(), set()
    bases = [0, 4 * G - 48 * M] if words.get("n") else [0, 2 * G]
    for _ in range(changes):
        unit = rng.choice(SIZES)
        iova = rng.choice(bases) + rng.randrange(48 * M // unit) * unit
        size = min(unit * rng.choice((1, 1, 2, 17)), -iova % (48 * M) or 48 * M)
        size = min(size, 48 * M - (iova - max(base for base in bases if base <= iova)))
        if rng.random() < 0.6:
            high = rng.getrandbits(8) << 32 if unit == 16 * M and rng.random() < 0.5 else 0
            pa = high | rng.randrange((4 * G - 48 * M) // unit) * unit
            prot = rng.choice(RIGHTS)
            status, want = map_range(mem, regime, iova, size, pa, prot), model.map(iova, size, pa, prot)
            answers.add(("map", status))
        else:
            status, want = unmap_range(mem, regime, iova, size), model.unmap(iova, size)
            answers.add(("unmap", status))
        assert status == want, f"{iova:#x} {size:#x}"
        edges = [iova, iova + size - 1, max(iova - 1, 0), min(iova + size, 4 * G - 1)]
        edges += [
            at + rng.randrange(model.held[at][0])
            for at in rng.sample(sorted(model.held), 1 if model.held else 0)
        ]
        for address in (*edges, rng.choice(bases) + rng.randrange(48 * M)):
            kind = rng.choice(KINDS)
            compare(mem, regime, reference, address, kind, tally)
            found = walker.walk(
                reference,
                reference_memory(mem),
                address,
                write=kind[0] == ev.WRITE,
                instruction=kind[0] == ev.EXEC,
                privileged=bool(kind[1]),
            )
            leaf = model.at(address)
            entry, level = find_leaf(mem, regime, np.uint64(address))
            assert (int(entry) >= 0) == (leaf is not None)
            assert entry < 0 or int(level) == (1 if leaf is not None and leaf[1] >= M else 2)
            if leaf is None:
                assert found.fault == walker.TRANSLATION
            elif not allowed(leaf[3], *kind):
                assert found.fault == walker.PERMISSION
            else:
                assert (found.pa, found.page_size) == (leaf[2] + address - leaf[0], leaf[1])
    return tally, answers


@pytest.mark.parametrize(
    "words", [{}, {"afe": False}, {"n": 3, "epd1": False}], ids=["linux", "no AFE", "split"]
)
def test_maps_and_unmaps_do_what_a_dict_of_leaves_does(words: dict[str, Any]) -> None:
    tally, answers = check_changes(5, 600, **words)
    assert answers == {
        ("map", MAP_OK),
        ("map", MAP_EXISTS),
        ("unmap", MAP_OK),
        ("unmap", UNMAP_PARTIAL),
    }
    assert set(tally.sizes) == set(SIZES)
    assert tally.endings[walker.PERMISSION, 1]
    assert tally.endings[walker.PERMISSION, 2]


@pytest.mark.nojit
def test_a_few_maps_and_unmaps_do_what_a_dict_of_leaves_does() -> None:
    assert check_changes(6, 60)[0].walks > 300


@pytest.mark.nojit
def test_a_leaf_has_the_bits_that_io_pgtable_gives_it() -> None:
    mem, regime, _ = empty()
    cases = {
        # A small page: XN 0, B 2, C 3, AP[1:0] 5:4, TEX 8:6, AP[2] 9, S 10, nG 11.
        (4 * K, RW): 0xC73,
        (4 * K, RW | ev.PROT_EXEC): 0xC72,
        (4 * K, ev.PROT_READ): 0xE73,
        (4 * K, RW | ev.PROT_PRIV): 0xC53,
        (4 * K, RW | ev.PROT_CACHE): 0xC7F,
        (4 * K, RW | ev.PROT_DEVICE): 0xC37,
        # A large page: TEX 14:12, XN 15.
        (64 * K, RW): 0x9C31,
        (64 * K, ev.PROT_READ | ev.PROT_EXEC | ev.PROT_CACHE): 0x1E3D,
        # A section: XN 4, AP[1:0] 11:10, TEX 14:12, AP[2] 15, S 16, nG 17; a supersection: 18.
        (M, RW): 0x3_1C12,
        (M, ev.PROT_READ | ev.PROT_DEVICE | ev.PROT_EXEC): 0x3_8C06,
        (16 * M, RW): 0x7_1C12,
    }
    for n, ((size, prot), want) in enumerate(cases.items(), start=1):
        iova = n * 16 * M
        assert map_range(mem, regime, iova, size, 0x4500_0000, prot) == MAP_OK
        at = int(regime.ttbr) + 4 * (iova >> 20)
        if size < M:
            assert get32(mem, at) & 0x3FF == 1
            at = get32(mem, at) & ~0x3FF
        copies = 16 if size in (64 * K, 16 * M) else 1
        assert [get32(mem, at + 4 * k) for k in range(copies)] == [0x4500_0000 | want] * copies, hex(want)
        assert get32(mem, at + 4 * copies) == 0


@pytest.mark.nojit
def test_a_supersection_holds_40_bits_of_output() -> None:
    mem, regime, reference = empty()
    assert map_range(mem, regime, 0x2000_0000, 16 * M, 0xA9_8700_0000) == MAP_OK
    # PA[39:36] in bits 8:5, PA[35:32] in bits 23:20.
    assert get32(mem, int(regime.ttbr) + 4 * 0x200) == 0x8700_0000 | 0xA << 5 | 9 << 20 | 0x7_1C12
    compare(mem, regime, reference, 0x20FF_FFFF, (ev.WRITE, 0), Tally())


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("iova", "size", "pa", "want"),
    [
        (0x800, 4 * K, 0, MAP_MISALIGNED),
        (0, 2 * K, 0, MAP_MISALIGNED),
        (0, 4 * K, 16, MAP_MISALIGNED),
        (0, 0, 0, MAP_MISALIGNED),
        (4 * G - 4 * K, 8 * K, 0, MAP_OUT_OF_RANGE),
        (4 * G, 4 * K, 0, MAP_OUT_OF_RANGE),
        (0, 4 * K, 4 * G, MAP_OUT_OF_RANGE),
        (0, M, 4 * G, MAP_OUT_OF_RANGE),
        (M, 16 * M, 4 * G, MAP_OUT_OF_RANGE),
        (0, 17 * M, 4 * G, MAP_OUT_OF_RANGE),
        (0, 15 * M, 4 * G + M, MAP_OUT_OF_RANGE),
        (0, 8 * K, 4 * G - 4 * K, MAP_OUT_OF_RANGE),
        (0, 32 * M, 4 * G - M, MAP_OUT_OF_RANGE),
        (15 * M, 17 * M, 4 * G - M, MAP_OK),
        (0, 4 * K, 4 * G - 4 * K, MAP_OK),
        (4 * G - 16 * M, 16 * M, (1 << 40) - 16 * M, MAP_OK),
        (0, 16 * M, 1 << 40, MAP_OUT_OF_RANGE),
        (0, 32 * M, (1 << 40) - 16 * M, MAP_OUT_OF_RANGE),
    ],
)
def test_a_map_is_in_whole_pages_and_in_reach(iova: int, size: int, pa: int, want: int) -> None:
    mem, regime, reference = empty(64)
    assert map_range(mem, regime, iova, size, pa) == want
    if want != MAP_OK:
        assert not mem.words.any()
        return
    for at in (0, size // 2, size - 1):
        assert walker.walk(reference, reference_memory(mem), iova + at).pa == pa + at


@pytest.mark.nojit
def test_a_range_is_in_one_half() -> None:
    mem, regime, _ = empty(64, n=1, epd1=False)
    for change in (map_range, unmap_range):
        more = (0,) if change is map_range else ()
        assert change(mem, regime, 2 * G - M, 2 * M, *more) == MAP_OUT_OF_RANGE
        assert change(mem, regime, 2 * G - M, M, *more) == MAP_OK
        assert change(mem, regime, 2 * G, M, *more) == MAP_OK
    mem, regime, _ = empty(64, n=1)
    assert map_range(mem, regime, 2 * G, M, 0) == MAP_OUT_OF_RANGE, "PD1"


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 4 * K), (0, 4 * K)),
        ((0, 64 * K), (60 * K, 4 * K)),
        ((60 * K, 4 * K), (0, 64 * K)),
        ((0, M), (M - 4 * K, 4 * K)),
        ((0, M), (0, M)),
        ((15 * M, M), (0, 16 * M)),
        ((0, 16 * M), (15 * M, M)),
        ((0, 16 * M), (3 * M, 64 * K)),
    ],
)
def test_a_valid_leaf_is_never_overwritten(first: tuple[int, int], second: tuple[int, int]) -> None:
    mem, regime, _ = empty(64)
    assert map_range(mem, regime, *first, pa=G) == MAP_OK
    before = mem.words.copy()
    assert map_range(mem, regime, *second, pa=2 * G) == MAP_EXISTS
    assert np.array_equal(mem.words, before)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("size", "part"), [(64 * K, 4 * K), (M, 4 * K), (M, 64 * K), (16 * M, 4 * K), (16 * M, M)]
)
def test_a_leaf_is_not_unmapped_in_part_and_nothing_is_cleared(size: int, part: int) -> None:
    mem, regime, _ = empty(64)
    at = 32 * M
    for iova, covers in ((at - 4 * K, 4 * K), (at, size), (at + size, 4 * K)):
        assert map_range(mem, regime, iova, covers, G + iova) == MAP_OK
    before = mem.words.copy()
    for iova, left in ((at, part), (at + size - part, part), (at - 4 * K, 4 * K + part), (at + part, size)):
        assert unmap_range(mem, regime, iova, left) == UNMAP_PARTIAL
        assert np.array_equal(mem.words, before)
    assert unmap_range(mem, regime, at - 4 * K, size + 8 * K) == MAP_OK
    for iova in (at - 4 * K, at, at + size - 1, at + size):
        assert find_leaf(mem, regime, np.uint64(iova))[0] == -1


@pytest.mark.nojit
def test_a_map_without_read_and_write_maps_nothing() -> None:
    mem, regime, _ = empty(64)
    assert map_range(mem, regime, 0, M, 0, ev.PROT_EXEC) == MAP_OK
    assert not mem.words.any()
    assert map_range(mem, regime, 0, M, 4 * G, ev.PROT_EXEC) == MAP_OUT_OF_RANGE


@pytest.mark.nojit
def test_tables_are_below_4g_and_memory_ends() -> None:
    high = memory(16)
    regime = aarch32_short(ttbr0=int(new_tables(high, FIRST_WORDS)))
    assert map_range(high, regime, 0, 4 * K, 0) == MAP_NO_MEMORY, "TTBR0 holds the low 32 bits only"
    across = memory(16, 4 * G - 16 * K)
    regime = aarch32_short(ttbr0=int(new_tables(across, FIRST_WORDS)))
    assert map_range(across, regime, 0, M, 0) == MAP_OK
    before = across.words.copy()
    assert map_range(across, regime, 2 * M, 4 * K, 0) == MAP_NO_MEMORY, "the second-level table is at 4G"
    assert np.array_equal(across.words, before)
    small = memory(5, LOW)
    regime = aarch32_short(ttbr0=int(new_tables(small, FIRST_WORDS)))
    answers = [map_range(small, regime, n * M, 4 * K, 0) for n in range(5)]
    assert answers == [MAP_OK] * 4 + [MAP_NO_MEMORY]


@pytest.mark.nojit
@pytest.mark.parametrize(("iova", "size"), [(0, 4 * K), (M - 4 * K, 8 * K), (4 * K, 3 * M), (0, 40 * M)])
def test_the_room_that_a_map_asks_for_is_enough(iova: int, size: int) -> None:
    mem, regime, _ = empty(64)
    mem.used[0] += 1
    before = int(mem.used[0])
    assert map_range(mem, regime, iova, size, 8 * K) == MAP_OK
    assert int(mem.used[0]) - before <= words_needed(regime, np.uint64(iova), np.uint64(size))


@pytest.mark.nojit
@pytest.mark.parametrize("size", SIZES)
def test_a_leaf_is_copied_whole_into_other_tables(size: int) -> None:
    mem, source, _ = empty(64)
    target, reference = both(ttbr0=int(new_tables(mem, FIRST_WORDS)))
    pa = 0x45_0000_0000 if size == 16 * M else 0x4500_0000
    assert map_range(mem, source, 32 * M, size, pa, ev.PROT_READ) == MAP_OK
    inside = np.uint64(32 * M + size // 2 + 7)
    assert copy_leaf(mem, source, target, inside) == MAP_OK
    for at in (0, size - 1):
        found = walker.walk(reference, reference_memory(mem), 32 * M + at)
        assert (found.pa, found.page_size) == (pa + at, size)
        assert (
            walker.walk(reference, reference_memory(mem), 32 * M + at, write=True).fault == walker.PERMISSION
        )
    assert walker.walk(reference, reference_memory(mem), 32 * M + size).fault == walker.TRANSLATION
    assert copy_leaf(mem, source, target, inside) == MAP_EXISTS


# --- From MAP events to TLB entries (H2)


@pytest.mark.nojit
def test_maps_of_a_trace_build_short_tables_and_one_walk_serves_a_whole_leaf() -> None:
    mem, regime, _ = empty(64)
    translator = Translator.empty(linux(32))
    translator.mem = mem
    for name in regime.dtype.names:
        translator.regimes[0][name] = regime[name]
    maps = [Row(ev.MAP, 32 * M * (n + 1), size, 64 * M, RW) for n, size in enumerate(SIZES)]
    reads = [Row(ev.READ, row.iova + at) for row in maps for at in (0, row.size // 2 + 5, row.size - 1)]
    answers = translator.feed(events(maps + reads))[len(maps) :]
    assert [int(pa) for pa in answers.pa] == [64 * M + row.iova % (32 * M) for row in reads]
    assert translator.counts["walks"] == 4
    assert translator.counts["walk_reads"] == 2 + 2 + 1 + 1
    # Another page of a second-level table that the walk cache has: one read.
    translator.feed(events([Row(ev.MAP, 32 * M + 12 * K, 4 * K, 0, RW), Row(ev.READ, 32 * M + 12 * K)]))
    assert translator.counts["walk_reads"] == 7
    gone = [Row(ev.UNMAP, row.iova, row.size) for row in maps]
    gone += [Row(ev.TLBI, row.iova, row.size, 0, ev.TLBI_VA) for row in maps]
    assert all(answer.fault for answer in translator.feed(events(gone + reads))[len(gone) :])
