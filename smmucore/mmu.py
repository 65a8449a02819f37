"""The caches of an SMMU, and a look-up in its TLBs (H2; docs/translation.md).

A translation has two halves, because a miss may have to wait for a walk slot: `look_up` changes nothing when
it misses, and `walk_and_fill` does the rest when the walk starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from smmucore import tlb
from smmucore.kernel import inlined, kernel
from smmucore.leaf import GLOBAL, NEED_PRIVILEGED, NEED_UNPRIVILEGED, size_of
from smmucore.records import one, rows
from smmucore.regime import AARCH64_S2, NESTED, has_halves_format
from smmucore.registers import FSR_PF
from smmucore.shapes import NONE, Caches, Shape
from smmucore.state import State, array, part, record
from smmucore.tablecache import WALKED, enter_tables
from smmucore.tlb import Cache, cache
from smmucore.walk import fault_level_of, leaf_level_of, output_address, walk
from traces.events import PROT_PRIV

U0 = np.uint64(0)
U1 = np.uint64(1)

ONLY = np.int64(0)  # the one unit of every cache but the micro-TLB; typed, or numba compiles once more
AT_ONCE = np.int64(0)  # an entry whose walk has ended already, as far as is known yet

# Where an answer came from.
MISS = -1
FROM_UTLB = 0
FROM_TLB = 1
FROM_WALK = 2

#: An SMMUv2 has at most as many context banks.
BANKS = 128
#: Bits of an input address, below its copies of a sign, that a page number of 38 bits can hold: where pages
#: are of 4K and up; where all are of 64K and up, and inputs have up to 52 bits.
TOP = 49
TOP_WIDE = 53


class SpaceError(ValueError):
    """Spaces that no SMMU could have together: what was expected, and what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


OWNER = np.dtype(
    [
        ("own", "i8"),  # of the entries of the bank's VMID and ASID
        ("shared", "i8"),  # of the global entries of its VMID
        ("stage2", "i8"),  # of the stage-2 entries of its VMID
        ("vmid", "i8"),
        ("asid", "i8"),
        ("alone", "i8"),  # the bank translates by a stage 2 alone
        ("sep", "i8"),  # the input is sign-extended from this bit; 63: it is not
        ("top", "i8"),  # all input bits from here on are alike, or the address is in no TLB
    ],
    align=True,
)


class Mmu(State):
    """The caches of one SMMU: a micro-TLB for each TBU, and one of each of the others."""

    utlb = part(Cache)
    tlb = part(Cache)
    walk0 = part(Cache)
    walk1 = part(Cache)
    walk2 = part(Cache)
    stage2_walk0 = part(Cache)
    stage2_walk1 = part(Cache)
    stage2_walk2 = part(Cache)
    ipa = part(Cache)
    owners = array(OWNER)  # of each bank
    trail = array(np.uint64, 2)  # (stage, level): tables that the last walk read
    walked = record(WALKED)


def owners(regimes: Any, asids: Sequence[int] | None = None, vmids: Sequence[int] | None = None) -> Any:
    """Number the owners of TLB entries; bank b has ASID b and VMID b + 1 unless told otherwise.

    Parameters
    ----------
    regimes : REGIME (banks,)
    asids, vmids : sequence of int, optional
        Of each bank.

    Returns
    -------
    OWNER (banks,)

    Raises
    ------
    SpaceError
        More banks than an SMMU has, or page numbers that an entry cannot tell apart.
    """
    count = len(regimes)
    if count > BANKS:
        raise SpaceError(f"at most {BANKS} context banks", str(count))
    asids = list(range(count)) if asids is None else list(asids)
    vmids = list(range(1, count + 1)) if vmids is None else list(vmids)
    numbers: dict[tuple[Any, ...], int] = {}
    made = rows(OWNER, count)
    tops = _tops(regimes, vmids)
    for row, regime, asid, vmid in zip(made, regimes, asids, vmids, strict=True):
        row.vmid, row.asid, row.alone = vmid, asid, regime.format == AARCH64_S2
        row.stage2 = numbers.setdefault((vmid, "stage 2"), len(numbers))
        if row.alone:
            row.own = row.shared = row.stage2
        else:
            row.shared = numbers.setdefault((vmid, "global"), len(numbers))
            row.own = numbers.setdefault((vmid, asid), len(numbers))
        row.sep = int(regime.sep) if has_halves_format(int(regime.format)) else 63
        row.top = tops[vmid, bool(row.alone)]
    return made


