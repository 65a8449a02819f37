"""A page-table walker in plain Python integers: slow, independent of the model, and meant to be read.

Rules come from the Arm Architecture Reference Manual: VMSAv8-64 (chapter D8), VMSAv8-32 Long-descriptor and
Short-descriptor formats (chapter G5), and from the SMMUv2 register view of them (TCR, TCR2.SEP, SCTLR.AFE).

What is not modelled: WXN, UWXN, TBI, hardware update of AF and dirty state, LPA2 (52 bits with 4K and 16K),
small start tables (TTST), domains (an SMMU has none), TEX remap beyond its index, SCTLR.PTW, big-endian
tables, and what only a Secure lookup does (NS of the table reads, nG forced by NSTable).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

K = 1024
M = 1024 * K
G = 1024 * M

AARCH64_S1 = "aarch64-s1"
AARCH64_S2 = "aarch64-s2"
AARCH32_LPAE_S1 = "aarch32-lpae-s1"
AARCH32_SHORT = "aarch32-short"
FORMATS = (AARCH64_S1, AARCH64_S2, AARCH32_LPAE_S1, AARCH32_SHORT)

TRANSLATION = "translation"
ADDRESS_SIZE = "address_size"
ACCESS_FLAG = "access_flag"
PERMISSION = "permission"
EXTERNAL = "external"

PAGE_BITS = {4 * K: 12, 16 * K: 14, 64 * K: 16}
BITS_PER_LEVEL = {4 * K: 9, 16 * K: 11, 64 * K: 13}

# Levels where a block is architected. The 64K level-1 block (4T) exists with 52-bit addresses only: see
# _block_exists.
BLOCK_LEVELS = {4 * K: (1, 2), 16 * K: (2,), 64 * K: (2,)}

# Contiguous bit: how many entries one hint covers, by granule and level (ContiguousSize in the pseudocode).
CONTIGUOUS_ENTRIES = {
    4 * K: {1: 16, 2: 16, 3: 16},
    16 * K: {2: 32, 3: 128},
    64 * K: {2: 32, 3: 32},
}


# --- What a walk reads from


@dataclass(frozen=True)
class Memory:
    """Physical memory: a function returns the little-endian word at `pa`, or None for an external abort."""

    read64: Callable[[int], int | None]
    read32: Callable[[int], int | None]


def memory_of_words(words: Mapping[int, int], *, zero_fill: bool = True) -> Memory:
    """Build a memory from 64-bit words by address.

    With `zero_fill` a 4K page that holds any word is there and is otherwise zero; every other page, and
    without `zero_fill` every other word, is outside memory.

    >>> memory = memory_of_words({0x1000: 0x1111_2222_3333_4444})
    >>> hex(memory.read64(0x1000)), hex(memory.read32(0x1004)), memory.read64(0x1008), memory.read64(0x2000)
    ('0x1111222233334444', '0x11112222', 0, None)
    """
    pages = {pa >> 12 for pa in words}

    def read64(pa: int) -> int | None:
        if pa in words:
            return words[pa]
        return 0 if zero_fill and pa >> 12 in pages else None

    def read32(pa: int) -> int | None:
        word = read64(pa & ~7)
        if word is None:
            return None
        return word >> 32 if pa & 4 else word & 0xFFFF_FFFF

    return Memory(read64, read32)


def memory_of_words32(words: Mapping[int, int]) -> Memory:
    """Build a memory from 32-bit words by address; pages that hold any word are otherwise zero.

    >>> memory_of_words32({0x4: 7}).read32(0x4), memory_of_words32({0x4: 7}).read32(0x0)
    (7, 0)
    """
    words64: dict[int, int] = {}
    for pa, word in words.items():
        words64[pa & ~7] = words64.get(pa & ~7, 0) | (word << (32 if pa & 4 else 0))
    return memory_of_words(words64)


# --- The regime: what the registers say


@dataclass(frozen=True)
class Regime:
    """One translation regime of one stage, as TCR, TCR2, TTBR0, TTBR1 and SCTLR describe it."""

    #: "aarch64-s1", "aarch64-s2", "aarch32-lpae-s1" or "aarch32-short".
    format: str
    #: Table base and (AArch64, bits 63:48) ASID; at stage 2, VTTBR. Bits below the table's own size read as
    #: zero.
    ttbr0: int = 0
    ttbr1: int = 0
    #: AArch64: the input is 64 - TnSZ bits. AArch32 LPAE: 32 - TnSZ, TnSZ 0 to 7. Short: T0SZ is TTBCR.N,
    #: T1SZ unused.
    t0sz: int = 16
    t1sz: int = 16
    #: A walk through that TTBR is not made: translation fault (PD0 and PD1 in the short format).
    epd0: bool = False
    epd1: bool = True
    #: Bytes: 4K, 16K or 64K. `granule1` is TG1 where it differs from TG0.
    granule: int = 4 * K
    granule1: int | None = None
    #: Output address size in bits (IPS, PS or PASIZE decoded): 32 to 48, 52 with the 64K granule.
    #: AArch32 formats always output 40 bits.
    oas: int = 48
    #: The bit from which SMMUv2 sign-extends the input (TCR2.SEP): 48 on Adreno. None: the input is 64 bits
    #: already.
    sep: int | None = None
    #: Stage 2 only, one of the two: VTCR.SL0 as written, or the level it stands for. Neither: no
    #: concatenation.
    sl0: int | None = None
    start_level: int | None = None
    #: SCTLR.AFFD: access flag faults are off.
    affd: bool = False
    #: SCTLR.AFE, short format: AP[0] is the access flag.
    afe: bool = True
    #: Apply the Arm ARM's execute rules that the simple permission model leaves out: see _stage1_permissions.
    arm_execute_rules: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format {self.format!r}: expected one of {FORMATS}")
        if self.format in (AARCH32_LPAE_S1, AARCH32_SHORT) and self.granule != 4 * K:
            raise ValueError("AArch32 formats have the 4K granule only")
        if self.format in (AARCH32_LPAE_S1, AARCH32_SHORT) and not 0 <= self.t0sz <= 7:
            raise ValueError(f"t0sz {self.t0sz}: AArch32 has 0 to 7")
        if self.format == AARCH32_LPAE_S1 and not 0 <= self.t1sz <= 7:
            raise ValueError(f"t1sz {self.t1sz}: AArch32 has 0 to 7")
        if self.sl0 is not None and self.start_level is not None:
            raise ValueError("give sl0 or start_level, not both")

    @property
    def stage(self) -> int:
        """The stage this regime is: 1 or 2."""
        return 2 if self.format == AARCH64_S2 else 1


# --- What a walk answers


@dataclass(frozen=True)
class Permissions:
    """What one privilege level may do."""

    readable: bool = False
    writable: bool = False
    executable: bool = False


@dataclass(frozen=True)
class Inherited:
    """Hierarchical attributes: the OR of the table descriptors passed so far (stage 1 only)."""

    ap_table: int = 0  # APTable[1:0]
    xn_table: bool = False  # UXNTable, or XNTable in AArch32
    pxn_table: bool = False
    ns_table: bool = False


@dataclass
class Result:
    """A translation, or a fault and what led to it."""

    #: None when translated; else "translation", "address_size", "access_flag", "permission" or "external".
    fault: str | None = None
    #: Of the leaf; of the fault when faulted.
    level: int = 0
    #: Which stage faulted, and whether it was while translating the address of a stage-1 table
    #: (FSYNR0.S1PTWF).
    stage: int = 1
    s1ptw: bool = False
    #: Nested only: the IPA that stage 2 was asked for last (IPAFAR on a stage-2 fault).
    ipa: int | None = None
    #: Output address: PA, or IPA when this is stage 1 of two.
    pa: int | None = None
    page_size: int = 0
    contiguous: bool = False
    #: Bytes that one TLB entry may cover: `page_size`, or the whole contiguous run.
    run_size: int = 0
    #: Effective AP[2:1] (stage 1), S2AP[1:0] (stage 2), AP[2:0] (short format), after the hierarchical bits.
    ap: int = 0
    privileged: Permissions = Permissions()
    unprivileged: Permissions = Permissions()
    #: Stage 1: AttrIndx[2:0]; short format: TEX[0], C, B, the index when SCTLR.TRE is 1.
    attr_indx: int | None = None
    #: Stage 2: MemAttr[3:0]; short format: TEX[2:0], C, B.
    mem_attr: int | None = None
    #: SH[1:0]; the S bit in the short format.
    sh: int = 0
    ng: bool = False
    ns: bool = False
    #: Every table read in order: (physical address, descriptor); the descriptor is None on an external abort.
    reads: tuple[tuple[int, int | None], ...] = ()
    #: Nested only: the two stages' own answers.
    stage1: Result | None = None
    stage2: Result | None = None

    @property
    def translated(self) -> bool:
        """Whether an output address was found and the access is allowed."""
        return self.fault is None


class WalkFault(Exception):  # noqa: N818  (it is the architecture's word)
    """Raised inside a walk, turned into a Result by the public functions."""

    def __init__(self, kind: str, level: int, stage: int, *, s1ptw: bool = False, ipa: int | None = None):
        super().__init__(kind, level, stage)
        self.kind = kind
        self.level = level
        self.stage = stage
        self.s1ptw = s1ptw
        self.ipa = ipa

    def result(self, reads: list[tuple[int, int | None]]) -> Result:
        return Result(
            fault=self.kind,
            level=self.level,
            stage=self.stage,
            s1ptw=self.s1ptw,
            ipa=self.ipa,
            reads=tuple(reads),
        )


#: fetch(address, bytes, level) -> descriptor; raises WalkFault.
Fetch = Callable[[int, int, int], int]


# --- What a walk may be told, and tells, on its way


@dataclass(frozen=True)
class Table:
    """A table below the start level. Depth counts from the last level up: 0 is level 3 (short: level 2)."""

    address: int  # PA; for stage 1 of two, the IPA
    inherited: Inherited
    depth: int


class Tables:
    """What a walk of one stage asks and tells of its tables: overridden by walk caches, here nobody's.

    Both are for tables below the start level: those have a depth less than `start_depth`.
    """

    def find(self, granule: int, start_depth: int) -> Table | None:
        """Asked once the input is known to be in range: the table to read first, None for the one at TTBR."""
        return None

    def passed(self, granule: int, table: Table) -> None:
        """Told of each table that a descriptor has led to."""


class Ipas:
    """What a nested walk asks and tells of its stage-2 translations: overridden by an IPA cache."""

    def find(self, ipa: int) -> Result | None:
        """Asked before stage 2 is walked: a translation of this IPA."""
        return None

    def tables(self, ipa: int) -> Tables:
        """Asked for before a walk of stage 2: its walk caches."""
        return Tables()

    def walked(self, ipa: int, found: Result) -> Result:
        """Told of what a walk of stage 2 has found, before permissions are asked; may put it otherwise."""
        return found


def table_reach(granule: int, depth: int, *, short: bool = False) -> int:
    """Bytes of input that a table of that depth maps.

    >>> [table_reach(4 * K, depth) // M for depth in (0, 1, 2)], table_reach(4 * K, 0, short=True) // M
    ([2, 1024, 524288], 1)
    """
    return M if short else 1 << _shift(granule, 2 - depth)


# --- Public functions


def walk(
    regime: Regime,
    memory: Memory,
    iova: int,
    *,
    write: bool = False,
    privileged: bool = False,
    instruction: bool = False,
    tables: Tables | None = None,
) -> Result:
    """Translate `iova` by one stage."""
    reads: list[tuple[int, int | None]] = []
    try:
        found = _translate(regime, _physical_fetch(memory, reads, regime.stage), iova, tables or Tables())
        _check_permission(found, write, privileged, instruction)
    except WalkFault as fault:
        return fault.result(reads)
    found.reads = tuple(reads)
    return found


def input_address(regime: Regime, iova: int) -> int:
    """The address of 64 bits that the tables, TLBs and invalidations go by.

    TCR2.SEP: the input is sign-extended from this bit to 64 bits; what is above it does not count.

    >>> hex(input_address(Regime(AARCH64_S1, sep=48), 0x1_8000_0000_0000))
    '0xffff800000000000'
    """
    va = iova & ((1 << 64) - 1)
    if regime.sep is not None:
        va &= (1 << (regime.sep + 1)) - 1
        if _bit(va, regime.sep):
            va |= ((1 << 64) - 1) & ~((1 << (regime.sep + 1)) - 1)
    return va


def walk_nested(
    s1: Regime,
    s2: Regime,
    memory: Memory,
    iova: int,
    *,
    write: bool = False,
    privileged: bool = False,
    instruction: bool = False,
    tables: Tables | None = None,
    ipas: Ipas | None = None,
) -> Result:
    """Translate `iova` by stage 1 and its output by stage 2.

    Every stage-1 table address is an IPA: stage 2 translates it, as a data read whatever the access is,
    before the descriptor is read. Stage 1 is complete, permissions included, before stage 2 sees its output.
    """
    reads: list[tuple[int, int | None]] = []
    stage2_fetch = _physical_fetch(memory, reads, 2)
    stage1_fetch = _physical_fetch(memory, reads, 1)
    ipas = ipas or Ipas()

    def stage2_translate(ipa: int, *, write: bool, instruction: bool, s1ptw: bool) -> Result:
        try:
            found = ipas.find(ipa)
            if found is None:
                found = ipas.walked(ipa, _translate(s2, stage2_fetch, ipa, ipas.tables(ipa)))
            _check_permission(found, write, privileged, instruction)
        except WalkFault as fault:
            raise WalkFault(fault.kind, fault.level, 2, s1ptw=s1ptw, ipa=ipa) from None
        return found

    def fetch(ipa: int, size: int, level: int) -> int:
        table = stage2_translate(ipa, write=False, instruction=False, s1ptw=True)
        assert table.pa is not None
        return stage1_fetch(table.pa, size, level)

    try:
        first = _translate(s1, fetch, iova, tables or Tables())
        _check_permission(first, write, privileged, instruction)
        assert first.pa is not None
        second = stage2_translate(first.pa, write=write, instruction=instruction, s1ptw=False)
    except WalkFault as fault:
        return fault.result(reads)

    page_size = min(first.page_size, second.page_size)
    run_size = min(first.run_size, second.run_size)
    return replace(
        first,
        ipa=first.pa,
        pa=second.pa,
        page_size=page_size,
        run_size=run_size,
        contiguous=run_size > page_size,
        privileged=_both(first.privileged, second.privileged),
        unprivileged=_both(first.unprivileged, second.unprivileged),
        mem_attr=second.mem_attr,
        reads=tuple(reads),
        stage1=first,
        stage2=second,
    )


def permits(result: Result, *, write: bool, privileged: bool, instruction: bool) -> bool:
    """Whether a translated page allows the access. A write is never an instruction fetch."""
    allowed = result.privileged if privileged else result.unprivileged
    if write:
        return allowed.writable
    if instruction:
        return allowed.executable
    return allowed.readable


def start_level_of_sl0(granule: int, sl0: int) -> int:
    """Stage-2 start level that VTCR.SL0 stands for: 2 - SL0 with 4K, 3 - SL0 with 16K and 64K.

    >>> start_level_of_sl0(4096, 1), start_level_of_sl0(65536, 1)
    (1, 2)
    """
    return (2 if granule == 4 * K else 3) - sl0


def stage1_start_level(granule: int, input_bits: int) -> int:
    """Stage-1 start level: the highest level whose table still resolves at least one bit.

    >>> [stage1_start_level(4096, bits) for bits in (30, 31, 39, 40, 48)]
    [2, 1, 1, 0, 0]
    """
    level = 3
    while _shift(granule, level - 1) < input_bits:
        level -= 1
    return level


# --- Pieces all formats share


def _physical_fetch(memory: Memory, reads: list[tuple[int, int | None]], stage: int) -> Fetch:
    def fetch(pa: int, size: int, level: int) -> int:
        word = memory.read64(pa) if size == 8 else memory.read32(pa)
        reads.append((pa, word))
        if word is None:
            raise WalkFault(EXTERNAL, level, stage)
        return word

    return fetch


def _check_permission(found: Result, write: bool, privileged: bool, instruction: bool) -> None:
    if not permits(found, write=write, privileged=privileged, instruction=instruction):
        raise WalkFault(PERMISSION, found.level, found.stage)


def _both(one: Permissions, other: Permissions) -> Permissions:
    return Permissions(
        one.readable and other.readable, one.writable and other.writable, one.executable and other.executable
    )


def _bits(value: int, high: int, low: int) -> int:
    return (value >> low) & ((1 << (high - low + 1)) - 1)


def _bit(value: int, position: int) -> bool:
    return (value >> position) & 1 == 1


def _shift(granule: int, level: int) -> int:
    """Lowest input bit that `level` resolves: the log2 of what one of its entries maps."""
    return PAGE_BITS[granule] + (3 - level) * BITS_PER_LEVEL[granule]


def _translate(regime: Regime, fetch: Fetch, iova: int, tables: Tables) -> Result:
    """Dispatch by format. Raises WalkFault; does not check permissions."""
    if regime.format == AARCH64_S1:
        return _translate_aarch64_s1(regime, fetch, iova, tables)
    if regime.format == AARCH64_S2:
        return _translate_aarch64_s2(regime, fetch, iova, tables)
    if regime.format == AARCH32_LPAE_S1:
        return _translate_lpae_s1(regime, fetch, iova, tables)
    return _translate_short(regime, fetch, iova, tables)


# --- Where a walk starts


def _translate_aarch64_s1(regime: Regime, fetch: Fetch, iova: int, tables: Tables) -> Result:
    va = input_address(regime, iova)

    # VA[55] selects (D8.2); without TBI every bit above the input size must be a copy of it.
    upper = _bit(va, 55)
    if upper:
        ttbr, tsz, epd, granule = regime.ttbr1, regime.t1sz, regime.epd1, regime.granule1 or regime.granule
    else:
        ttbr, tsz, epd, granule = regime.ttbr0, regime.t0sz, regime.epd0, regime.granule
    input_bits = 64 - tsz
    if not 25 <= input_bits <= (52 if granule == 64 * K else 48):
        raise ValueError(f"TnSZ {tsz} with granule {granule}: outside the architecture's range")

    above = va >> input_bits
    all_ones = (1 << tsz) - 1
    if above != (all_ones if upper else 0) or epd:
        raise WalkFault(TRANSLATION, 0, 1)  # reported at level 0, whatever the start level; nothing was read

    level = stage1_start_level(granule, input_bits)
    return _descend(regime, fetch, va, granule, input_bits, level, ttbr, tables)


def _translate_aarch64_s2(regime: Regime, fetch: Fetch, ipa: int, tables: Tables) -> Result:
    granule = regime.granule
    input_bits = 64 - regime.t0sz
    if ipa >> input_bits:
        raise WalkFault(TRANSLATION, 0, 2)  # IPA beyond the input size: level 0, nothing was read

    if regime.sl0 is not None:
        level = start_level_of_sl0(granule, regime.sl0)
    elif regime.start_level is not None:
        level = regime.start_level
    else:
        level = stage1_start_level(granule, input_bits)

    # The start level resolves at least 1 bit, and at most 4 more than a table holds: up to 16 concatenated
    # tables. SL0 and T0SZ that do not fit each other give a level 0 translation fault.
    entries_bits = input_bits - _shift(granule, level)
    if not 1 <= entries_bits <= BITS_PER_LEVEL[granule] + 4:
        raise WalkFault(TRANSLATION, 0, 2)

    return _descend(regime, fetch, ipa, granule, input_bits, level, regime.ttbr0, tables)


def _translate_lpae_s1(regime: Regime, fetch: Fetch, iova: int, tables: Tables) -> Result:
    # An AArch32 input is 32 bits; a wider one faults at level 1, as an address in neither region does.
    if iova >> 32:
        raise WalkFault(TRANSLATION, 1, 1)

    # TTBR0: the low 2^(32-T0SZ). TTBR1: the high 2^(32-T1SZ), or all that TTBR0 leaves when T1SZ is 0.
    # With T0SZ 0 and T1SZ not 0 the high part is TTBR1's.
    low = iova >> (32 - regime.t0sz) == 0
    if regime.t1sz == 0:
        high = not low
    else:
        high = iova >> (32 - regime.t1sz) == (1 << regime.t1sz) - 1
    if high:
        ttbr, tsz, epd = regime.ttbr1, regime.t1sz, regime.epd1
    elif low:
        ttbr, tsz, epd = regime.ttbr0, regime.t0sz, regime.epd0
    else:
        raise WalkFault(TRANSLATION, 1, 1)
    if epd:
        raise WalkFault(TRANSLATION, 1, 1)

    input_bits = 32 - tsz
    level = 1 if input_bits > 30 else 2
    return _descend(regime, fetch, iova, 4 * K, input_bits, level, ttbr, tables)


def _descend(
    regime: Regime,
    fetch: Fetch,
    va: int,
    granule: int,
    input_bits: int,
    start_level: int,
    ttbr: int,
    tables: Tables,
) -> Result:
    """Go down from the table that a walk cache has, or from the start table: only then is TTBR looked at."""
    cached = tables.find(granule, 3 - start_level)
    if cached is not None:
        level = 3 - cached.depth
        high = _shift(granule, level - 1)
        return _walk_levels(regime, fetch, va, granule, high, level, cached.address, cached.inherited, tables)
    table = _table_base(regime, ttbr, granule, input_bits - _shift(granule, start_level), regime.stage)
    return _walk_levels(regime, fetch, va, granule, input_bits, start_level, table, Inherited(), tables)


def _table_base(regime: Regime, ttbr: int, granule: int, entries_bits: int, stage: int) -> int:
    """Take the start table's address from TTBR: aligned to the table's own size."""
    base = ttbr & 0x0000_FFFF_FFFF_FFFF  # 63:48 is the ASID (VMID at stage 2)
    if granule == 64 * K and regime.oas == 52:
        # TTBR[5:2] is address bits 51:48; the table is then aligned to 64 bytes at least.
        base = (base & ~0x3F) | (_bits(ttbr, 5, 2) << 48)
    table_bytes = 8 << entries_bits
    base &= ~(table_bytes - 1)
    if base >> _output_bits(regime):
        raise WalkFault(ADDRESS_SIZE, 0, stage)  # of the base register itself: reported at level 0
    return base


def _output_bits(regime: Regime) -> int:
    return 40 if regime.format == AARCH32_LPAE_S1 else regime.oas


# --- The descent of the 64-bit descriptor formats


def _walk_levels(
    regime: Regime,
    fetch: Fetch,
    va: int,
    granule: int,
    input_bits: int,
    level: int,
    table: int,
    inherited: Inherited,
    tables: Tables,
) -> Result:
    stage = regime.stage
    high = input_bits  # first input bit not resolved here: the index is va[high-1 : shift]
    while True:
        shift = _shift(granule, level)
        index = _bits(va, high - 1, shift)
        descriptor = fetch(table + 8 * index, 8, level)

        if not _bit(descriptor, 0):
            raise WalkFault(TRANSLATION, level, stage)
        is_table_or_page = _bit(descriptor, 1)
        if level == 3:
            if not is_table_or_page:
                raise WalkFault(TRANSLATION, level, stage)  # 0b01 at level 3 is reserved
            break
        if not is_table_or_page:
            if not _block_exists(regime, granule, level):
                raise WalkFault(TRANSLATION, level, stage)
            break

        next_table = _output_address(regime, descriptor, granule, PAGE_BITS[granule])
        if next_table >> _output_bits(regime):
            raise WalkFault(ADDRESS_SIZE, level, stage)
        if stage == 1 and _bits(descriptor, 63, 59) != 0:
            inherited = Inherited(
                ap_table=inherited.ap_table | _bits(descriptor, 62, 61),
                xn_table=inherited.xn_table or _bit(descriptor, 60),
                pxn_table=inherited.pxn_table or _bit(descriptor, 59),
                ns_table=inherited.ns_table or _bit(descriptor, 63),
            )
        table = next_table
        high = shift
        level += 1
        tables.passed(granule, Table(table, inherited, 3 - level))

    # A leaf. The order of checks: output address size, then AF, then (in the caller) permission.
    page = _output_address(regime, descriptor, granule, shift)
    if page >> _output_bits(regime):
        raise WalkFault(ADDRESS_SIZE, level, stage)
    if not _bit(descriptor, 10) and not regime.affd:
        raise WalkFault(ACCESS_FLAG, level, stage)

    page_size = 1 << shift
    entries = CONTIGUOUS_ENTRIES[granule].get(level, 1) if _bit(descriptor, 52) else 1
    answer = Result(
        level=level,
        stage=stage,
        pa=page | (va & (page_size - 1)),
        page_size=page_size,
        contiguous=entries > 1,
        run_size=page_size * entries,
        sh=_bits(descriptor, 9, 8),
    )
    if stage == 2:
        _set_stage2_attributes(answer, regime, descriptor)
    else:
        _set_stage1_attributes(answer, regime, descriptor, inherited)
    return answer


def _block_exists(regime: Regime, granule: int, level: int) -> bool:
    if granule == 64 * K and level == 1:
        return regime.oas == 52
    return level in BLOCK_LEVELS[granule]


def _output_address(regime: Regime, descriptor: int, granule: int, low_bit: int) -> int:
    """Address bits 47:low_bit of a descriptor; bits 51:48 are in 15:12 with 64K and 52-bit output."""
    address = (descriptor & 0x0000_FFFF_FFFF_FFFF) >> low_bit << low_bit
    if granule == 64 * K and regime.oas == 52:
        address |= _bits(descriptor, 15, 12) << 48
    return address


def _set_stage1_attributes(answer: Result, regime: Regime, descriptor: int, inherited: Inherited) -> None:
    # Hierarchical control (D8.4.3): APTable[0] takes unprivileged access away, APTable[1] takes write away.
    unprivileged_access = _bit(descriptor, 6) and not _bit(inherited.ap_table, 0)
    read_only = _bit(descriptor, 7) or _bit(inherited.ap_table, 1)
    xn = _bit(descriptor, 54) or inherited.xn_table
    pxn = _bit(descriptor, 53) or inherited.pxn_table
    answer.ap = (2 if read_only else 0) | (1 if unprivileged_access else 0)
    answer.privileged, answer.unprivileged = _stage1_permissions(
        regime, unprivileged_access, read_only, xn, pxn
    )
    answer.attr_indx = _bits(descriptor, 4, 2)
    answer.ng = _bit(descriptor, 11)
    answer.ns = _bit(descriptor, 5) or inherited.ns_table


def _stage1_permissions(
    regime: Regime, unprivileged_access: bool, read_only: bool, xn: bool, pxn: bool
) -> tuple[Permissions, Permissions]:
    """Read if valid, write unless read-only, unprivileged only with AP[1], execute unless never-execute.

    AArch64: bit 54 (UXN) is the unprivileged execute-never, bit 53 (PXN) the privileged one. AArch32: bit 54
    (XN) is for both, PXN for the privileged besides. `arm_execute_rules` adds the two AArch64 rules that this
    simple model leaves out: unprivileged execute needs no AP[1] (execute-only), and what is writable
    unprivileged is never executable privileged.
    """
    privileged_x = not pxn
    unprivileged_x = unprivileged_access and not xn
    if regime.format == AARCH32_LPAE_S1:
        privileged_x = not pxn and not xn
    elif regime.arm_execute_rules:
        unprivileged_x = not xn
        if unprivileged_access and not read_only:
            privileged_x = False
    return (
        Permissions(readable=True, writable=not read_only, executable=privileged_x),
        Permissions(
            readable=unprivileged_access,
            writable=unprivileged_access and not read_only,
            executable=unprivileged_x,
        ),
    )


def _set_stage2_attributes(answer: Result, regime: Regime, descriptor: int) -> None:
    # S2AP[0] (bit 6) allows reads, S2AP[1] (bit 7) writes; XN is bit 54. Nothing is inherited, no privilege.
    readable = _bit(descriptor, 6)
    executable = not _bit(descriptor, 54)
    if not regime.arm_execute_rules:
        executable = executable and readable
    allowed = Permissions(readable=readable, writable=_bit(descriptor, 7), executable=executable)
    answer.ap = _bits(descriptor, 7, 6)
    answer.privileged = allowed
    answer.unprivileged = allowed
    answer.mem_attr = _bits(descriptor, 5, 2)


# --- The AArch32 short-descriptor format


def _translate_short(regime: Regime, fetch: Fetch, iova: int, tables: Tables) -> Result:
    if iova >> 32:
        raise WalkFault(TRANSLATION, 1, 1)

    # TTBCR.N: TTBR0 when the top N bits are zero, its table then 2^(14-N) bytes; TTBR1's is always 16K.
    n = regime.t0sz
    if iova >> (32 - n) == 0:
        base = regime.ttbr0 & 0xFFFF_FFFF & ~((1 << (14 - n)) - 1)
        disabled = regime.epd0
    else:
        base = regime.ttbr1 & 0xFFFF_FFFF & ~((1 << 14) - 1)
        disabled = regime.epd1
    if disabled:
        raise WalkFault(TRANSLATION, 1, 1)

    cached = tables.find(4 * K, 1)
    if cached is not None:
        return _short_page(regime, fetch, iova, cached)
    first = fetch(base + 4 * (iova >> 20), 4, 1)
    kind = first & 3
    if kind == 0:
        raise WalkFault(TRANSLATION, 1, 1)
    if kind == 1:
        # What a page inherits: NS from bit 3, PXN from bit 2.
        inherited = Inherited(ns_table=_bit(first, 3), pxn_table=_bit(first, 2))
        table = Table(first & 0xFFFF_FC00, inherited, depth=0)
        tables.passed(4 * K, table)
        return _short_page(regime, fetch, iova, table)

    # 0b10 and 0b11: a section or supersection; bit 0 is PXN.
    if _bit(first, 18):
        # Supersection: base 31:24, with PA[35:32] in 23:20 and PA[39:36] in 8:5.
        page_size = 16 * M
        page = (_bits(first, 31, 24) << 24) | (_bits(first, 23, 20) << 32) | (_bits(first, 8, 5) << 36)
    else:
        page_size = M
        page = _bits(first, 31, 20) << 20
    return _short_leaf(
        regime,
        level=1,
        pa=page | (iova & (page_size - 1)),
        page_size=page_size,
        ap=(_bits(first, 15, 15) << 2) | _bits(first, 11, 10),
        tex=_bits(first, 14, 12),
        cb=_bits(first, 3, 2),
        s=_bits(first, 16, 16),
        ng=_bit(first, 17),
        ns=_bit(first, 19),
        xn=_bit(first, 4),
        pxn=_bit(first, 0),
    )


def _short_page(regime: Regime, fetch: Fetch, iova: int, table: Table) -> Result:
    second = fetch(table.address + 4 * _bits(iova, 19, 12), 4, 2)
    kind = second & 3
    if kind == 0:
        raise WalkFault(TRANSLATION, 2, 1)
    if kind == 1:
        # Large page: base 31:16, XN in bit 15, TEX in 14:12.
        page_size = 64 * K
        tex = _bits(second, 14, 12)
        xn = _bit(second, 15)
    else:
        # Small page: base 31:12, XN in bit 0, TEX in 8:6.
        page_size = 4 * K
        tex = _bits(second, 8, 6)
        xn = _bit(second, 0)
    return _short_leaf(
        regime,
        level=2,
        pa=(second & ~(page_size - 1)) | (iova & (page_size - 1)),
        page_size=page_size,
        ap=(_bits(second, 9, 9) << 2) | _bits(second, 5, 4),
        tex=tex,
        cb=_bits(second, 3, 2),
        s=_bits(second, 10, 10),
        ng=_bit(second, 11),
        ns=table.inherited.ns_table,
        xn=xn,
        pxn=table.inherited.pxn_table,
    )


#: AP[2:0] with SCTLR.AFE 0: (privileged read, privileged write, unprivileged read, unprivileged write).
#: 0b100 is reserved: no access.
SHORT_AP = {
    0b000: (False, False, False, False),
    0b001: (True, True, False, False),
    0b010: (True, True, True, False),
    0b011: (True, True, True, True),
    0b100: (False, False, False, False),
    0b101: (True, False, False, False),
    0b110: (True, False, True, False),
    0b111: (True, False, True, False),
}


def _short_leaf(
    regime: Regime,
    *,
    level: int,
    pa: int,
    page_size: int,
    ap: int,
    tex: int,
    cb: int,
    s: int,
    ng: bool,
    ns: bool,
    xn: bool,
    pxn: bool,
) -> Result:
    if regime.afe:
        # SCTLR.AFE 1: AP[0] is the access flag, AP[1] allows unprivileged access, AP[2] is read-only.
        if not _bit(ap, 0) and not regime.affd:
            raise WalkFault(ACCESS_FLAG, level, 1)
        writable = not _bit(ap, 2)
        rights = (True, writable, _bit(ap, 1), _bit(ap, 1) and writable)
    else:
        rights = SHORT_AP[ap]
    privileged_r, privileged_w, unprivileged_r, unprivileged_w = rights
    return Result(
        level=level,
        stage=1,
        pa=pa,
        page_size=page_size,
        run_size=page_size,
        ap=ap,
        privileged=Permissions(privileged_r, privileged_w, privileged_r and not xn and not pxn),
        unprivileged=Permissions(unprivileged_r, unprivileged_w, unprivileged_r and not xn),
        attr_indx=((tex & 1) << 2) | cb,
        mem_attr=(tex << 2) | cb,
        sh=s,
        ng=ng,
        ns=ns,
    )
