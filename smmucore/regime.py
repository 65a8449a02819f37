"""What a context bank's registers say of its tables, as one record (H3).

A regime that is all zeros but for `ttbr`, `ias` and `start_level` is what Linux gives most masters:
AArch64 stage 1, 4K granule, TTBR0 alone, 48 output bits.  Its walk has a kernel of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore.descriptors import (
    LOW_48,
    NIBBLE,
    U0,
    U1,
    U3,
    U48,
    WIDE_OAS,
    WIDE_PAGE_BITS,
    entry_shift,
    is_wide,
)
from smmucore.kernel import inlined
from smmucore.records import one

# Formats.
LINUX_4K = 0  # AArch64 stage 1, 4K, TTBR0 alone
AARCH64_S1 = 1
AARCH64_S2 = 2
NESTED = 3  # AArch64 stage 1, whose output and whose tables stage 2 translates
AARCH32_LPAE = 4
AARCH32_SHORT = 5

# What the execute-never bits mean.
XN_AS_ONE = 0  # bit 54 for every privilege: io-pgtable sets it with its twin
XN_APART = 1  # 54 unprivileged, 53 privileged
XN_ARM = 2  # as 1; what is writable unprivileged is never executable privileged; execute-only exists
XN_AARCH32 = 3  # 54 for both, 53 privileged besides

REGIME = np.dtype(
    [
        ("ttbr", "u8"),  # PA of the start-level table (TTBR0; VTTBR at stage 2)
        ("ias", "i8"),  # input address bits of the lower half
        ("start_level", "i8"),
        ("format", "i8"),
        ("granule", "i8"),  # log2 of the granule over 4K: 0, 2, 4
        ("oas", "i8"),  # output address bits
        ("epd0", "i8"),  # no walk through TTBR0
        ("sep", "i8"),  # the input is sign-extended from this bit (TCR2.SEP); 63: it is not
        ("ttbr1", "u8"),  # the same for the upper half
        ("ias1", "i8"),
        ("start_level1", "i8"),
        ("granule1", "i8"),
        ("epd1", "i8"),
        ("execute", "i8"),  # XN_*
        ("affd", "i8"),  # access flag faults are off
        ("afe", "i8"),  # short descriptors: AP[0] is the access flag (SCTLR.AFE)
        ("runs", "i8"),  # a TLB entry covers a whole contiguous run
        ("s2_ttbr", "u8"),  # stage 2 of a nested regime
        ("s2_ias", "i8"),
        ("s2_start_level", "i8"),
        ("s2_granule", "i8"),
        ("s2_oas", "i8"),
        ("s2_affd", "i8"),
        ("s2_execute", "i8"),
    ],
    align=True,
)

PAGE_BITS = (12, 14, 16)
NOWHERE = -1  # an address in neither half

LINUX_OAS = 48
SIGN_BIT = np.uint64(55)  # VA[55] selects the half
TTBR_LOW_WIDE = np.uint64(0x3F)  # when wide, TTBR[5:2] is address bits 51:48
U2 = np.uint64(2)
U32 = np.uint64(32)
LOW_32 = np.uint64((1 << 32) - 1)


def start_level(ias: int, page_bits: int = 12) -> int:
    """Return the level at which a walk of `ias` input bits starts.

    >>> [start_level(b) for b in (48, 40, 39, 32)]
    [0, 0, 1, 1]
    >>> [start_level(48, p) for p in (14, 16)], start_level(25, 16)
    ([0, 1], 3)
    """
    return 4 - -(-(ias - page_bits) // (page_bits - 3))


def _checked(ias: int, page_bits: int, oas: int) -> None:
    if page_bits not in PAGE_BITS:
        raise ValueError(f"expected a granule of 12, 14 or 16 bits, found {page_bits}")
    most = WIDE_OAS if page_bits == WIDE_PAGE_BITS else 48
    if not 25 <= ias <= most:
        raise ValueError(f"expected 25 to {most} input bits, found {ias}")
    if not 32 <= oas <= most:
        raise ValueError(f"expected 32 to {most} output bits, found {oas}")


def aarch64_s1(
    *,
    ttbr0: int = 0,
    ttbr1: int = 0,
    ias0: int = 48,
    ias1: int = 48,
    page_bits: int = 12,
    page_bits1: int | None = None,
    oas: int = 48,
    epd0: bool = False,
    epd1: bool = True,
    sep: int = 63,
    execute: int = XN_APART,
    affd: bool = False,
    runs: bool = True,
) -> Any:
    """Return the REGIME of an AArch64 stage 1; `ias0` is 64 - T0SZ, `ias1` 64 - T1SZ (H3).

    The 49-bit arrangement of an Adreno: both halves 48 bits, ``epd1=False, sep=48``.
    """
    upper = page_bits if page_bits1 is None else page_bits1
    _checked(ias0, page_bits, oas)
    _checked(ias1, upper, oas)
    return one(
        REGIME,
        format=AARCH64_S1,
        ttbr=ttbr0,
        ias=ias0,
        start_level=start_level(ias0, page_bits),
        granule=page_bits - 12,
        oas=oas,
        epd0=epd0,
        sep=sep,
        ttbr1=ttbr1,
        ias1=ias1,
        start_level1=start_level(ias1, upper),
        granule1=upper - 12,
        epd1=epd1,
        execute=execute,
        affd=affd,
        runs=runs,
    )[0]


def aarch64_s2(
    *,
    ttbr: int,
    ias: int,
    level: int | None = None,
    page_bits: int = 12,
    oas: int = 48,
    execute: int = XN_APART,
    affd: bool = False,
    runs: bool = True,
) -> Any:
    """Return the REGIME of a stage 2 (H3).

    `level` is the start level that VTCR.SL0 stands for: one below the usual puts up to sixteen start
    tables side by side at `ttbr`.
    """
    _checked(ias, page_bits, oas)
    return one(
        REGIME,
        format=AARCH64_S2,
        ttbr=ttbr,
        ias=ias,
        start_level=start_level(ias, page_bits) if level is None else level,
        granule=page_bits - 12,
        oas=oas,
        execute=execute,
        affd=affd,
        runs=runs,
    )[0]


def aarch32_lpae(
    *,
    ttbr0: int = 0,
    ttbr1: int = 0,
    t0sz: int = 0,
    t1sz: int = 0,
    epd0: bool = False,
    epd1: bool = True,
    affd: bool = False,
    runs: bool = True,
) -> Any:
    """Return the REGIME of an AArch32 stage 1 with long descriptors: 32 bits in, 40 out (H3)."""
    if not (0 <= t0sz <= 7 and 0 <= t1sz <= 7):
        raise ValueError(f"expected T0SZ and T1SZ of 0 to 7, found {t0sz} and {t1sz}")
    return one(
        REGIME,
        format=AARCH32_LPAE,
        ttbr=ttbr0,
        ias=32 - t0sz,
        start_level=start_level(32 - t0sz),
        oas=40,
        epd0=epd0,
        ttbr1=ttbr1,
        ias1=32 - t1sz,
        start_level1=start_level(32 - t1sz),
        epd1=epd1,
        execute=XN_AARCH32,
        affd=affd,
        runs=runs,
    )[0]


def aarch32_short(
    *,
    ttbr0: int = 0,
    ttbr1: int = 0,
    n: int = 0,
    epd0: bool = False,
    epd1: bool = True,
    afe: bool = True,
    affd: bool = False,
) -> Any:
    """Return the REGIME of an AArch32 stage 1 with short descriptors: 32 bits in, 40 out (H3).

    `n` is TTBCR.N: TTBR0 has the low 2^(32 - N) bytes, TTBR1 all above them. `epd0` and `epd1` are PD0 and
    PD1. Linux sets SCTLR.AFE, and PD1 with N = 0. Tables, the first-level ones too, are below 4G.
    """
    if not 0 <= n <= 7:
        raise ValueError(f"expected TTBCR.N of 0 to 7, found {n}")
    return one(
        REGIME,
        format=AARCH32_SHORT,
        ttbr=ttbr0,
        ias=32 - n,
        start_level=1,
        oas=40,
        epd0=epd0,
        ttbr1=ttbr1,
        ias1=32,
        start_level1=1,
        epd1=epd1,
        affd=affd,
        afe=afe,
    )[0]


def nested(stage1: Any, stage2: Any) -> Any:
    """Return the REGIME of an AArch64 `stage1` over a `stage2`.

    MAP into it writes the tables of stage 1 where stage 2 has to map them to themselves.
    """
    made = stage1.copy()
    made.format = NESTED
    for name in ("ttbr", "ias", "start_level", "granule", "oas", "affd", "execute"):
        made[f"s2_{name}"] = stage2[name]
    return made


@inlined
def sign_extended(regime, iova):
    """Return the input address that TCR2.SEP makes of what is on the bus."""
    above = np.uint64(63 - regime.sep)
    return np.uint64(np.int64(iova << above) >> np.int64(above))


@inlined
def half_of(regime, va):
    """Return which half of an AArch64 stage 1 translates `va`: 0, 1, or NOWHERE (H3).

    VA[55] selects; every bit above the input size has to be a copy of it.
    """
    if (va >> SIGN_BIT) & U1 == U0:
        if regime.epd0 != 0 or va >> np.uint64(regime.ias) != U0:
            return NOWHERE
        return 0
    if regime.epd1 != 0 or ~va >> np.uint64(regime.ias1) != U0:
        return NOWHERE
    return 1


@inlined
def table_base(ttbr, ias, level, page_bits, oas):
    """Return the start table's address: aligned to its own size, ASID and VMID left out."""
    base = ttbr & LOW_48
    if is_wide(page_bits, oas):
        base = (base & ~TTBR_LOW_WIDE) | (((ttbr >> U2) & NIBBLE) << U48)
    entries_bits = np.uint64(ias) - entry_shift(page_bits, level)
    return base & ~((U1 << (entries_bits + U3)) - U1)


