"""Stream matching: which context bank a stream's accesses belong to (H1; docs/translation.md 1).

A run's stream table does not change, so each requester is matched once, before the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smmucore.registers import SGFSR_ICF, SGFSR_SMCF, SGFSR_UCBF, SGFSR_USF

STREAM_BITS = 15
STREAM_MASK = (1 << STREAM_BITS) - 1

Type = Literal["translate", "bypass", "fault"]

# REQUESTER.route; a global fault's is its bit of sGFSR.
IN_BANK = 0
BYPASS = -1
#: REQUESTER.bank of what belongs to none.
NO_BANK = -1


@dataclass(frozen=True)
class Group:
    """A stream mapping group: an SMR (`id`, `mask`, `valid`) and an S2CR (`type`, `bank`)."""

    id: int
    mask: int = 0
    type: Type = "translate"
    bank: int = 0
    valid: bool = True

    def matches(self, stream: int) -> bool:
        """Tell whether the group is the stream's.

        >>> [Group(6, mask=1).matches(stream) for stream in (5, 6, 7)]
        [False, True, True]
        """
        return self.valid and (stream ^ self.id) & ~self.mask & STREAM_MASK == 0


@dataclass(frozen=True)
class StreamTable:
    """The stream mapping groups of an SMMU, and sCR0.USFCFG: streams that match none fault."""

    groups: Sequence[Group] = ()
    usfcfg: bool = True

    def route(self, stream: int, banks: int) -> tuple[int, int]:
        """Match a stream, on a part with so many banks.

        Returns
        -------
        route : int
            IN_BANK, BYPASS, or the bit of the global fault in sGFSR.
        bank : int
            Or NO_BANK.

        Examples
        --------
        >>> StreamTable((Group(4, mask=3, bank=1),)).route(6, banks=2)
        (0, 1)
        >>> StreamTable(usfcfg=False).route(6, banks=2) == (BYPASS, NO_BANK)
        True
        """
        matching = [group for group in self.groups if group.matches(stream)]
        if len(matching) > 1:
            return SGFSR_SMCF, NO_BANK
        if not matching:
            return SGFSR_USF if self.usfcfg else BYPASS, NO_BANK
        group = matching[0]
        if group.type == "bypass":
            return BYPASS, NO_BANK
        if group.type == "fault":
            return SGFSR_ICF, NO_BANK
        return (IN_BANK, group.bank) if group.bank < banks else (SGFSR_UCBF, NO_BANK)
