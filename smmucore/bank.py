"""The context bank: what a fault, a write of FSR and a write of RESUME do (H4 to H11).

These are the rules, and they stand nowhere else.  Each takes one bank's record and changes it;
none of them knows of time, queues of accesses or CPUs, so that an explorer can step them too.
"""

from __future__ import annotations

import numpy as np

from smmucore.hardware import TERMINATE
from smmucore.kernel import kernel
from smmucore.records import NOBODY
from smmucore.registers import (
    FSR_FAULT,
    FSR_FORMAT,
    FSR_MULTI,
    FSR_SS,
    FSR_SYNDROME,
    FSR_W1C,
    FSYNR0_IND,
    FSYNR0_PLVL,
    FSYNR0_PNU,
    FSYNR0_WNR,
    SCTLR_CFCFG,
    SCTLR_CFIE,
    SCTLR_HUPCF,
    SGFSR_MULTI,
    SGFSYNR0_IND,
    SGFSYNR0_PNU,
    SGFSYNR0_WNR,
)

# What `fault` and `resolve` decide for the transaction.
STALL = 0  # it is the head now: SS is set
WAIT = 1  # it joins the FIFO behind the head
ABORT = 2  # it is terminated

# What became of the fault's record: the values of FAULT.record.
NO_RECORD_YET = 0
IS_RECORDED = 1
IS_COALESCED = 2
IS_LOST = 3

# `record`'s number for a fault that is told ahead of its turn.
UNCOUNTED = np.int64(0)

# What a write of RESUME did.
IGNORED = 0
RESUMED = 1

# Whether a transaction that has not faulted may go on.
PROCEED = 0
HOLD = 1
REFUSE = 2


@kernel
def stalls(bank, hw):
    """Tell whether a fault stalls now: CFCFG, sampled live (H6, H7), where the part can stall."""
    return hw.stalls != 0 and bank.sctlr & SCTLR_CFCFG != 0


@kernel
def record(bank, number, bits, far, fsynr0):
    """Record a fault, or only MULTI when FSR is not clear (H5); return IS_*."""
    if bank.fsr & FSR_FAULT:
        bank.fsr |= FSR_MULTI
        return IS_COALESCED
    bank.fsr = (bank.fsr & ~FSR_FORMAT) | bank.format | bits
    bank.far = far
    bank.fsynr0 = fsynr0
    bank.records += 1
    bank.record = bank.records
    bank.record_fault = number
    return IS_RECORDED


@kernel
def syndrome(flags, level):
    """Return FSYNR0: WNR, PNU and IND of the access, PLVL of the walk (H4)."""
    return flags | (level & FSYNR0_PLVL)


@kernel
def fault(bank, hw, slot, number, bits, far, fsynr0):
    """A faulting transaction arrives at the bank (H5 to H8).

    Returns
    -------
    verdict : int64
        STALL, WAIT or ABORT.
    told : int64
        IS_* : what became of its record.
    """
    frozen = hw.fsr_frozen_while_stalled != 0 and bank.fsr & FSR_SS != 0
    if not stalls(bank, hw):
        # A stall is outstanding although CFCFG is off: FSR may be frozen all the same.
        return ABORT, IS_LOST if frozen else record(bank, number, bits, far, fsynr0)
    if bank.fsr & FSR_SS == 0:
        told = record(bank, number, bits, far, fsynr0)
        stall(bank, slot, number)
        return STALL, told
    if hw.second_fault == TERMINATE:
        return ABORT, IS_LOST if frozen else record(bank, number, bits, far, fsynr0)
    if not frozen:
        record(bank, UNCOUNTED, bits, far, fsynr0)  # latched ahead of its turn: told, but not yet counted
    return WAIT, NO_RECORD_YET


@kernel
def stall(bank, slot, number):
    """SS := 1; the transaction in `slot` is the one it tells of."""
    bank.fsr |= FSR_SS
    bank.head = slot
    bank.head_fault = number


@kernel
def resolve(bank, hw, slot, number, bits, far, fsynr0):
    """Take a faulted transaction from the FIFO, SS being clear (H9); return (STALL or ABORT, IS_*).

    CFCFG is sampled again: with stall turned off meanwhile, the queue drains by termination.
    """
    told = record(bank, number, bits, far, fsynr0)
    if stalls(bank, hw):
        stall(bank, slot, number)
        return STALL, told
    return ABORT, told