def _tops(regimes: Any, vmids: Sequence[int]) -> dict[tuple[int, bool], int]:
    """Return the OWNER `top` of each VMID's stage-1 inputs (False) and IPAs (True)."""
    inputs: dict[tuple[int, bool], list[tuple[int, int]]] = {}  # log2 of the granule over 4K, input bits
    for regime, vmid in zip(regimes, vmids, strict=True):
        stage1, stage2 = (inputs.setdefault((vmid, which), []) for which in (False, True))
        if regime.format == AARCH64_S2:
            stage2.append((int(regime.granule), int(regime.ias)))
            continue
        stage1.append((int(regime.granule), int(regime.ias)))
        if has_halves_format(int(regime.format)) and not regime.epd1:
            stage1.append((int(regime.granule1), int(regime.ias1)))
        if regime.format == NESTED:
            stage1.append((int(regime.s2_granule), 0))  # an entry is as large as the smaller of two pages
            stage2.append((int(regime.s2_granule), int(regime.s2_ias)))
    tops = {}
    for space, found in inputs.items():
        wide = any(bits > TOP for _, bits in found)
        if wide and any(granule < 4 for granule, _ in found):
            raise SpaceError(f"only 64K granules in a VMID with more than {TOP} input bits", "a smaller one")
        tops[space] = TOP_WIDE if wide else TOP
    return tops


def mmu(caches: Caches, owned: Any) -> Mmu:
    """Return empty caches for banks with these OWNER rows."""
    absent = cache(NONE)

    def present(shape: Shape) -> Cache:
        return absent if shape == NONE else cache(shape)

    return Mmu(
        utlb=cache(caches.utlb, units=caches.tbus),
        tlb=cache(caches.tlb),
        **{f"walk{d}": present(shape) for d, shape in enumerate(caches.walk)},
        **{f"stage2_walk{d}": present(shape) for d, shape in enumerate(caches.stage2_walk)},
        ipa=present(caches.ipa),
        owners=owned,
        trail=np.zeros((2, 4), np.uint64),
        walked=one(WALKED, common=(1 << 64) - 1, fills=1)[0],
    )


@inlined
def rights_needed(op, prot):
    """Return the rights an access needs of its page."""
    return (NEED_UNPRIVILEGED if prot & PROT_PRIV == 0 else NEED_PRIVILEGED) << np.uint64(op)


@inlined
def input_address(owner, iova):
    """Return the address that a bank's TLB entries are looked up by: sign-extended as TCR2.SEP says."""
    if owner.sep == 63:
        return iova
    above = np.uint64(63 - owner.sep)
    return np.uint64(np.int64(iova << above) >> np.int64(above))


@inlined
def is_told_apart(owner, va):
    """Tell whether a page number holds all of the input address: else it cannot be in a TLB."""
    high = np.int64(va) >> owner.top
    return high == 0 or high == -1


@kernel
def search(cache, unit, owner, va):
    """Look for `va` among an owner's and its VMID's global entries, smallest page first.

    Returns a slot, or -1.
    """
    rest = cache.units[unit].seen
    while rest != 0:
        size = rest & tlb.CLASS_MASK
        slot = tlb.find(cache, unit, tlb.page_key(owner.own, size, va))
        if slot >= 0:
            return slot
        if cache.info.globals != 0:
            slot = tlb.find(cache, unit, tlb.page_key(owner.shared, size, va))
            if slot >= 0:
                return slot
        rest >>= tlb.CLASS_BITS
    return np.int64(-1)


