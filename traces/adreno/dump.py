"""What a drm/msm devcoredump holds: rings, buffers, and the fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

#: a6xx registers that say where the command processor stood: IB1's base (two) and dwords left, and IB2's.
PLACE = (0x928, 0x929, 0x92A, 0x92B, 0x92C, 0x92D)


@dataclass
class Part:
    """A ring, or a buffer.

    Attributes
    ----------
    ring : bool
    line : int
        Where it begins.
    values : dict of str to int
        Its number fields, by name: ``iova`` and ``size`` of every one.
    captured : bool
        Whether the dump has its contents.
    """

    ring: bool
    line: int
    values: dict[str, int] = field(default_factory=dict)
    captured: bool = False

    def __getitem__(self, name: str) -> int:
        """Return a number field; 0 where the dump has none."""
        return self.values.get(name, 0)


@dataclass
class Fault:
    """What ``fault-info`` and ``pgtable-fault-info`` say."""

    iova: int
    ttbr0: int
    direction: str
    type: str
    source: str
    walked_ttbr0: int = 0
    asid: int = 0
    ptes: list[int] = field(default_factory=list)


@dataclass
class Dump:
    """What a dump holds, but for contents.

    Attributes
    ----------
    header : dict of str to str
    gpu_id, chip_id : int
    rings, bos : list of Part
    fault : Fault or None
    decoded : int
        Bytes of contents.
    passed : collections.Counter of str
        Lines that were not read, by section.
    registers : dict of int to int
        Those of `PLACE`.
    """

    header: dict[str, str] = field(default_factory=dict)
    gpu_id: int = 0
    chip_id: int = 0
    rings: list[Part] = field(default_factory=list)
    bos: list[Part] = field(default_factory=list)
    fault: Fault | None = None
    decoded: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    registers: dict[int, int] = field(default_factory=dict)

    def date(self) -> str | None:
        """Return the UTC date of the dump, where it says."""
        seconds = self.header.get("time", "").partition(".")[0]
        if not seconds.isdecimal() or not seconds.isascii() or len(seconds) > 11:
            return None
        try:
            return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d")
        except (OverflowError, ValueError, OSError):
            return None

    def place(self) -> str:
        """Say where an a6xx's command processor stood; nothing where that is not known."""
        have = [self.registers.get(number) for number in PLACE]
        if self.gpu_id // 100 != 6 or None in have:
            return ""
        lo1, hi1, left1, lo2, hi2, left2 = (value or 0 for value in have)
        return (
            f"Command processor: IB1 at {lo1 | hi1 << 32:#x}, {left1} dwords left to fetch; IB2 at "
            f"{lo2 | hi2 << 32:#x}, {left2} left (CP_IB1_BASE and the registers behind it)."
        )
