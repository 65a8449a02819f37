"""The registers of an SMMUv2 context bank, declared once.

Masks, decoding and the documentation page all come from this table.  Offsets and fields are
facts of the architecture (Arm IHI 0062, SMMUv2) as quoted in public drivers and SoC manuals;
`docs/registers.md` is printed from here.
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
    """One register of the context-bank page: offset, width in bits, fields."""

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
        "# Context-bank registers",
        "",
        "Printed from `smmucore/registers.py`; offsets are in the context bank's page.",
        "",
    ]
    for register in sorted(REGISTERS, key=lambda r: r.offset):
        out.append(f"## {register.name}: 0x{register.offset:03x}, {register.width} bits")
        out += ["", f"{register.meaning}.", ""]
        if register.fields:
            out += ["| bits | field | access | meaning |", "| --- | --- | --- | --- |"]
            for field in sorted(register.fields, key=lambda f: -f.bit):
                top = field.bit + field.width - 1
                bits = f"{top}:{field.bit}" if field.width > 1 else f"{field.bit}"
                out.append(f"| {bits} | {field.name} | {field.access} | {field.meaning} |")
            out.append("")
    return "\n".join(out)
