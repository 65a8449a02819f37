"""A row of 16-bit words made the state at hand of the explored machine: the way back from `packing`."""

from __future__ import annotations

import numpy as np

from smmucore import contexts as cpu
from smmucore.dispatch import SYNC_ROUNDS
from smmucore.invalidate import invalidate
from smmucore.kernel import kernel
from smmucore.leaf import MAY_READ
from smmucore.packing import PAGE_BITS, U0
from smmucore.records import NEVER, NOBODY, STALL_OFF
from smmucore.registers import (
    FSR_MULTI,
    FSR_SS,
    FSR_SYNDROME,
    FSR_TF,
    SCTLR_CFCFG,
    SCTLR_CFIE,
    SCTLR_HUPCF,
)
from traces.events import TLBI_ALL

#: CONTEXT.sync_round of a TLBSYNC that polls: where SS is set at its end, the driver gives up.
LAST_ROUND = SYNC_ROUNDS

#: Slots from here on are those of an SMMUv3's stalled transactions, by name.
FIRST_NAMED = 8

# Numbers that faults have while a state is at hand; later ones are higher.
A_RECORD = 60
HEADS = 1  # + bank
WAITING_FAULTS = 10  # + slot
NAMED_FAULTS = 40  # + name
FAULTS_BEFORE = 100


@kernel
def fsr_of(code):
    """Return what `fsr_code` made ten bits of."""
    fsr = (code & 0xFF) << 1
    if code & (1 << 8):
        fsr |= FSR_SS
    if code & (1 << 9):
        fsr |= FSR_MULTI
    return fsr


@kernel
def take_slot(ex, slot, b, page, fault):
    """Give `slot` to a transaction of bank `b`; `fault` is its number, or 0."""
    row = ex.sim.slots[slot]
    row.iova = np.uint64(max(page, 1)) << PAGE_BITS
    row.need = MAY_READ
    row.requester = b
    row.access = 0
    row.deadline = 0
    row.fault = fault
    row.bits = FSR_TF
    row.level = 3
    row.retries = 0
    row.stalled = 0
    ex.sim.slot_free[slot] = NEVER
    ex.sim.clock.open += 1


@kernel
def unpack(ex, s):
    """Make state `s` the one at hand."""
    sim, bounds = ex.sim, ex.bounds
    words = ex.words[s]
    host, clock = sim.host, sim.clock
    client = host.client
    start_over(ex)
    ex.progress.left = words[0] & 15
    client.dumped = (words[0] >> 4) & 1
    client.kept_until = 1
    client.capturing = (words[0] >> 5) & 7
    asleep = bounds.sleeps != 0 and words[0] & (1 << 8) != 0
    clock.last_end = -1 if asleep else 0
    clock.last_put = -1 if asleep else 0
    at = 1
    slot = 0
    for b in range(bounds.banks):
        bank = host.banks[b]
        first, second, third = np.int64(words[at]), np.int64(words[at + 1]), np.int64(words[at + 2])
        bank.fsr = fsr_of(first & 0x3FF)
        bank.record = 1 if bank.fsr & FSR_SYNDROME else 0
        bank.records = 1
        bank.seen = 1 if second & 8 else 0
        bank.record_fault = A_RECORD if second & 16 else 0
        bank.sctlr &= ~(SCTLR_CFIE | SCTLR_CFCFG | SCTLR_HUPCF)
        bank.sctlr |= SCTLR_CFIE if second & 1 else 0
        bank.sctlr |= SCTLR_CFCFG if second & 2 else 0
        bank.sctlr |= SCTLR_HUPCF if second & 4 else 0
        bank.line_latched = (second >> 5) & 1
        bank.book = (second >> 6) & 7
        bank.cool_until = -1 if bank.book == STALL_OFF else 0
        ex.untold[b] = (second >> 9) & 1
        bank.lock = (third & 31) - 1
        bank.far = np.uint64(words[at + 3]) << PAGE_BITS
        bank.has_noted = words[at + 5] & 1
        bank.noted = np.uint64(words[at + 5] >> 1) << PAGE_BITS
        bank.head = NOBODY
        bank.head_fault = 0
        if bank.fsr & FSR_SS:
            bank.head = slot
            bank.head_fault = HEADS + b
            take_slot(ex, slot, b, np.int64(words[at + 4]), HEADS + b)
            slot += 1
        if bounds.pages:
            # Nothing is ever unmapped, so what a TLB holds changes nothing; but it is of another state.
            invalidate(sim.mmu, TLBI_ALL, b, U0, U0)
            for k in range(bounds.faults):
                mapped = (first >> (10 + k)) & 1
                sim.mem.words[ex.leaf_at[b, k]] = ex.leaf_word[b, k] if mapped else U0
        flying = third >> 5
        k = 1
        while flying > 0:
            if bounds.uses_far == 0 or flying & 1:
                take_slot(ex, slot, b, k, 0)
                sim.arrivals[clock.arrivals].t = 0
                sim.arrivals[clock.arrivals].serial = k
                sim.arrivals[clock.arrivals].slot = slot
                clock.arrivals += 1
                slot += 1
            flying = flying >> 1 if bounds.uses_far else flying - 1
            k += 1
        at += 6
        fifo = sim.fifos[b]
        bank.fifo_at = 0
        bank.fifo_len = 0
        for k in range(bounds.faults):
            if words[at] != 0:
                take_slot(
                    ex, slot, b, np.int64(words[at] >> 2), WAITING_FAULTS + slot if words[at] & 1 else 0
                )
                fifo[k] = slot
                bank.fifo_len += 1
                slot += 1
            at += 1
    for n in range(bounds.banks):
        line = host.lines[n]
        line.masked = words[at] & 15
        line.fresh = (words[at] >> 4) & 1
        line.handled = (words[at] >> 5) & 1
        line.passes = (words[at] >> 6) & 15
        line.threads = (words[at] >> 10) & 7
        line.disabled = (words[at] >> 13) & 1
        line.entries = 0
        line.unhandled = 0
        line.last_unhandled = -NEVER
        at += 1
    for c in range(bounds.contexts):
        unpack_context(ex, host, host.contexts[c], words, at)
        clock.users += host.contexts[c].user
        at += 5


