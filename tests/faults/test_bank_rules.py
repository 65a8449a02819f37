"""The context bank's rules, one at a time (H4 to H11), on a bank of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from smmucore import bank as rules
from smmucore.hardware import HW, PRESETS
from smmucore.records import BANK, NOBODY, one
from smmucore.registers import (
    FSR_FORMAT_AARCH64,
    FSR_MULTI,
    FSR_PF,
    FSR_SS,
    FSR_TF,
    SCTLR_CFCFG,
    SCTLR_CFIE,
    SCTLR_HUPCF,
)

pytestmark = pytest.mark.nojit

STALLING = SCTLR_CFIE | SCTLR_CFCFG | SCTLR_HUPCF
TERMINATING = SCTLR_CFIE


def bank(sctlr: int = STALLING) -> Any:
    return one(BANK, sctlr=sctlr, format=FSR_FORMAT_AARCH64, head=NOBODY, lock=NOBODY)[0]


def part(name: str = "mmu500", **changes: int) -> Any:
    record = PRESETS[name].record()[0]
    for field, value in changes.items():
        assert field in HW.names
        setattr(record, field, value)
    return record


def fault(b: Any, hw: Any, number: int, *, slot: int = 0, far: int = 0x1000, bits: int = FSR_TF) -> Any:
    import numpy as np

    return rules.fault(b, hw, slot, number, bits, np.uint64(far), 3)


def test_a_stalling_fault_sets_ss_beside_its_syndrome() -> None:
    b = bank()
    assert fault(b, part(), 1, slot=9) == (rules.STALL, rules.IS_RECORDED)
    # 0x40000402: SS, AArch64 format, TF, as real logs show it.
    assert (b.fsr, b.far, b.fsynr0, b.head) == (0x4000_0402, 0x1000, 3, 9)


def test_a_terminating_fault_is_recorded_without_ss() -> None:
    b = bank(TERMINATING)
    assert fault(b, part(), 1) == (rules.ABORT, rules.IS_RECORDED)
    assert b.fsr == 0x402


def test_a_second_fault_sets_multi_and_keeps_far() -> None:
    b = bank(TERMINATING)
    fault(b, part(), 1, far=0x1000)
    assert fault(b, part(), 2, far=0x2000, bits=FSR_PF) == (rules.ABORT, rules.IS_COALESCED)
    assert (b.fsr, b.far) == (0x402 | FSR_MULTI, 0x1000)


def test_writing_back_the_bits_read_leaves_a_multi_that_came_later() -> None:
    b = bank(TERMINATING)
    fault(b, part(), 1)
    read = b.fsr
    fault(b, part(), 2, far=0x2000)
    rules.write_fsr(b, read)
    assert b.fsr & (FSR_TF | FSR_MULTI) == FSR_MULTI
    assert (rules.line(b, part()), b.far) == (1, 0x1000)  # a ghost: asserted, with a stale FAR


def test_ss_is_not_cleared_by_writing_fsr() -> None:
    b = bank()
    fault(b, part(), 1)
    rules.write_fsr(b, 0xFFFF_FFFF)
    assert b.fsr & (FSR_SS | FSR_TF) == FSR_SS


def test_resume_is_ignored_while_another_fsr_bit_is_set() -> None:
    b = bank()
    fault(b, part(), 1)
    assert rules.write_resume(b, part())[0] == rules.IGNORED
    assert b.fsr & FSR_SS
    rules.write_fsr(b, b.fsr)
    assert rules.write_resume(b, part()) == (rules.RESUMED, 0, 1)
    assert b.fsr & FSR_SS == 0


def test_resume_acts_at_once_where_the_part_does_not_ask_for_a_clear_fsr() -> None:
    b = bank()
    fault(b, part("ideal"), 1)
    assert rules.write_resume(b, part("ideal"))[0] == rules.RESUMED


def test_resume_does_nothing_where_nothing_is_stalled() -> None:
    assert rules.write_resume(bank(), part())[0] == rules.IGNORED


def test_the_mmu500_holds_its_line_while_only_ss_is_set_and_the_ideal_part_does_not() -> None:
    b = bank()
    fault(b, part(), 1)
    rules.write_fsr(b, b.fsr)
    assert rules.line(b, part()) == 1
    assert rules.line(b, part("ideal")) == 0


def test_cfie_off_drops_the_line() -> None:
    b = bank()
    fault(b, part(), 1)
    b.sctlr &= ~SCTLR_CFIE
    assert rules.line(b, part()) == 0


def test_a_line_held_until_resume_outlives_a_cleared_fsr() -> None:
    hw = part("ideal", irq_held_until_resume=1)
    b = bank()
    fault(b, hw, 1)
    assert rules.line(b, hw) == 1
    rules.write_fsr(b, b.fsr)
    assert rules.line(b, hw) == 1
    rules.write_resume(b, hw)
    assert rules.line(b, hw) == 0


def test_followers_queue_behind_a_stall_on_the_mmu500_and_fsr_stays_frozen() -> None:
    b = bank()
    fault(b, part(), 1)
    assert fault(b, part(), 2, far=0x2000) == (rules.WAIT, rules.NO_RECORD_YET)
    assert b.fsr & FSR_MULTI == 0


def test_followers_set_multi_where_fsr_is_not_frozen() -> None:
    b = bank()
    hw = part(fsr_frozen_while_stalled=0)
    fault(b, hw, 1)
    fault(b, hw, 2, far=0x2000)
    assert b.fsr & FSR_MULTI
    rules.write_fsr(b, FSR_TF)
    assert rules.write_resume(b, hw)[0] == rules.IGNORED  # the MULTI window


def test_followers_are_terminated_and_lost_on_smmu_v2() -> None:
    b = bank()
    fault(b, part("qcom-smmu-v2"), 1)
    assert fault(b, part("qcom-smmu-v2"), 2) == (rules.ABORT, rules.IS_LOST)


def test_a_queued_fault_is_terminated_when_stall_was_turned_off_meanwhile() -> None:
    import numpy as np

    b = bank()
    b.sctlr &= ~SCTLR_CFCFG
    assert rules.resolve(b, part(), 4, 2, FSR_TF, np.uint64(0x2000), 3) == (rules.ABORT, rules.IS_RECORDED)
    assert b.head == NOBODY


def test_without_hupcf_an_outstanding_fault_holds_or_refuses_the_innocent() -> None:
    for sctlr, expected in (
        (SCTLR_CFIE | SCTLR_CFCFG, rules.HOLD),
        (SCTLR_CFIE, rules.REFUSE),
        (SCTLR_CFIE | SCTLR_HUPCF, rules.PROCEED),
    ):
        b = bank(sctlr)
        assert rules.admit(b, part()) == rules.PROCEED
        fault(b, part(), 1)
        assert rules.admit(b, part()) == expected


def test_a_part_that_cannot_stall_terminates_whatever_cfcfg_says() -> None:
    assert fault(bank(), part(stalls=0), 1) == (rules.ABORT, rules.IS_RECORDED)


def test_a_record_cleared_before_any_pass_read_it_is_told_to_the_caller() -> None:
    b = bank(TERMINATING)
    fault(b, part(), 7)
    assert rules.write_fsr(b, 0xFFFF_FFFF) == 7
    fault(b, part(), 8)
    b.seen = b.record
    assert rules.write_fsr(b, 0xFFFF_FFFF) == 0
