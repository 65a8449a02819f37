"""Spaces: what a trace says of each context bank's tables, made into regimes with empty tables (H3).

Bank b has the tables of space b.  Start tables and what is mapped below them share one window of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore.memory import SHORT_TABLE_BASE, TABLE_BASE, TABLE_WORDS, Memory, memory, new_tables
from smmucore.mmu import SpaceError, owners
from smmucore.pagetable import MAP_ERRORS, MAP_OK, REGIME, map_range
from smmucore.records import one, rows
from smmucore.regime import (
    AARCH32_LPAE,
    AARCH32_SHORT,
    LINUX_4K,
    aarch32_lpae,
    aarch32_short,
    aarch64_s1,
    aarch64_s2,
    nested,
    start_level,
)
from smmucore.registers import FSR
from traces.events import PROT_READ, PROT_WRITE

#: What stage 2 maps to itself from the base of table memory on, where stage 1 has its tables.
WINDOW = 1 << 30
#: Address bits that the usual table memory needs.
_USUAL_BITS = int(TABLE_BASE).bit_length()
_FIRST_LEVEL_WORDS = 2048  # 4096 short descriptors


@dataclass(frozen=True)
class Upper:
    """The half that TTBR1 translates: its input address bits, and its granule in bytes."""

    ias: int
    granule: int = 4096


@dataclass(frozen=True)
class Space:
    """One space: docs/traces.md says what each field means; what is left out is Linux's choice.

    The values are taken as they are: a manifest has been checked by `traces.formats`.
    """

    format: str = "aarch64-s1"
    ias: int = 48
    granule: int = 4096
    oas: int | None = None
    asid: int | None = None
    vmid: int | None = None
    ttbr1: Upper | None = None
    sep: int | None = None
    start_level: int | None = None
    stage2: int | None = None

    @property
    def page_bits(self) -> int:
        """Log2 of the granule."""
        return self.granule.bit_length() - 1

    @property
    def is_linux(self) -> bool:
        """Whether it is what Linux gives most masters, whose walk has a kernel of its own."""
        usual = self.granule == 4096 and self.oas in (None, 48)
        return self.format == "aarch64-s1" and usual and self.ttbr1 is None and self.sep is None

    @property
    def address_bits(self) -> int:
        """Address bits that its tables may have."""
        if self.format == "aarch32-short":
            return 32
        if self.format == "aarch64-s2":  # a stage 1 above has its tables there too
            return min(self.ias, self.oas or 48)
        return self.oas or 48


def linux(*ias: int) -> tuple[Space, ...]:
    """Return spaces as Linux makes them for most masters: stage 1, 4K, TTBR0 alone.

    >>> linux(39)[0].format
    'aarch64-s1'
    """
    return tuple(Space(ias=bits) for bits in ias)


def table_memory(spaces: Sequence[Space], tables: int = 4096) -> Memory:
    """Return empty memory for the tables of `spaces`: below 4G where one of them can have no higher ones."""
    low = any(space.format == "aarch32-short" or space.address_bits < _USUAL_BITS for space in spaces)
    return memory(tables, int(SHORT_TABLE_BASE if low else TABLE_BASE))


def empty_tables(spaces: Sequence[Space], mem: Memory) -> Any:
    """Allocate the start tables of `spaces` in `mem`.

    What a nested space names as its stage 2 has the window of table memory mapped to itself, with the
    largest leaves that fit: that is the hypervisor's part.

    Returns
    -------
    REGIME (banks,)
    """
    made = rows(REGIME, len(spaces))
    for bank, space in enumerate(spaces):
        made[bank] = _MAKERS[space.format](space, mem)
    beneath = sorted({space.stage2 for space in spaces if space.stage2 is not None})
    base, size = mem.base[0], np.uint64(WINDOW)
    for number in beneath:
        status = map_range(mem, made[number], base, size, base, PROT_READ | PROT_WRITE)
        if status != MAP_OK:
            expected, _, found = MAP_ERRORS[int(status)].partition(", found ")
            raise SpaceError(f"in stage 2 (space {number}), below its tables, {expected}", found)
    for bank, space in enumerate(spaces):
        if space.stage2 is not None:
            made[bank] = nested(made[bank], made[space.stage2])
    return made


def owners_of(spaces: Sequence[Space], regimes: Any) -> Any:
    """Number the owners of the banks' TLB entries (`smmucore.mmu.owners`).

    A bank that names no ASID has its own number; one that names no VMID has that of its stage 2, or its
    number + 1, or the next of every so many that no space has named.
    """
    count = len(spaces)
    named = {space.vmid for space in spaces}
    vmids = []
    for bank, space in enumerate(spaces):
        number = bank + 1
        while number in named:
            number += count
        vmids.append(number if space.vmid is None else space.vmid)
    for bank, space in enumerate(spaces):
        if space.stage2 is not None:
            vmids[bank] = vmids[space.stage2]
    asids = [bank if space.asid is None else space.asid for bank, space in enumerate(spaces)]
    return owners(regimes, asids, vmids)


def fsr_format(regime: Any) -> int:
    """Return FSR.Format of the faults of a bank, in place: 0 short, 1 AArch32 long, 2 AArch64."""
    value = {AARCH32_SHORT: 0, AARCH32_LPAE: 1}.get(int(regime.format), 2)
    return value << FSR["Format"].bit


def _table(mem: Memory, ias: int, level: int, page_bits: int) -> int:
    """Allocate a start table, no smaller than 4K."""
    entries = 1 << (ias - page_bits - (3 - level) * (page_bits - 3))
    return _allocated(mem, max(entries, TABLE_WORDS))


def _allocated(mem: Memory, words: int) -> int:
    made = int(new_tables(mem, words))
    if made == 0:
        raise SpaceError(f"room for a start table of {words} words", "none")
    return made


def _stage1(space: Space, mem: Memory) -> Any:
    bits, upper = space.page_bits, space.ttbr1
    ttbr0 = _table(mem, space.ias, start_level(space.ias, bits), bits)
    if space.is_linux:
        return one(REGIME, format=LINUX_4K, ttbr=ttbr0, ias=space.ias, start_level=start_level(space.ias))[0]
    options: dict[str, Any] = {} if space.sep is None else {"sep": space.sep}
    if upper is not None:
        bits1 = upper.granule.bit_length() - 1
        ttbr1 = _table(mem, upper.ias, start_level(upper.ias, bits1), bits1)
        options |= {"ttbr1": ttbr1, "ias1": upper.ias, "page_bits1": bits1, "epd1": False}
    return aarch64_s1(ttbr0=ttbr0, ias0=space.ias, page_bits=bits, oas=space.oas or 48, **options)


def _stage2(space: Space, mem: Memory) -> Any:
    bits = space.page_bits
    level = start_level(space.ias, bits) if space.start_level is None else space.start_level
    ttbr = _table(mem, space.ias, level, bits)
    return aarch64_s2(ttbr=ttbr, ias=space.ias, level=level, page_bits=bits, oas=space.oas or 48)


def _long(space: Space, mem: Memory) -> Any:
    ttbr0 = _table(mem, space.ias, start_level(space.ias), 12)
    if space.ttbr1 is None:
        return aarch32_lpae(ttbr0=ttbr0, t0sz=32 - space.ias)
    ias1 = space.ttbr1.ias
    ttbr1 = _table(mem, ias1, start_level(ias1), 12)
    return aarch32_lpae(ttbr0=ttbr0, ttbr1=ttbr1, t0sz=32 - space.ias, t1sz=32 - ias1, epd1=False)


def _short(space: Space, mem: Memory) -> Any:
    n = 32 - space.ias
    ttbr0 = _allocated(mem, _FIRST_LEVEL_WORDS >> n)
    if space.ttbr1 is None:
        return aarch32_short(ttbr0=ttbr0, n=n)
    return aarch32_short(ttbr0=ttbr0, ttbr1=_allocated(mem, _FIRST_LEVEL_WORDS), n=n, epd1=False)


_MAKERS = {
    "aarch64-s1": _stage1,
    "aarch64-s2": _stage2,
    "nested": _stage1,
    "aarch32-lpae": _long,
    "aarch32-short": _short,
}
