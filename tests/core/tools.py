"""What the tests of the core share: events by the row, tables by the word, and the references beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore import pagetable
from smmucore.mmu import FROM_TLB, FROM_UTLB, FROM_WALK, mmu, owners
from smmucore.pagetable import Memory
from smmucore.records import rows
from smmucore.registers import FSR_AFF, FSR_EF, FSR_PF, FSR_TF
from smmucore.shapes import NONE, Caches, Shape
from smmucore.sim import Events
from smmucore.tablecache import enter_tables
from smmucore.translate import Translator
from smmucore.walk import walk
from tests.reference import walker
from traces import events as ev

K = 1 << 10
M = 1 << 20
G = 1 << 30

RW = ev.PROT_READ | ev.PROT_WRITE

#: The FSR bit of each fault that the reference names.
FSR_OF = {
    None: 0,
    walker.TRANSLATION: FSR_TF,
    walker.ACCESS_FLAG: FSR_AFF,
    walker.PERMISSION: FSR_PF,
    walker.EXTERNAL: FSR_EF,
}
SOURCE_OF = {"utlb": FROM_UTLB, "tlb": FROM_TLB, "walk": FROM_WALK}


@dataclass(frozen=True)
class Row:
    """One event, with what is most often left out left out."""

    op: int
    iova: int = 0
    size: int = 4 * K
    pa: int = 0
    prot: int = 0
    requester: int = 0


def events(wanted: Iterable[Row]) -> Events:
    listed = list(wanted)
    return Events(
        t=np.arange(len(listed), dtype=np.int64),
        op=np.array([row.op for row in listed], np.uint8),
        requester=np.array([row.requester for row in listed], np.int64),
        iova=np.array([row.iova for row in listed], np.uint64),
        size=np.array([row.size for row in listed], np.uint64),
        pa=np.array([row.pa for row in listed], np.uint64),
        prot=np.array([row.prot for row in listed], np.int64),
    )


def accesses(iovas: Any, op: int = ev.READ) -> Events:
    """One access to each of the addresses, all of the same kind."""
    n = len(iovas)
    return Events(
        t=np.arange(n, dtype=np.int64),
        op=np.full(n, op, np.uint8),
        requester=np.zeros(n, np.int64),
        iova=np.asarray(iovas, np.uint64),
        size=np.full(n, 4, np.uint64),
        pa=np.zeros(n, np.uint64),
        prot=np.zeros(n, np.int64),
    )


def reference_memory(mem: Memory) -> walker.Memory:
    """The same words, for the reference; outside the window a read aborts."""
    base, words = int(mem.base[0]), mem.words

    def read64(pa: int) -> int | None:
        index = (pa - base) >> 3
        return int(words[index]) if 0 <= index < words.size else None

    def read32(pa: int) -> int | None:
        word = read64(pa & ~7)
        return None if word is None else word >> 32 if pa & 4 else word & 0xFFFF_FFFF

    return walker.Memory(read64=read64, read32=read32)


def reference_regime(ttbr: int, ias: int) -> walker.Regime:
    return walker.Regime(walker.AARCH64_S1, ttbr0=int(ttbr), t0sz=64 - ias, oas=48)


def regimes_of(translator: Translator) -> dict[int, walker.Regime]:
    """The reference's regime of each bank, with the bank's number as its ASID."""
    return {b: reference_regime(r.ttbr, int(r.ias)) for b, r in enumerate(translator.regimes)}


def access_of(row: Row) -> dict[str, bool]:
    """The reference's words for the kind of an access."""
    return {
        "write": row.op == ev.WRITE,
        "instruction": row.op == ev.EXEC,
        "privileged": bool(row.prot & ev.PROT_PRIV),
    }


def shapes(utlb: Any = (8, 8), tlb: Any = (128, 4), walk_cache: Any = (16, 4)) -> Caches:
    """Caches of these sets and ways."""
    return Caches(Shape(*utlb), Shape(*tlb), (Shape(*walk_cache), NONE, NONE))


#: An SMMU without walk caches, whose walks start at TTBR.
BARE = mmu(Caches(walk=(NONE, NONE, NONE)), owners(rows(pagetable.REGIME, 1)))


def bare_walk(mem: Memory, regime: Any, iova: int, need: int = 0) -> tuple[int, int, Any, int]:
    """(fault, level, leaf, reads) of a whole walk."""
    return walk(BARE, mem, regime, BARE.owners[0], np.uint64(iova), np.uint64(need))


def walked_twice(mem: Memory, regime: Any, iova: int) -> tuple[Any, Any]:
    """A whole walk's (fault, level, leaf, reads), and that of the next one, through the walk cache."""
    cached = mmu(Caches(), owners([regime]))
    found = []
    for _ in range(2):
        found.append(walk(cached, mem, regime, cached.owners[0], np.uint64(iova), np.uint64(0)))
        if found[-1][0] == 0:
            enter_tables(cached)
    return found[0], found[1]


def window(lowest: int, highest: int) -> Memory:
    """Memory from the page of `lowest` to the page of `highest`, lazily committed."""
    base = lowest & ~0xFFF
    words = np.zeros(((highest | 0xFFF) + 1 - base) >> 3, np.uint64)
    return Memory(words, np.array([base], np.uint64), np.array([words.size], np.int64))


def put(mem: Memory, pa: int, word: int) -> None:
    mem.words[(pa - int(mem.base[0])) >> 3] = word


def word_at(mem: Memory, pa: int) -> int:
    return int(mem.words[(pa - int(mem.base[0])) >> 3])


def entry_pa(mem: Memory, regime: Any, iova: int, level: int) -> int:
    """Address of the descriptor that `iova` selects at `level`; every level above must be a table."""
    table = int(regime.ttbr)
    for at in range(int(regime.start_level), level):
        table = word_at(mem, table + 8 * ((iova >> (39 - 9 * at)) & 511)) & 0x0000_FFFF_FFFF_F000
    return table + 8 * ((iova >> (39 - 9 * level)) & 511)


def regime(mem: Memory, ias: int = 39) -> Any:
    """An empty table of `ias` input bits."""
    made = rows(pagetable.REGIME, 1)[0]
    made.ttbr, made.ias, made.start_level = pagetable.new_table(mem), ias, pagetable.start_level(ias)
    return made


def map_range(mem: Memory, where: Any, iova: int, size: int, pa: int, prot: int = RW) -> int:
    return int(pagetable.map_range(mem, where, np.uint64(iova), np.uint64(size), np.uint64(pa), prot))


def unmap_range(mem: Memory, where: Any, iova: int, size: int) -> int:
    return int(pagetable.unmap_range(mem, where, np.uint64(iova), np.uint64(size)))
