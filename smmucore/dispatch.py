"""The dispatcher: what a step costs, and what it does. One place for both (K6).

`begin` finds the next step whose condition holds and prices it; `perform` carries it out at the end
of that time.  Neither knows what else goes on: the engine (or an explorer) acts on the consequence.
"""

from __future__ import annotations

import numpy as np

from smmucore import bank as rules
from smmucore import dumps
from smmucore.contexts import HARD_IRQ
from smmucore.kernel import inlined, kernel
from smmucore.linux import PRINTED_WITH_SUMMARY, SUPPRESSED, ratelimit
from smmucore.records import FAR_KNOWN, FAR_NEW, NEVER, NO_STALL, NOBODY, STALL_OFF, STALL_ON
from smmucore.registers import FSR_ALL_ONES, FSR_SS, RESUME_RETRY, RESUME_TERMINATE
from smmucore.steps import (
    ATOS,
    BY_MAPPED,
    BY_RETRY,
    BY_RETURN,
    CAPTURE,
    CHECK,
    CMD_RESUME,
    COOL_DOWN,
    IF_DUMP,
    IF_KNOWN,
    IF_MAY_STALL,
    IF_NEW,
    IF_NO_DUMP,
    IF_NO_SS,
    IF_NOT_DUMPED,
    IF_SS,
    IF_STALL_ON,
    IRQ_NONE,
    IRQ_OFF,
    IRQ_ON,
    LOCK,
    LOG,
    MAP_PAGE,
    MAY_STALL,
    NEXT_EVENT,
    NOTE_FAR,
    PM_GET,
    PM_GET_IF_ACTIVE,
    PM_PUT,
    QUEUE_EVENT,
    READ_FAR,
    READ_FSR,
    READ_FSYNR0,
    READ_OTHER,
    REPORT,
    REPORT_DUMPS,
    REPORT_NEEDS_SS,
    RET_MASK,
    RETURN,
    SCTLR_CLEAR,
    SCTLR_SET,
    SPEND,
    SYNC_TLB,
    TBU_HALT,
    TLBI_BY_ASID,
    UNLOCK,
    WAKE,
    WRITE_FSR_ALL,
    WRITE_FSR_READ,
    WRITE_RESUME,
)

# What the caller has to see to after a step.
NOTHING = 0
SAW_RECORD = 1  # the pass has read a record that nobody had read
WROTE = 2  # FSR or SCTLR changed: drain, then look at the line
RESUME_DID = 3  # RESUME acted: `slot` is retried or terminated; then as WROTE
WOKE = 4
MAPS = 5  # the page at the pass's FAR is to be mapped; set ctx.mapped and ctx.ret
UNLOCKED = 6
SPINS = 7  # the lock is held by another context
SWITCHED = 8  # the line was closed (value 1) or opened (0) at the interrupt controller
INVALIDATES = 9  # the bank's ASID
CAPTURED = 10  # none is being captured any more
STALL_BOOKED = 11  # stall may come back, or has, in the driver's book
GOT_PM = 12
PUT_PM = 13
LOOKS = 14  # at the event queue: take an event, or end the entry
JOINS = 15  # its event joins the worker's queue
COMMANDS = 16  # CMD_RESUME: `value` for the event's transaction
RETURNED = 17  # with IRQ_HANDLED
RETURNED_NONE = 18
ENTRY_OVER = 19  # the event queue was empty

# CONTEXT.sync_round
NO_SYNC = 0
SYNC_ENDS = -1
SYNC_ROUNDS = 20
READS_A_ROUND = 10
FIRST_DELAY_NS = 1000


@kernel
def holds(when, ctx, bank, client, now):
    """Tell whether a step's condition holds for this pass."""
    if when == 0:
        return True
    if when & IF_SS and ctx.fsr & FSR_SS == 0:
        return False
    if when & IF_NO_SS and ctx.fsr & FSR_SS != 0:
        return False
    if when & IF_DUMP and ctx.dumping == 0:
        return False
    if when & IF_NO_DUMP and ctx.dumping != 0:
        return False
    if when & IF_NOT_DUMPED and dumps.exists(client, now):
        return False
    if when & IF_STALL_ON and bank.book != STALL_ON:
        return False
    if when & IF_MAY_STALL and ctx.may_stall == 0:
        return False
    if when & IF_NEW and ctx.far_is != FAR_NEW:
        return False
    if when & IF_KNOWN and ctx.far_is != FAR_KNOWN:
        return False
    codes = when & RET_MASK
    return codes == 0 or (codes >> ctx.ret) & 1 == 1