@kernel
def start_over(ex):
    """Forget whatever belongs to the state before: transactions, times, counts."""
    sim = ex.sim
    clock = sim.clock
    for k in range(sim.slot_free.size):
        sim.slot_free[k] = 0
    clock.now = 0
    clock.queued = 0
    clock.open = 0
    clock.arrivals = 0
    clock.first_arrival = 0
    clock.serial = 0
    clock.users = 0
    clock.faults = FAULTS_BEFORE
    clock.fruitless = 0
    clock.captures = 0
    clock.wakes = 0
    clock.stop = 0


@kernel
def unpack_context(ex, host, ctx, words, at):
    """Put a context's five words back."""
    state = words[at]
    ctx.state = state & 15
    ctx.runnable = (state >> 4) & 1
    ctx.on_cpu = (state >> 5) & 1
    ctx.irqs_off = (state >> 6) & 1
    ctx.user = (state >> 7) & 1
    ending = (state >> 8) & 3
    ctx.sync_round = -1 if ending == 1 else LAST_ROUND if ending == 2 else 0
    if ctx.kind == cpu.HARD_IRQ:
        ctx.bank = (state >> 10) & 7
    ctx.pc = words[at + 1] & 0x3FF
    ctx.fresh = (words[at + 1] >> 10) & 1
    copies, more, pending = np.int64(words[at + 2]), np.int64(words[at + 3]), np.int64(words[at + 4])
    bank = host.banks[ctx.bank]
    ctx.fsr = fsr_of(copies & 0x3FF)
    ctx.means = bank.head_fault if copies & (1 << 10) else 0
    ctx.fsr_record = 1 if copies & (1 << 11) else 0
    ctx.far_record = 1 if copies & (1 << 12) else 0
    ctx.dumping = (copies >> 13) & 1
    ctx.mapped = (copies >> 14) & 1
    ctx.may_stall = (copies >> 15) & 1
    ctx.ret = more & 15
    ctx.far_is = (more >> 4) & 3
    ctx.far = np.uint64(more >> 8) << PAGE_BITS
    ctx.fsynr0 = 0
    ctx.fault = 0
    ctx.idle = 0
    ctx.handled = 0
    ctx.pending = pending & 1
    ctx.pending_fsr = fsr_of((pending >> 1) & 0x3FF)
    ctx.pending_means = bank.head_fault if pending & (1 << 11) else 0
    ctx.pending_far = np.uint64(pending >> 12) << PAGE_BITS
    ctx.pending_fsynr0 = 0
    ctx.remaining = 0
    ctx.since = 0
    runs = ctx.on_cpu != 0 and ctx.state != cpu.SPIN
    ctx.t_next = 0 if runs or ctx.state == cpu.DELIVERY else NEVER