@inlined
def half_of_32(regime, va):
    """Return which half of an AArch32 regime translates `va`: 0, 1, or NOWHERE (H3).

    TTBR1 has the high 2^(32 - T1SZ) bytes, or with T1SZ 0, and with short descriptors, all that TTBR0
    leaves; where both claim an address it is TTBR1's.
    """
    if va >> U32 != U0:
        return NOWHERE
    low = va >> np.uint64(regime.ias) == U0
    if regime.ias1 == 32:
        high = not low
    else:
        high = (va ^ LOW_32) >> np.uint64(regime.ias1) == U0
    if high:
        return NOWHERE if regime.epd1 != 0 else 1
    return 0 if low and regime.epd0 == 0 else NOWHERE


def has_halves_format(number: int) -> bool:
    """Tell whether VA[55] selects among two tables in a format."""
    return number in (AARCH64_S1, NESTED)


@inlined
def has_halves(regime):
    """Tell whether VA[55] selects among two tables."""
    return regime.format == AARCH64_S1 or regime.format == NESTED


@inlined
def input_of(regime, iova):
    """Return the address that the tables are walked with."""
    return sign_extended(regime, iova) if has_halves(regime) else iova


@inlined
def place(regime, iova):
    """Return which half's tables hold `iova`, or NOWHERE."""
    if has_halves(regime):
        return half_of(regime, sign_extended(regime, iova))
    if regime.format == AARCH32_LPAE or regime.format == AARCH32_SHORT:
        return half_of_32(regime, iova)
    return 0 if iova >> np.uint64(regime.ias) == U0 else NOWHERE


@inlined
def output_bits(regime):
    """Return the output address size."""
    return LINUX_OAS if regime.format == LINUX_4K else regime.oas


@inlined
def half(regime, which):
    """Return (TTBR, input bits, start level, log2 of the granule) of a half."""
    if which == 1:
        return regime.ttbr1, regime.ias1, regime.start_level1, 12 + regime.granule1
    return regime.ttbr, regime.ias, regime.start_level, 12 + regime.granule


@inlined
def page_size(regime, which):
    """Return the size of a half's pages."""
    return U1 << np.uint64(12 + (regime.granule1 if which == 1 else regime.granule))