@inlined
def begin(steps, ctx, bank, hw, queue, client, cost, sites, counters, now):
    """Move `ctx.pc` to the next step that is taken, and return its cost in ns.

    A LOG asks its call site's ratelimit now: whether it prints decides what it costs.  A TLBSYNC that goes
    on begins its next round.
    """
    if ctx.sync_round == NO_SYNC:
        while steps[ctx.pc].when != 0 and not holds(steps[ctx.pc].when, ctx, bank, client, now):
            ctx.pc += 1
    op = steps[ctx.pc].op
    if op <= READ_OTHER:
        return cost.mmio_read
    if op == RETURN:
        return np.int64(0)
    if op == WRITE_FSR_READ or op == WRITE_FSR_ALL or op == WRITE_RESUME:
        return cost.mmio_write
    if op == CHECK:
        return cost.check
    if op == REPORT:
        return cost.report
    if op == LOG:
        return _log(steps[ctx.pc].arg, cost, sites, counters, now)
    if op == WAKE:
        return cost.queue_work
    return _begin_rarely(op, steps[ctx.pc].arg, ctx, bank, hw, queue, client, cost, now)


@kernel
def _begin_rarely(op, arg, ctx, bank, hw, queue, client, cost, now):
    """Price a step that no storm consists of: apart, so that the loop of the others stays small."""
    if op == SCTLR_CLEAR or op == SCTLR_SET or op == IRQ_OFF or op == IRQ_ON or op == TLBI_BY_ASID:
        return cost.mmio_write
    if op == LOCK and ctx.kind != HARD_IRQ:
        ctx.irqs_off = 1  # outside the hard IRQ it is taken, and waited for, with interrupts off
    if op == MAY_STALL:
        return cost.check
    if op == QUEUE_EVENT:
        return cost.queue_work
    if op == CAPTURE:
        dumps.begin(client, now)
        return cost.capture
    if op == MAP_PAGE:
        return cost.map_page
    if op == SYNC_TLB:
        return _sync_round(ctx, bank, hw, cost)
    if op == PM_GET or op == PM_GET_IF_ACTIVE:
        return cost.pm_get
    if op == PM_PUT:
        return cost.pm_put
    if op == SPEND:
        return cost.tbu_halt if arg == TBU_HALT else cost.atos if arg == ATOS else cost.soft_walk
    if op == NEXT_EVENT:
        ctx.asks = 1 if queue.known == 0 else 0
        return cost.event_read + (cost.mmio_read if ctx.asks else 0)
    if op == CMD_RESUME:
        return cost.cmd_issue
    return np.int64(0)


@kernel
def _sync_round(ctx, bank, hw, cost):
    """Begin a TLBSYNC, or its next round: it cannot end while the bank's transaction is stalled."""
    waits = bank.fsr & FSR_SS != 0
    if ctx.sync_round == NO_SYNC:
        if not waits or hw.sync_waits_for_stall == 0:
            ctx.sync_round = SYNC_ENDS
            return cost.mmio_write + cost.mmio_read
        ctx.sync_round = 1
        return cost.mmio_write + READS_A_ROUND * cost.mmio_read + FIRST_DELAY_NS
    if not waits:
        ctx.sync_round = SYNC_ENDS
        return cost.mmio_read
    ctx.sync_round += 1
    return READS_A_ROUND * cost.mmio_read + (FIRST_DELAY_NS << (ctx.sync_round - 1))


@kernel
def _sync(ctx, bank, counters):
    """End a round of a TLBSYNC; its step stays until the sync has ended, or the driver gives up."""
    if ctx.sync_round == SYNC_ENDS:
        counters.tlb_sync_reads += 1
    else:
        counters.tlb_sync_reads += READS_A_ROUND
        if ctx.sync_round < SYNC_ROUNDS or bank.fsr & FSR_SS == 0:
            ctx.pc -= 1
            return
        counters.tlb_sync_timeouts += 1
    counters.tlb_syncs += 1
    ctx.sync_round = NO_SYNC


@kernel
def touches_register(op):
    """Tell whether a step reads or writes a register of the SMMU."""
    if op == TLBI_BY_ASID or op == SYNC_TLB or op == NEXT_EVENT or op == CMD_RESUME:
        return True
    return op <= READ_OTHER or (op >= WRITE_FSR_READ and op <= SCTLR_SET)