@inlined
def look_up(mmu, tbu, bank, iova):
    """Look in the micro-TLB, then the TLB.

    Returns
    -------
    source : int64
        FROM_UTLB, FROM_TLB (the micro-TLB is filled), or MISS (nothing changed).
    leaf : uint64
        The translation, or 0.
    ready : int64
        When the walk that filled the entry ends.
    """
    owner = mmu.owners[bank]
    va = input_address(owner, iova)
    if not is_told_apart(owner, va):
        return MISS, U0, np.int64(0)
    micro = mmu.utlb
    slot = search(micro, tbu, owner, va)
    if slot >= 0:
        return FROM_UTLB, micro.values[tbu, slot], micro.ready[tbu, slot]
    main = mmu.tlb
    slot = search(main, ONLY, owner, va)
    if slot < 0:
        return MISS, U0, np.int64(0)
    leaf = main.values[0, slot]
    when = main.ready[0, slot]
    fill(micro, tbu, owner, va, leaf, when)
    return FROM_TLB, leaf, when


@kernel
def fill(cache, unit, owner, va, leaf, ready):
    """Enter a translation; return its slot."""
    size = size_of(leaf) - tlb.CLASS_BASE
    whose = owner.own
    if leaf & GLOBAL != U0:
        whose = owner.shared
        cache.info.globals = 1
    tlb.note_class(cache, unit, size)
    slot = tlb.insert(cache, unit, tlb.page_key(whose, size, va))
    cache.values[unit, slot] = leaf
    cache.ready[unit, slot] = ready
    return slot


@inlined
def check_rights(leaf, need):
    """Return 0 if `leaf` allows what is needed, else the permission fault's FSR bit."""
    return 0 if leaf & need == need else FSR_PF


@inlined
def walk_and_fill(mmu, mem, regime, tbu, bank, iova, need):
    """Walk, from a walk cache where it can, and fill the caches on success.

    A walk that ends in a permission fault is a faulting walk: it fills nothing (H2).

    Returns
    -------
    fault : int64
        0 or an FSR bit.
    level : int64
        Level reached.
    leaf : uint64
        The translation, or 0.
    reads : int64
        Descriptors read from memory.
    """
    owner = mmu.owners[bank]
    fault, level, leaf, reads = walk(mmu, mem, regime, owner, iova, need)
    if fault == 0:
        fault = check_rights(leaf, need)
        if fault != 0:
            level = fault_level_of(leaf, need)
    if fault == 0:
        enter_tables(mmu)
        mmu.walked.common &= leaf
        mmu.walked.fills += 1
        va = input_address(owner, iova)
        mmu.walked.tlb_slot = fill(mmu.tlb, ONLY, owner, va, leaf, AT_ONCE)
        mmu.walked.utlb_slot = fill(mmu.utlb, tbu, owner, va, leaf, AT_ONCE)
    return fault, level, leaf, reads


@inlined
def filled_at(mmu, tbu, done):
    """Say when the walk ends that has just filled both TLBs."""
    mmu.tlb.ready[0, mmu.walked.tlb_slot] = done
    mmu.utlb.ready[tbu, mmu.walked.utlb_slot] = done


@kernel
def translate(mmu, mem, regime, tbu, bank, iova, need):
    """Translate one access with no regard to time.

    Returns
    -------
    fault : int64
        0 or an FSR bit.
    level : int64
        Level of the leaf, or of the walk that faulted.
    pa : uint64
        Output address; 0 on a fault.
    source : int64
        FROM_UTLB, FROM_TLB or FROM_WALK.
    reads : int64
        Descriptors read.
    """
    source, leaf, _ = look_up(mmu, tbu, bank, iova)
    if source == MISS:
        source = FROM_WALK
        fault, level, leaf, reads = walk_and_fill(mmu, mem, regime, tbu, bank, iova, need)
    else:
        fault = check_rights(leaf, need)
        level = leaf_level_of(leaf) if fault == 0 else fault_level_of(leaf, need)
        reads = np.int64(0)
    pa = U0 if fault else output_address(leaf, iova)
    return fault, level, pa, source, reads
