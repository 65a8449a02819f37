"""Stream matching (H1): which bank an access belongs to, and what is recorded where it belongs to none.

Written from docs/translation.md, section 1. A stream mapping group matches a stream when it is valid and
`(stream xor id) and not mask` is 0, in 15 bits. Then:

* one group, translate: its bank, or global fault UCBF if the part has no such bank;
* one group, bypass: PA = IOVA, at once; one group, fault: global fault ICF;
* no group: global fault USF with sCR0.USFCFG 1, bypass with 0;
* several groups, whatever they say: global fault SMCF.

A global fault terminates its access. The first is kept in sGFSR, sGFAR, sGFSYNR0 and sGFSYNR1; while sGFSR is
not zero, be it MULTI alone, a later one sets MULTI and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STREAM_BITS = (1 << 15) - 1

TRANSLATE, BYPASS, FAULT = "translate", "bypass", "fault"  #: S2CR.type, and what a stream comes to
ICF, USF, SMCF, UCBF = "ICF", "USF", "SMCF", "UCBF"

#: sGFSR, bit by bit (SMMUv2 register description of SMMU_sGFSR).
SGFSR = {ICF: 1 << 0, USF: 1 << 1, SMCF: 1 << 2, UCBF: 1 << 3}
SGFSR_MULTI = 1 << 31
SGFSYNR0_WNR, SGFSYNR0_PNU, SGFSYNR0_IND = 1 << 1, 1 << 2, 1 << 3


@dataclass(frozen=True)
class Group:
    """A stream mapping group: SMR (valid, mask, id) and S2CR (type, bank)."""

    id: int
    mask: int = 0
    type: str = TRANSLATE
    bank: int = 0
    valid: bool = True

    def matches(self, stream: int) -> bool:
        return self.valid and (stream ^ self.id) & ~self.mask & STREAM_BITS == 0


@dataclass(frozen=True)
class Match:
    """What a stream comes to: TRANSLATE with a bank, BYPASS, or FAULT with a global fault."""

    what: str
    bank: int | None = None
    fault: str | None = None


class Streams:
    """A stream table, its global fault registers, and the counts `bypassed` and `global_faults`."""

    def __init__(self, groups: Sequence[Group], *, banks: int, usfcfg: bool):
        self.groups = list(groups)
        self.banks = banks
        self.usfcfg = usfcfg
        self.sgfsr = 0
        self.sgfar = 0
        self.sgfsynr0 = 0
        self.sgfsynr1 = 0
        self.bypassed = 0
        self.global_faults = 0

    def match(self, stream: int) -> Match:
        """Say what the stream comes to; change nothing."""
        matching = [group for group in self.groups if group.matches(stream)]
        if len(matching) > 1:
            return Match(FAULT, fault=SMCF)
        if not matching:
            return Match(FAULT, fault=USF) if self.usfcfg else Match(BYPASS)
        (group,) = matching
        if group.type == BYPASS:
            return Match(BYPASS)
        if group.type == FAULT:
            return Match(FAULT, fault=ICF)
        if group.bank >= self.banks:
            return Match(FAULT, fault=UCBF)
        return Match(TRANSLATE, bank=group.bank)

    def access(
        self,
        stream: int,
        iova: int,
        *,
        write: bool = False,
        privileged: bool = False,
        instruction: bool = False,
    ) -> Match:
        """Match one access, count it if it is bypassed, and record its global fault if it has one."""
        found = self.match(stream)
        if found.what == BYPASS:
            self.bypassed += 1
        if found.fault is None:
            return found
        self.global_faults += 1
        if self.sgfsr != 0:
            self.sgfsr |= SGFSR_MULTI
            return found
        self.sgfsr = SGFSR[found.fault]
        self.sgfar = iova
        self.sgfsynr0 = SGFSYNR0_WNR * write | SGFSYNR0_PNU * privileged | SGFSYNR0_IND * instruction
        self.sgfsynr1 = stream
        return found

    def write_sgfsr(self, value: int) -> None:
        """Clear the bits that are written as one, MULTI like the others. The other registers stay."""
        self.sgfsr &= ~value
