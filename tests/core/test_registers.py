"""The registers against offsets and bits typed by hand, and their page of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from smmucore import registers
from smmucore.registers import FSR, FSYNR0, GLOBAL_REGISTERS, REGISTERS

# Typed from the architecture as it is quoted in drivers and SoC manuals (Arm IHI 0062; Linux arm-smmu.h
# uses the same numbers).  Not made from the table under test.
OFFSETS = {
    "SCTLR": (0x000, 32),
    "RESUME": (0x008, 32),
    "TTBR0": (0x020, 64),
    "CONTEXTIDR": (0x034, 32),
    "FSR": (0x058, 32),
    "FAR": (0x060, 64),
    "FSYNR0": (0x068, 32),
    "FSYNR1": (0x06C, 32),
    "CBFRSYNRA": (0x400, 32),
}
MASKS = {
    ("SCTLR", "M"): 0x001,
    ("SCTLR", "TRE"): 0x002,
    ("SCTLR", "AFE"): 0x004,
    ("SCTLR", "E"): 0x010,
    ("SCTLR", "CFRE"): 0x020,
    ("SCTLR", "CFIE"): 0x040,
    ("SCTLR", "CFCFG"): 0x080,
    ("SCTLR", "HUPCF"): 0x100,
    ("RESUME", "TnR"): 0x1,
    ("FSR", "TF"): 0x0000_0002,
    ("FSR", "AFF"): 0x0000_0004,
    ("FSR", "PF"): 0x0000_0008,
    ("FSR", "EF"): 0x0000_0010,
    ("FSR", "TLBMCF"): 0x0000_0020,
    ("FSR", "TLBLKF"): 0x0000_0040,
    ("FSR", "ASF"): 0x0000_0080,
    ("FSR", "UUT"): 0x0000_0100,
    ("FSR", "Format"): 0x0000_0600,
    ("FSR", "SS"): 0x4000_0000,
    ("FSR", "MULTI"): 0x8000_0000,
    ("FSYNR0", "PLVL"): 0x0000_0003,
    ("FSYNR0", "WNR"): 0x0000_0010,
    ("FSYNR0", "PNU"): 0x0000_0020,
    ("FSYNR0", "IND"): 0x0000_0040,
    ("FSYNR0", "NSATTR"): 0x0000_0100,
    ("FSYNR0", "PTWF"): 0x0000_0400,
    ("FSYNR0", "AFR"): 0x0000_0800,
    ("FSYNR0", "S1CBNDX"): 0x00FF_0000,
}
CONSTANTS = {
    "SCTLR_M": 0x001,
    "SCTLR_TRE": 0x002,
    "SCTLR_AFE": 0x004,
    "SCTLR_CFRE": 0x020,
    "SCTLR_CFIE": 0x040,
    "SCTLR_CFCFG": 0x080,
    "SCTLR_HUPCF": 0x100,
    "FSR_TF": 0x0000_0002,
    "FSR_AFF": 0x0000_0004,
    "FSR_PF": 0x0000_0008,
    "FSR_EF": 0x0000_0010,
    "FSR_ASF": 0x0000_0080,
    "FSR_SS": 0x4000_0000,
    "FSR_MULTI": 0x8000_0000,
    "FSR_FORMAT": 0x0000_0600,
    "FSR_FORMAT_AARCH64": 0x0000_0400,
    "FSR_W1C": 0x8000_01FE,  # all but SS and Format
    "FSR_SYNDROME": 0x0000_01FE,
    "FSR_FAULT": 0x8000_01FE,
    "FSR_ALL_ONES": 0xFFFF_FFFF,
    "FSYNR0_PLVL": 0x03,
    "FSYNR0_WNR": 0x10,
    "FSYNR0_PNU": 0x20,
    "FSYNR0_IND": 0x40,
    "RESUME_RETRY": 0,
    "RESUME_TERMINATE": 1,
}
# The global register space: SMMUv2 as Linux arm-smmu.h and TF-A quote it (sCR0, sGFSR, SMR, S2CR).
GLOBAL_OFFSETS = {
    "sCR0": (0x000, 32),
    "sGFAR": (0x040, 64),
    "sGFSR": (0x048, 32),
    "sGFSYNR0": (0x050, 32),
    "sGFSYNR1": (0x054, 32),
    "SMR0": (0x800, 32),
    "S2CR0": (0xC00, 32),
}
GLOBAL_MASKS = {
    ("sCR0", "CLIENTPD"): 0x001,
    ("sCR0", "GFRE"): 0x002,
    ("sCR0", "GFIE"): 0x004,
    ("sCR0", "USFCFG"): 0x400,
    ("sGFSR", "ICF"): 0x001,
    ("sGFSR", "USF"): 0x002,
    ("sGFSR", "SMCF"): 0x004,
    ("sGFSR", "UCBF"): 0x008,
    ("sGFSR", "UCIF"): 0x010,
    ("sGFSR", "CAF"): 0x020,
    ("sGFSR", "EF"): 0x040,
    ("sGFSR", "PF"): 0x080,
    ("sGFSR", "UUT"): 0x100,
    ("sGFSR", "MULTI"): 0x8000_0000,
    ("sGFSYNR0", "WNR"): 0x2,
    ("sGFSYNR0", "PNU"): 0x4,
    ("sGFSYNR0", "IND"): 0x8,
    ("sGFSYNR1", "StreamID"): 0xFFFF,
    ("SMR0", "ID"): 0x0000_7FFF,
    ("SMR0", "MASK"): 0x7FFF_0000,
    ("SMR0", "VALID"): 0x8000_0000,
    ("S2CR0", "CBNDX"): 0x000_00FF,
    ("S2CR0", "TYPE"): 0x0003_0000,
}
PAGE = Path(__file__).resolve().parents[2] / "docs" / "registers.md"


def test_every_register_is_at_its_offset() -> None:
    assert {register.name: (register.offset, register.width) for register in REGISTERS} == OFFSETS


def test_every_field_has_its_bits() -> None:
    found = {(register.name, field.name): field.mask for register in REGISTERS for field in register.fields}
    assert found == MASKS


def test_every_global_register_is_at_its_offset_with_its_bits() -> None:
    offsets = {register.name: (register.offset, register.width) for register in GLOBAL_REGISTERS}
    assert offsets == GLOBAL_OFFSETS
    masks = {(one.name, field.name): field.mask for one in GLOBAL_REGISTERS for field in one.fields}
    assert masks == GLOBAL_MASKS


def test_no_two_fields_of_a_register_overlap() -> None:
    for register in (*REGISTERS, *GLOBAL_REGISTERS):
        together = 0
        for field in register.fields:
            assert not together & field.mask, (register.name, field.name)
            together |= field.mask
        assert together < 1 << register.width


def test_the_constants_that_kernels_use_are_these_numbers() -> None:
    named = {
        name: value
        for name, value in vars(registers).items()
        if name.startswith(("SCTLR_", "FSR_", "FSYNR0_", "RESUME_"))
    }
    assert named == CONSTANTS


def test_software_clears_every_fault_bit_of_fsr_and_neither_ss_nor_the_format() -> None:
    assert FSR.mask("W1C") == 0x8000_01FE
    assert FSR.mask("RO") == 0x4000_0600


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        # as dmesg prints them in public bug reports: TF without and with stall, PF with stall
        (0x402, "Format=2 TF"),
        (0x4000_0402, "SS Format=2 TF"),
        (0x4000_0408, "SS Format=2 PF"),
        (0x8000_0402, "MULTI Format=2 TF"),
        (0, ""),
        (0xFFFF_FFFF, "MULTI SS Format=3 UUT ASF TLBLKF TLBMCF EF PF AFF TF"),
    ],
)
def test_a_recorded_fsr_is_spelt_out(value: int, spelt: str) -> None:
    assert FSR.decode(value) == spelt


def test_fsynr0_is_spelt_out_with_its_level() -> None:
    assert FSYNR0.decode(0x0013) == "WNR PLVL=3"
    assert FSYNR0.decode(0x0005_0062) == "S1CBNDX=5 IND PNU PLVL=2"


def test_a_field_that_a_register_does_not_have_is_named_in_the_error() -> None:
    with pytest.raises(KeyError, match="FSR has no field XYZ"):
        FSR["XYZ"]


def test_the_page_of_the_documentation_is_the_printed_one() -> None:
    assert PAGE.read_text() == registers.markdown(), "print it again from smmucore.registers.markdown()"
