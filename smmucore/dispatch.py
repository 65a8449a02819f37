"""The dispatcher: what a step costs, and what it does. One place for both (K6).

`begin` finds the next step whose condition holds and prices it; `perform` carries it out at the end
of that time.  Neither knows what else goes on: the engine (or an explorer) acts on the consequence.
"""

from __future__ import annotations

from smmucore import bank as rules
from smmucore.contexts import HARD_IRQ
from smmucore.kernel import kernel
from smmucore.linux import PRINTED_WITH_SUMMARY, SUPPRESSED, ratelimit
from smmucore.records import NOBODY
from smmucore.registers import FSR_ALL_ONES, FSR_SS, RESUME_RETRY, RESUME_TERMINATE
from smmucore.steps import (
    BY_MAPPED,
    BY_RETRY,
    BY_RETURN,
    CAPTURE,
    CHECK,
    IF_DUMP,
    IF_NO_DUMP,
    IF_NOT_DUMPED,
    IF_SS,
    IRQ_NONE,
    IRQ_OFF,
    IRQ_ON,
    LOCK,
    LOG,
    MAP_PAGE,
    READ_FAR,
    READ_FSR,
    READ_FSYNR0,
    READ_OTHER,
    REPORT,
    RET_MASK,
    RETURN,
    SCTLR_CLEAR,
    SCTLR_SET,
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
RETURNED = 9  # with IRQ_HANDLED
RETURNED_NONE = 10


@kernel
def holds(when, ctx, client):
    """Tell whether a step's condition holds for this pass."""
    if when == 0:
        return True
    if when & IF_SS and ctx.fsr & FSR_SS == 0:
        return False
    if when & IF_DUMP and ctx.dumping == 0:
        return False
    if when & IF_NO_DUMP and ctx.dumping != 0:
        return False
    if when & IF_NOT_DUMPED and client.dumped != 0:
        return False
    codes = when & RET_MASK
    return codes == 0 or (codes >> ctx.ret) & 1 == 1


@kernel
def begin(steps, ctx, client, cost, sites, counters, now):
    """Move `ctx.pc` to the next step that is taken, and return its cost in ns.

    A LOG asks its call site's ratelimit now: whether it prints decides what it costs.
    """
    while not holds(steps[ctx.pc].when, ctx, client):
        ctx.pc += 1
    op = steps[ctx.pc].op
    if op <= READ_OTHER:
        return cost.mmio_read
    if op == CHECK:
        return cost.check
    if (
        op == WRITE_FSR_READ
        or op == WRITE_FSR_ALL
        or op == WRITE_RESUME
        or op == SCTLR_CLEAR
        or op == SCTLR_SET
        or op == IRQ_OFF
        or op == IRQ_ON
    ):
        return cost.mmio_write
    if op == REPORT:
        return cost.report
    if op == LOCK and ctx.kind != HARD_IRQ:
        ctx.irqs_off = 1  # outside the hard IRQ it is taken, and waited for, with interrupts off
    if op == LOG:
        return _log(steps[ctx.pc].arg, cost, sites, counters, now)
    if op == WAKE:
        return cost.queue_work
    if op == CAPTURE:
        return cost.capture
    if op == MAP_PAGE:
        return cost.map_page
    return 0


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


@kernel
def perform(steps, ctx, me, bank, hw, client, counters):
    """Carry out the step at `ctx.pc` and move past it.

    Returns
    -------
    consequence : int64
        One of the constants above.
    slot, number : int64
        For RESUME_DID: the transaction and its fault number; else NOBODY, 0.
    value : int64
        For RESUME_DID: RESUME_RETRY or RESUME_TERMINATE.  For WROTE: the fault whose record was
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
    if op == CHECK:
        return (NOTHING if ctx.fsr & arg else RETURNED_NONE), NOBODY, 0, 0
    if op == REPORT:
        ctx.dumping = 1 if arg >> 16 and client.dumped == 0 else 0
        ctx.ret = (arg >> 8) & 0xFF if ctx.dumping else arg & 0xFF
        return NOTHING, NOBODY, 0, 0
    if op == WRITE_FSR_READ or op == WRITE_FSR_ALL:
        counters.mmio_writes += 1
        unread = rules.write_fsr(bank, ctx.fsr if op == WRITE_FSR_READ else FSR_ALL_ONES)
        return WROTE, NOBODY, 0, unread
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
    if op == WAKE:
        return WOKE, NOBODY, 0, 0
    if op == CAPTURE:
        client.dumped = 1
        return NOTHING, NOBODY, 0, 0
    if op == LOG:
        return NOTHING, NOBODY, 0, 0
    if op == MAP_PAGE:
        return MAPS, NOBODY, 0, arg
    if op == RETURN and arg == IRQ_NONE:
        return RETURNED_NONE, NOBODY, 0, 0
    return RETURNED, NOBODY, 0, 0


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
