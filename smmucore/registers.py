"""The registers of an SMMUv2, declared once: those of a context bank, and those of global faults.

Masks, decoding and the documentation page all come from this table.  Offsets and fields are
facts of the architecture (Arm IHI 0062, SMMUv2) as quoted in public drivers and SoC manuals;
`docs/registers.md` is printed from here.  We have not read IHI 0062 itself, nor the MMU-500's TRM, for the
global register space: its offsets and bits are general knowledge, which public drivers share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Access = Literal["RW", "RO", "W1C", "WO"]


@dataclass(frozen=True)
class Field:
    """One field: its lowest bit, width, how software may change it, and what it means."""

    name: str
    bit: int
    access: Access
    meaning: str
    width: int = 1

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width) - 1) << self.bit


@dataclass(frozen=True)
class Register:
    """One register: offset in its page, width in bits, fields."""

    name: str
    offset: int
    width: int
    meaning: str
    fields: tuple[Field, ...] = ()

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name}")

    def mask(self, access: Access) -> int:
        """Return the bits of every field with this access."""
        return sum(field.mask for field in self.fields if field.access == access)

    def decode(self, value: int) -> str:
        """Spell `value` as the field names that are set, highest bit first.

        >>> FSR.decode(0x40000402)
        'SS Format=2 TF'
        >>> FSYNR0.decode(0x13)
        'WNR PLVL=3'
        """
        words = []
        for field in sorted(self.fields, key=lambda f: -f.bit):
            bits = (value & field.mask) >> field.bit
            if field.width > 1:
                if bits:
                    words.append(f"{field.name}={bits}")
            elif bits:
                words.append(field.name)
        return " ".join(words)


SCTLR = Register(
    "SCTLR",
    0x000,
    32,
    "System control of the context bank",
    (
        Field("HUPCF", 8, "RW", "process other transactions while a context fault is outstanding"),
        Field("CFCFG", 7, "RW", "0: a faulting transaction terminates; 1: it stalls"),
        Field("CFIE", 6, "RW", "raise the interrupt on a context fault"),
        Field("CFRE", 5, "RW", "a terminated transaction aborts (0: read as zero, write ignored)"),
        Field("E", 4, "RW", "big-endian table walks"),
        Field("AFE", 2, "RW", "access flag enabled"),
        Field("TRE", 1, "RW", "TEX remap enabled"),
        Field("M", 0, "RW", "translation enabled"),
    ),
)
RESUME = Register(
    "RESUME",
    0x008,
    32,
    "Resume the stalled transaction",
    (Field("TnR", 0, "WO", "0: retry the stalled transaction; 1: terminate it"),),
)
TTBR0 = Register("TTBR0", 0x020, 64, "Translation table base 0 (ASID in 63:48)")
CONTEXTIDR = Register("CONTEXTIDR", 0x034, 32, "Context ID")
FSR = Register(
    "FSR",
    0x058,
    32,
    "Fault status",
    (
        Field("MULTI", 31, "W1C", "another fault arrived while FSR was not clear"),
        Field("SS", 30, "RO", "a transaction is stalled; only RESUME clears it"),
        Field("Format", 9, "RO", "table format of the fault: 0 v7s, 1 AArch32 LPAE, 2 AArch64", 2),
        Field("UUT", 8, "W1C", "unsupported upstream transaction"),
        Field("ASF", 7, "W1C", "address size fault"),
        Field("TLBLKF", 6, "W1C", "TLB lock fault"),
        Field("TLBMCF", 5, "W1C", "TLB match conflict fault"),
        Field("EF", 4, "W1C", "external fault in the walk"),
        Field("PF", 3, "W1C", "permission fault"),
        Field("AFF", 2, "W1C", "access flag fault"),
        Field("TF", 1, "W1C", "translation fault"),
    ),
)
FAR = Register("FAR", 0x060, 64, "Fault address: the IOVA of the recorded fault")
FSYNR0 = Register(
    "FSYNR0",
    0x068,
    32,
    "Fault syndrome 0",
    (
        Field("S1CBNDX", 16, "RO", "stage-1 context bank of a nested fault", 8),
        Field("AFR", 11, "RO", "asynchronous fault recorded"),
        Field("PTWF", 10, "RO", "fault in the walk itself"),
        Field("NSATTR", 8, "RO", "non-secure attribute"),
        Field("IND", 6, "RO", "instruction access (1) or data (0)"),
        Field("PNU", 5, "RO", "privileged (1) or unprivileged (0)"),
        Field("WNR", 4, "RO", "write (1) or read (0)"),
        Field("PLVL", 0, "RO", "level of the walk that faulted", 2),
    ),
)
FSYNR1 = Register("FSYNR1", 0x06C, 32, "Fault syndrome 1 (implementation defined; Adreno: block ID)")
CBFRSYNRA = Register("CBFRSYNRA", 0x400, 32, "Stream ID of the fault (GR1 page, one word a bank)")

REGISTERS = (SCTLR, RESUME, TTBR0, CONTEXTIDR, FSR, FAR, FSYNR0, FSYNR1, CBFRSYNRA)

SCR0 = Register(
    "sCR0",
    0x000,
    32,
    "Configuration 0",
    (
        Field("USFCFG", 10, "RW", "a stream that matches no group: 1: global fault; 0: bypass"),
        Field("GFIE", 2, "RW", "raise the interrupt on a global fault"),
        Field("GFRE", 1, "RW", "a global fault aborts its transaction"),
        Field("CLIENTPD", 0, "RW", "1: every transaction bypasses the SMMU"),
    ),
)
SGFAR = Register("sGFAR", 0x040, 64, "Global fault address: the IOVA of the recorded fault")
SGFSR = Register(
    "sGFSR",
    0x048,
    32,
    "Global fault status",
    (
        Field("MULTI", 31, "W1C", "another global fault arrived while sGFSR was not zero"),
        Field("UUT", 8, "W1C", "unsupported upstream transaction"),
        Field("PF", 7, "W1C", "permission fault"),
        Field("EF", 6, "W1C", "external fault"),
        Field("CAF", 5, "W1C", "configuration access fault"),
        Field("UCIF", 4, "W1C", "unimplemented context interrupt fault"),
        Field("UCBF", 3, "W1C", "unimplemented context bank fault"),
        Field("SMCF", 2, "W1C", "stream match conflict fault"),
        Field("USF", 1, "W1C", "unidentified stream fault"),
        Field("ICF", 0, "W1C", "invalid context fault"),
    ),
)
SGFSYNR0 = Register(
    "sGFSYNR0",
    0x050,
    32,
    "Global fault syndrome 0",
    (
        Field("IND", 3, "RO", "instruction access (1) or data (0)"),
        Field("PNU", 2, "RO", "privileged (1) or unprivileged (0)"),
        Field("WNR", 1, "RO", "write (1) or read (0)"),
    ),
)
SGFSYNR1 = Register(
    "sGFSYNR1",
    0x054,
    32,
    "Global fault syndrome 1",
    (Field("StreamID", 0, "RO", "stream of the recorded fault", 16),),
)
SMR0 = Register(
    "SMR0",
    0x800,
    32,
    "Stream match of group 0; group n is 4n further",
    (
        Field("VALID", 31, "RW", "the group takes part"),
        Field("MASK", 16, "RW", "bits of the stream ID that do not count", 15),
        Field("ID", 0, "RW", "stream ID", 15),
    ),
)
S2CR0 = Register(
    "S2CR0",
    0xC00,
    32,
    "Stream to context of group 0; group n is 4n further",
    (
        Field("TYPE", 16, "RW", "0: translate; 1: bypass; 2: fault", 2),
        Field("CBNDX", 0, "RW", "context bank of a group that translates", 8),
    ),
)

#: Of the first page of the global register space.
GLOBAL_REGISTERS = (SCR0, SGFAR, SGFSR, SGFSYNR0, SGFSYNR1, SMR0, S2CR0)

SGFSR_ICF = SGFSR["ICF"].mask
SGFSR_USF = SGFSR["USF"].mask
SGFSR_SMCF = SGFSR["SMCF"].mask
SGFSR_UCBF = SGFSR["UCBF"].mask
SGFSR_MULTI = SGFSR["MULTI"].mask
SGFSYNR0_WNR = SGFSYNR0["WNR"].mask
SGFSYNR0_PNU = SGFSYNR0["PNU"].mask
SGFSYNR0_IND = SGFSYNR0["IND"].mask

# What the kernels use, spelled out so that an editor finds them.
SCTLR_M = SCTLR["M"].mask
SCTLR_TRE = SCTLR["TRE"].mask
SCTLR_AFE = SCTLR["AFE"].mask
SCTLR_CFRE = SCTLR["CFRE"].mask
SCTLR_CFIE = SCTLR["CFIE"].mask
SCTLR_CFCFG = SCTLR["CFCFG"].mask
SCTLR_HUPCF = SCTLR["HUPCF"].mask

FSR_TF = FSR["TF"].mask
FSR_AFF = FSR["AFF"].mask
FSR_PF = FSR["PF"].mask
FSR_EF = FSR["EF"].mask
FSR_ASF = FSR["ASF"].mask
FSR_SS = FSR["SS"].mask
FSR_MULTI = FSR["MULTI"].mask
FSR_FORMAT = FSR["Format"].mask
FSR_FORMAT_AARCH64 = 2 << FSR["Format"].bit
FSR_W1C = FSR.mask("W1C")
#: TF .. UUT: the bits that come with a recorded FAR and FSYNR0.
FSR_SYNDROME = FSR_W1C & ~FSR_MULTI
#: Any of these says that a fault is outstanding, SS apart (SS says that one is stalled).
FSR_FAULT = FSR_W1C
FSR_ALL_ONES = (1 << FSR.width) - 1

FSYNR0_PLVL = FSYNR0["PLVL"].mask
FSYNR0_WNR = FSYNR0["WNR"].mask
FSYNR0_PNU = FSYNR0["PNU"].mask
FSYNR0_IND = FSYNR0["IND"].mask

RESUME_RETRY = 0
RESUME_TERMINATE = 1


def markdown() -> str:
    """Return the register page of the documentation."""
    out = [
        "# Registers",
        "",
        "Printed from `smmucore/registers.py`. First those of a context bank; offsets are in its page.",
        "",
        *_sections(REGISTERS),
        "# Global registers",
        "",
        "Offsets are in the first page of the global register space. The model keeps sGFSR, sGFAR and the",
        "two syndromes, and is set up by what the others hold (`docs/translation.md`, section 1).",
        "",
        *_sections(GLOBAL_REGISTERS),
    ]
    return "\n".join(out)


def _sections(registers: tuple[Register, ...]) -> list[str]:
    out: list[str] = []
    for register in sorted(registers, key=lambda r: r.offset):
        out.append(f"## {register.name}: 0x{register.offset:03x}, {register.width} bits")
        out += ["", f"{register.meaning}.", ""]
        if register.fields:
            out += ["| bits | field | access | meaning |", "| --- | --- | --- | --- |"]
            for field in sorted(register.fields, key=lambda f: -f.bit):
                top = field.bit + field.width - 1
                bits = f"{top}:{field.bit}" if field.width > 1 else f"{field.bit}"
                out.append(f"| {bits} | {field.name} | {field.access} | {field.meaning} |")
            out.append("")
    return out
