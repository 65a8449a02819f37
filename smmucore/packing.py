"""A state of the explored machine as a row of 16-bit words (decision 0010).

What no rule asks is left out, and what rules only compare is made relative: a record is the current one or
not, the fault that a pass means to resume is the head or not.  So equal rows behave alike.  `unpacking` is
the way back.
"""

from __future__ import annotations

import numpy as np

from smmucore import contexts as cpu
from smmucore.kernel import kernel
from smmucore.liveness import DUMPING, FAR, FAR_IS, FAR_RECORD, FSR, FSR_RECORD, MAPPED, MAY, MEANS, RET
from smmucore.registers import FSR_MULTI, FSR_SS, FSR_SYNDROME, SCTLR_CFCFG, SCTLR_CFIE, SCTLR_HUPCF

U0 = np.uint64(0)
PAGE_BITS = np.uint64(12)


@kernel
def fsr_code(fsr):
    """Return FSR without Format in ten bits: the syndrome, SS, MULTI."""
    code = (fsr & FSR_SYNDROME) >> 1
    if fsr & FSR_SS:
        code |= 1 << 8
    if fsr & FSR_MULTI:
        code |= 1 << 9
    return code


@kernel
def page_of(ex, iova):
    """Return the number of a fault's page, from one; 0: none, or it plays no part."""
    return np.int64(iova >> PAGE_BITS) if ex.bounds.uses_far else np.int64(0)


@kernel
def was_idle(ex):
    """Tell whether the SMMU has been idle for long: it sleeps, but where an access or a user came since."""
    clock = ex.sim.clock
    return clock.last_end < 0 and clock.last_put < 0


@kernel
def pack(ex):
    """Write the state at hand into ``ex.scratch``."""
    sim, out, bounds = ex.sim, ex.scratch, ex.bounds
    host = sim.host
    client = host.client
    out[0] = ex.progress.left | client.dumped << 4 | client.capturing << 5
    if bounds.sleeps and was_idle(ex):
        out[0] |= 1 << 8
    at = 1
    for b in range(bounds.banks):
        bank = host.banks[b]
        mapped = 0
        if bounds.pages:
            for k in range(bounds.faults):
                mapped |= 1 << k if sim.mem.words[ex.leaf_at[b, k]] != U0 else 0
        flying = 0
        for k in range(sim.clock.arrivals):
            row = sim.slots[sim.arrivals[sim.clock.first_arrival + k].slot]
            if sim.requesters[row.requester].bank == b:
                flying += 1 << (page_of(ex, row.iova) - 1) if bounds.uses_far else 1
        head = page_of(ex, sim.slots[bank.head].iova) if bank.head >= 0 else 0
        out[at] = fsr_code(bank.fsr) | mapped << 10
        bits = 1 if bank.sctlr & SCTLR_CFIE else 0
        bits |= 2 if bank.sctlr & SCTLR_CFCFG else 0
        bits |= 4 if bank.sctlr & SCTLR_HUPCF else 0
        bits |= 8 if bank.record != 0 and bank.seen == bank.record else 0
        bits |= 16 if bank.record != 0 and bank.record_fault != 0 else 0
        out[at + 1] = bits | bank.line_latched << 5 | bank.book << 6 | ex.untold[b] << 9
        out[at + 2] = bank.lock + 1 | flying << 5
        out[at + 3] = page_of(ex, bank.far)
        out[at + 4] = head
        out[at + 5] = bank.has_noted | page_of(ex, bank.noted) << 1
        at += 6
        fifo = sim.fifos[b]
        for k in range(bounds.faults):
            out[at] = 0
            if k < bank.fifo_len:
                row = sim.slots[fifo[(bank.fifo_at + k) % fifo.size]]
                out[at] = (1 if row.fault != 0 else 2) | page_of(ex, row.iova) << 2
            at += 1
    for n in range(bounds.banks):
        line = host.lines[n]
        out[at] = line.masked | line.passes << 6 | line.threads << 10 | line.disabled << 13
        if host.contexts[n].state > cpu.PENDED or line.threads > 0:
            out[at] |= line.fresh << 4 | line.handled << 5
        at += 1
    for c in range(bounds.contexts):
        pack_context(ex, host, host.contexts[c], out, at)
        at += 5


@kernel
def pack_context(ex, host, ctx, out, at):
    """Write a context's five words."""
    bank = host.banks[ctx.bank]
    ending = 1 if ctx.sync_round < 0 else 2 if ctx.sync_round > 0 else 0
    out[at] = (
        ctx.state | ctx.runnable << 4 | ctx.on_cpu << 5 | ctx.irqs_off << 6 | ctx.user << 7 | ending << 8
    )
    out[at + 1] = 0
    out[at + 2] = 0
    out[at + 3] = 0
    out[at + 4] = 0
    if ctx.state == cpu.STEP or ctx.state == cpu.SPIN:
        live = ex.live[ctx.pc]
        out[at] |= ctx.bank << 10
        out[at + 1] = ctx.pc | ctx.fresh << 10
        if live & FSR:
            out[at + 2] = fsr_code(ctx.fsr)
        if live & MEANS and ctx.means != 0 and ctx.means == bank.head_fault:
            out[at + 2] |= 1 << 10
        if bank.record != 0:
            out[at + 2] |= 1 << 11 if live & FSR_RECORD and ctx.fsr_record == bank.record else 0
            out[at + 2] |= 1 << 12 if live & FAR_RECORD and ctx.far_record == bank.record else 0
        out[at + 2] |= ctx.dumping << 13 if live & DUMPING else 0
        out[at + 2] |= ctx.mapped << 14 if live & MAPPED else 0
        out[at + 2] |= ctx.may_stall << 15 if live & MAY else 0
        out[at + 3] = ctx.ret if live & RET else 0
        out[at + 3] |= ctx.far_is << 4 if live & FAR_IS else 0
        out[at + 3] |= page_of(ex, ctx.far) << 8 if live & FAR else 0
    if ctx.pending:
        wants = ex.bounds.worker_wants
        out[at + 4] = 1
        out[at + 4] |= fsr_code(ctx.pending_fsr) << 1 if wants & FSR else 0
        if wants & MEANS and ctx.pending_means != 0 and ctx.pending_means == bank.head_fault:
            out[at + 4] |= 1 << 11
        out[at + 4] |= page_of(ex, ctx.pending_far) << 12 if wants & FAR else 0