@kernel
def may_stall_at(bank, client):
    """Return from when on MAY_STALL would succeed, or NEVER while nobody can tell."""
    if bank.book != STALL_OFF or client.capturing != 0:
        return NEVER
    after = bank.cool_until + 1
    return max(after, client.kept_until) if client.dumped else after


@kernel
def _log(arg, cost, sites, counters, now):
    site = arg >> 8
    lines = arg & 0xFF
    answer = ratelimit(sites[site], now)
    if answer == SUPPRESSED:
        counters.log_suppressed += 1
        return cost.log_suppressed
    counters.log_lines += lines
    counters.console_ns += _printing(site, lines, answer, cost)
    ns = lines * cost.log_line
    if site == 1:
        ns += cost.console_gpu
    else:
        ns += cost.console_first
        if lines > 1:
            ns += cost.console_second
        if lines > 2:
            ns += cost.console_third
    if answer == PRINTED_WITH_SUMMARY:
        counters.log_lines += 1
        ns += cost.log_summary + cost.console_summary
    return ns


@kernel
def _printing(site, lines, answer, cost):
    """Return how long the printing thread of a threaded console is busy with what is logged."""
    if site == 1:
        ns = cost.printer_gpu
    else:
        ns = cost.printer_first
        if lines > 1:
            ns += cost.printer_second
        if lines > 2:
            ns += cost.printer_third
    if answer == PRINTED_WITH_SUMMARY:
        ns += cost.printer_summary
    return ns


@kernel
def _note_record(ctx, bank):
    """A pass that has read FSR and FAR while one record was current has seen it."""
    if ctx.fsr_record != 0 and ctx.fsr_record == ctx.far_record and bank.seen != ctx.fsr_record:
        bank.seen = ctx.fsr_record
        ctx.fresh = 1
        return SAW_RECORD
    return NOTHING


@inlined
def perform(steps, ctx, me, bank, hw, client, cost, counters, now, asleep):
    """Carry out the step at `ctx.pc` and move past it; `asleep` tells whether the SMMU sleeps.

    Returns
    -------
    consequence : int64
        One of the constants above.
    slot, number : int64
        For RESUME_DID: the transaction and its fault number; else NOBODY, 0.
    value : int64
        For RESUME_DID and COMMANDS: RESUME_RETRY or RESUME_TERMINATE.  For WROTE: the fault whose record was
        cleared unread, or 0.  For SWITCHED: 1 if closed.
    """
    op = steps[ctx.pc].op
    arg = steps[ctx.pc].arg
    ctx.pc += 1
    if op == READ_FSR:
        counters.mmio_reads += 1
        ctx.fsr = bank.fsr
        ctx.fsr_record = bank.record
        ctx.means = bank.head_fault
        return _note_record(ctx, bank), NOBODY, 0, 0
    if op == READ_FAR:
        counters.mmio_reads += 1
        ctx.far = bank.far
        ctx.far_record = bank.record
        return _note_record(ctx, bank), NOBODY, 0, 0
    if op == READ_FSYNR0:
        counters.mmio_reads += 1
        ctx.fsynr0 = bank.fsynr0
        return NOTHING, NOBODY, 0, 0
    if op == READ_OTHER:
        counters.mmio_reads += 1
        return NOTHING, NOBODY, 0, 0
    if op == RETURN:
        return (RETURNED_NONE if arg == IRQ_NONE else RETURNED), NOBODY, 0, 0
    if op == CHECK:
        return (NOTHING if ctx.fsr & arg else RETURNED_NONE), NOBODY, 0, 0
    if op == WRITE_FSR_READ or op == WRITE_FSR_ALL:
        counters.mmio_writes += 1
        unread = rules.write_fsr(bank, ctx.fsr if op == WRITE_FSR_READ else FSR_ALL_ONES)
        return WROTE, NOBODY, 0, unread
    if op == REPORT:
        told = arg & REPORT_NEEDS_SS == 0 or ctx.fsr & FSR_SS != 0
        ctx.dumping = 1 if arg & REPORT_DUMPS and told and not dumps.exists(client, now) else 0
        ctx.ret = (arg >> 8) & 0xFF if ctx.dumping else arg & 0xFF
        return NOTHING, NOBODY, 0, 0
    if op == LOG:
        return NOTHING, NOBODY, 0, 0
    if op == WAKE:
        return WOKE, NOBODY, 0, 0
    return _perform_rarely(op, arg, ctx, me, bank, hw, client, cost, counters, now, asleep)