@kernel
def admit(bank, hw):
    """Decide for an innocent access that issues now (H7): PROCEED, HOLD or REFUSE.

    Where CFCFG and HUPCF are read-only the others always go on.
    """
    if hw.stalls == 0 or bank.sctlr & SCTLR_HUPCF or bank.fsr & (FSR_FAULT | FSR_SS) == 0:
        return PROCEED
    return HOLD if stalls(bank, hw) else REFUSE


@kernel
def release(bank, hw):
    """Decide for a held access at the head of the FIFO, SS being clear: PROCEED, HOLD or REFUSE."""
    if bank.sctlr & SCTLR_HUPCF or bank.fsr & FSR_FAULT == 0:
        return PROCEED
    return HOLD if stalls(bank, hw) else REFUSE


@kernel
def write_fsr(bank, value):
    """Write FSR: W1C but for SS and Format (H5).

    Returns
    -------
    int64
        The fault whose record was cleared without any pass having read it, or 0.
    """
    bank.fsr &= ~(value & FSR_W1C)
    unread = 0
    if bank.record != 0 and bank.fsr & FSR_SYNDROME == 0:
        if bank.seen != bank.record:
            unread = bank.record_fault
        bank.record = 0
    return unread


@kernel
def write_resume(bank, hw):
    """Write RESUME (H9, H10).

    Returns
    -------
    effect : int64
        IGNORED or RESUMED.
    slot : int64
        The transaction it acted on, or NOBODY.
    number : int64
        That transaction's fault number, or 0.
    """
    if bank.fsr & FSR_SS == 0:
        return IGNORED, NOBODY, 0
    if hw.resume_needs_fsr_clear and bank.fsr & FSR_FAULT:
        return IGNORED, NOBODY, 0
    slot = bank.head
    number = bank.head_fault
    bank.fsr &= ~FSR_SS
    bank.head = NOBODY
    bank.head_fault = 0
    return RESUMED, slot, number


@kernel
def line(bank, hw):
    """Return 1 while the bank asserts its interrupt line (H11)."""
    if bank.sctlr & SCTLR_CFIE == 0:
        bank.line_latched = 0
        return 0
    up = bank.fsr & FSR_FAULT != 0 or (hw.ss_asserts_irq != 0 and bank.fsr & FSR_SS != 0)
    if hw.irq_held_until_resume:
        if up:
            bank.line_latched = 1
        elif bank.fsr & FSR_SS == 0:
            bank.line_latched = 0
        up = bank.line_latched != 0
    return 1 if up else 0


@kernel
def global_fault(registers, bit, iova, flags, stream):
    """Record a global fault, or only MULTI when sGFSR is not zero (H1); `flags` are those of FSYNR0."""
    if registers.sgfsr != 0:
        registers.sgfsr |= SGFSR_MULTI
        return
    registers.sgfsr = bit
    registers.sgfar = iova
    registers.sgfsynr1 = stream
    registers.sgfsynr0 = 0
    if flags & FSYNR0_WNR:
        registers.sgfsynr0 |= SGFSYNR0_WNR
    if flags & FSYNR0_PNU:
        registers.sgfsynr0 |= SGFSYNR0_PNU
    if flags & FSYNR0_IND:
        registers.sgfsynr0 |= SGFSYNR0_IND


@kernel
def write_sgfsr(registers, value):
    """Write sGFSR: W1C, MULTI too; the other registers stay (H1)."""
    registers.sgfsr &= ~value


@kernel
def push(bank, fifo, slot):
    """Put a transaction at the end of the bank's FIFO (int64, one place for each slot)."""
    fifo[(bank.fifo_at + bank.fifo_len) % fifo.size] = slot
    bank.fifo_len += 1


@kernel
def pop(bank, fifo):
    """Take the transaction at the head of the bank's FIFO."""
    slot = fifo[bank.fifo_at]
    bank.fifo_at = (bank.fifo_at + 1) % fifo.size
    bank.fifo_len -= 1
    return np.int64(slot)
