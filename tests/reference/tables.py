"""Page tables of the 4K granule that a test writes by hand, and what it asks of the machine over them."""

from __future__ import annotations

from .smmu import Shape, Smmu
from .tlb import Owner, Tlb
from .walker import K, Memory

PAGE = 4 * K
SHIFT = {0: 39, 1: 30, 2: 21, 3: 12}  # of the 4K granule

# Leaf attributes: AF, SH, and AP 1 (read and write for all). Bit 1 makes it a page rather than a block.
BLOCK = 0x741
OWN_BLOCK = BLOCK | 1 << 11  # nG: of one ASID
OWN_PAGE = OWN_BLOCK | 2
GLOBAL_PAGE = BLOCK | 2
READ_ONLY = 1 << 7

# Stage 2: AF, SH, S2AP read and write.
S2_BLOCK = 0x7C1
S2_PAGE = S2_BLOCK | 2

BIG = Shape(sets=1, ways=64)
DEPTHS = {0: BIG, 1: BIG, 2: BIG}


class Words:
    """Physical memory that a test writes tables into; pages without a word are outside it.

    `tables_at` is where new tables go, one page after the other. `moved` is PA less the address that
    descriptors and TTBR have: 0, but for the stage-1 tables of a nested regime.
    """

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.memory = Memory(self._read64, lambda pa: None)

    def _read64(self, pa: int) -> int | None:
        if pa in self.words:
            return self.words[pa]
        return 0 if any(word >> 12 == pa >> 12 for word in self.words) else None

    def tree(self, root: int, start_level: int, moved: int = 0) -> Tree:
        return Tree(self, root, start_level, moved)


class Tree:
    """One set of page tables: the root at `root`, then each new table a page further."""

    def __init__(self, words: Words, root: int, start_level: int, moved: int):
        self.words = words.words
        self.root = root
        self.start_level = start_level
        self.moved = moved
        self.last_table = root

    def slot(self, address: int, level: int) -> int:
        """The physical address of the descriptor of that level for `address`; tables above are made."""
        table = self.root
        for above in range(self.start_level, level):
            here = self.moved + table + 8 * (address >> SHIFT[above] & 511)
            if here not in self.words:
                self.last_table += PAGE
                self.words[here] = self.last_table | 3
            table = self.words[here] & ~0xFFF
        return self.moved + table + 8 * (address >> SHIFT[level] & 511)

    def map(self, address: int, output: int, attributes: int, level: int = 3) -> None:
        self.words[self.slot(address, level)] = output | attributes


def reads_of(smmu: Smmu, iova: int, bank: int = 0, **access: bool) -> int:
    return len(smmu.access(0, bank, iova, **access).reads)


def owners(cache: Tlb) -> set[Owner]:
    return {entry.owner for entry in cache.entries()}


def spans(cache: Tlb) -> list[tuple[int, int]]:
    """(first byte, size) of every entry."""
    return sorted((entry.page * entry.size, entry.size) for entry in cache.entries())