@kernel
def _perform_rarely(op, arg, ctx, me, bank, hw, client, cost, counters, now, asleep):
    """Carry out a step that no storm consists of: apart, so that the loop of the others stays small."""
    if op == WRITE_RESUME:
        counters.mmio_writes += 1
        counters.resume_written += 1
        effect, slot, number = rules.write_resume(bank, hw)
        if effect == rules.IGNORED:
            counters.resume_ignored += 1
            return NOTHING, NOBODY, 0, 0
        if number != ctx.means:
            counters.resume_stray += 1
        return RESUME_DID, slot, number, _resume_value(arg, ctx)
    if op == SCTLR_CLEAR:
        counters.mmio_writes += 1
        bank.sctlr &= ~arg
        return WROTE, NOBODY, 0, 0
    if op == SCTLR_SET:
        counters.mmio_writes += 1
        bank.sctlr |= arg
        return WROTE, NOBODY, 0, 0
    if op == LOCK:
        if bank.lock != NOBODY:
            ctx.pc -= 1
            return SPINS, NOBODY, 0, 0
        bank.lock = me
        return NOTHING, NOBODY, 0, 0
    if op == UNLOCK:
        bank.lock = NOBODY
        ctx.irqs_off = 0
        return UNLOCKED, NOBODY, 0, 0
    if op == IRQ_OFF or op == IRQ_ON:
        return SWITCHED, NOBODY, 0, 1 if op == IRQ_OFF else 0
    if op == CAPTURE:
        ended = dumps.finish(client, cost.dump_kept, now)
        return (CAPTURED if ended else NOTHING), NOBODY, 0, 0
    if op == MAP_PAGE:
        return MAPS, NOBODY, 0, arg
    if op == TLBI_BY_ASID:
        counters.tlbi_writes += 1
        return INVALIDATES, NOBODY, 0, 0
    if op == SYNC_TLB:
        _sync(ctx, bank, counters)
        return NOTHING, NOBODY, 0, 0
    if op == NOTE_FAR:
        ctx.far_is = FAR_KNOWN if bank.has_noted and bank.noted == ctx.far else FAR_NEW
        bank.noted = ctx.far
        bank.has_noted = 1
        return NOTHING, NOBODY, 0, 0
    if op == COOL_DOWN:
        if bank.book == NO_STALL:
            return NOTHING, NOBODY, 0, 0
        bank.book = STALL_OFF
        bank.cool_until = now + cost.cooldown
        return STALL_BOOKED, NOBODY, 0, 0
    if op == MAY_STALL:
        if now < may_stall_at(bank, client):
            return NOTHING, NOBODY, 0, 0
        bank.book = STALL_ON
        ctx.may_stall = 1
        return STALL_BOOKED, NOBODY, 0, 0
    if op == PM_GET or op == PM_GET_IF_ACTIVE:
        return (RETURNED_NONE if asleep and op == PM_GET_IF_ACTIVE else GOT_PM), NOBODY, 0, 0
    if op == PM_PUT:
        return PUT_PM, NOBODY, 0, 0
    if op == SPEND:
        return NOTHING, NOBODY, 0, 0
    if op == NEXT_EVENT:
        if ctx.asks:
            counters.mmio_reads += 1
        return LOOKS, NOBODY, 0, 0
    if op == QUEUE_EVENT:
        return JOINS, NOBODY, 0, 0
    counters.resume_written += 1  # CMD_RESUME
    return COMMANDS, NOBODY, 0, _resume_value(arg, ctx)


@inlined
def read_on(steps, ctx, cost, counters, now, horizon):
    """Carry out the plain reads in a row that end by `horizon`, but for the last; return when that one ends.

    For a context at a read that ends at `now`, where nobody else acts up to `horizon` and the SMMU cannot
    sleep: what `perform` and `begin` come to one by one.
    """
    count = steps[ctx.pc].more
    if now + count * cost.mmio_read > horizon:
        count = (horizon - now) // cost.mmio_read
    counters.mmio_reads += count
    ctx.pc += count
    return now + count * cost.mmio_read


@kernel
def _resume_value(arg, ctx):
    how = arg & 0xFF
    if how == BY_RETRY:
        return RESUME_RETRY
    if how == BY_RETURN and ctx.ret == arg >> 8:
        return RESUME_RETRY
    if how == BY_MAPPED and ctx.mapped:
        return RESUME_RETRY
    return RESUME_TERMINATE
