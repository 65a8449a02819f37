"""The moves of the explored machine: what may happen next, and what comes of it (decision 0010).

A context's move is `handler.run_context`, an arrival is `faults.arrive`: replay's own.  Here stands only
which of them may come next, and what an observer notes of them.
"""

from __future__ import annotations

import numpy as np

from smmucore import bank as rules
from smmucore import contexts as cpu
from smmucore import power
from smmucore.dispatch import may_stall_at
from smmucore.engine import begin_submit
from smmucore.faults import arrive, wake_up
from smmucore.handler import run_context
from smmucore.kernel import kernel
from smmucore.packing import page_of, was_idle
from smmucore.records import CRASHED, NEVER, RUNNING
from smmucore.registers import FSR_MULTI, FSR_SS, FSR_SYNDROME, SCTLR_CFIE
from smmucore.steps import LOG, READ_FSR, REPORT
from smmucore.unpacking import LAST_ROUND, take_slot

# What a move did, as bits.
ENTERED = 1 << 0  # a hard interrupt was taken
SPURIOUS = 1 << 1  # an entry ended that saw no new record
UNHANDLED = 1 << 2  # the detector was fed an unhandled entry ..
HANDLED = 1 << 3  # .. or a handled one
RESUMED = 1 << 4  # a RESUME acted
RETRIED = 1 << 5
STRAY = 1 << 6
IGNORED = 1 << 7  # a RESUME was ignored, and the transaction still is stalled
LOST = 1 << 8  # a fault's record was lost, and nothing tells of it
FOLDED = 1 << 9  # a fault is told by MULTI alone
UNTOLD = 1 << 10  # MULTI was cleared before any pass had read it
STALE = 1 << 11  # a pass reported MULTI alone, with the FAR of a fault that is told already
CRASH = 1 << 12  # a register was accessed while the SMMU slept
SAW = 1 << 13  # a record was seen
FRESH = 1 << 14  # an access was made that had not been
OPTIONAL = 1 << 15  # the move need not come

# What a state is, as bits above those of the contexts that can act in it.
FLYING = 1 << 16  # a fault is on its way to its bank
STALLED = 1 << 17  # SS is set in a bank
WAITING = 1 << 18  # something waits behind a stall or FSR
MASKED = 1 << 19  # a line is masked, or closed at the interrupt controller
NO_CFIE = 1 << 20
BUSY = 1 << 21  # a context is not idle

#: Obliged to move, sooner or later, where they can.
ACTORS = (1 << 17) - 1


@kernel
def moves(ex):
    """Return how many moves there are to try: contexts', then the environment's."""
    bounds = ex.bounds
    return bounds.contexts + bounds.banks * (3 + flights(ex)) + 2


@kernel
def flights(ex):
    """Return how many kinds of fault on its way a bank can have."""
    return ex.bounds.faults if ex.bounds.uses_far else 1


@kernel
def state_flags(ex):
    """Return what the state at hand is: the contexts that can act, and the bits above."""
    host = ex.sim.host
    flags = 0
    for c in range(ex.bounds.contexts):
        ctx = host.contexts[c]
        if ctx.t_next == 0 and (ctx.on_cpu != 0 or ctx.state == cpu.DELIVERY):
            flags |= 1 << c
        if ctx.state != cpu.IDLE:
            flags |= BUSY
    if ex.sim.clock.arrivals > 0:
        flags |= FLYING
    if host.queue.stalled > 0:
        flags |= STALLED
    if host.queue.held > 0:
        flags |= WAITING
    for b in range(ex.bounds.banks):
        bank = host.banks[b]
        if bank.fsr & FSR_SS:
            flags |= STALLED
        if bank.fifo_len > 0:
            flags |= WAITING
        if host.lines[b].masked != 0:
            flags |= MASKED
        if bank.sctlr & SCTLR_CFIE == 0:
            flags |= NO_CFIE
    return flags


@kernel
def can(ex, m, about):
    """Tell whether move `m` can come in the state at hand, which is `about` (`state_flags`)."""
    sim, bounds = ex.sim, ex.bounds
    host = sim.host
    if m < bounds.contexts:
        return about & (1 << m) != 0
    m -= bounds.contexts
    b = m % bounds.banks
    kind = m // bounds.banks
    bank = host.banks[b]
    if kind == 0:
        return ex.progress.left > 0
    if kind == 1:
        return ex.progress.left > 0 and rules.admit(bank, sim.hw) == rules.HOLD
    if kind == 2:
        if bounds.submits == 0 or host.contexts[3 * bounds.banks + b].state != cpu.IDLE:
            return False
        return may_stall_at(bank, host.client) <= 0
    if kind < 3 + flights(ex):
        return flight(ex, b, kind - 2) >= 0
    if m == bounds.banks * (3 + flights(ex)):
        # User space has read the dump: only a policy that brings stall back waits for it.
        return bounds.submits != 0 and host.client.dumped != 0 and host.client.capturing == 0
    if bounds.sleeps == 0 or m != bounds.banks * (3 + flights(ex)) + 1:
        return False
    return sim.clock.users == 0 and sim.clock.open == 0 and not was_idle(ex)


@kernel
def flight(ex, b, page):
    """Return the place of a fault on its way to bank `b` (at `page`, where that plays a part), or -1."""
    sim = ex.sim
    for k in range(sim.clock.arrivals):
        row = sim.slots[sim.arrivals[sim.clock.first_arrival + k].slot]
        if sim.requesters[row.requester].bank == b:
            if ex.bounds.uses_far == 0 or page_of(ex, row.iova) == page:
                return k
    return -1


@kernel
def do(ex, m):
    """Let move `m` come; return what it did."""
    sim, bounds = ex.sim, ex.bounds
    if m < bounds.contexts:
        return act(ex, m)
    m -= bounds.contexts
    b = m % bounds.banks
    kind = m // bounds.banks
    before = folded_banks(ex)
    forget_counts(ex)
    flags = 0
    if kind <= 1:
        flags = FRESH | OPTIONAL
        fresh(ex, b, kind == 1)
    elif kind == 2:
        flags = OPTIONAL
        begin_submit(sim.host, b, np.int64(0))
    elif kind < 3 + flights(ex):
        land(ex, flight(ex, b, kind - 2))
    else:
        flags = OPTIONAL
        if m == bounds.banks * (3 + flights(ex)):
            sim.host.client.dumped = 0
        else:
            sim.clock.last_end = -1
            sim.clock.last_put = -1
    return flags | observe(ex, before, -1)


@kernel
def fresh(ex, b, held):
    """An access is made to bank `b` that faults: it arrives there, or is held untranslated (HUPCF=0)."""
    sim, bounds = ex.sim, ex.bounds
    if bounds.sleeps and power.is_asleep(sim.host.plan, sim.clock, np.int64(0)):
        wake_up(sim, np.int64(0))
    page = bounds.faults - ex.progress.left + 1 if bounds.uses_far else 0
    ex.progress.left -= 1
    slot = 0
    while sim.slot_free[slot] > 0:
        slot += 1
    take_slot(ex, slot, b, page, 0)
    bank = sim.host.banks[b]
    if held:
        rules.push(bank, sim.fifos[b], slot)
        return
    place = sim.clock.first_arrival + sim.clock.arrivals
    sim.arrivals[place].t = 0
    sim.arrivals[place].slot = slot
    sim.clock.arrivals += 1
    if bounds.sleeps == 0:
        land(ex, sim.clock.arrivals - 1)  # an access that was on its way for long: nothing came between


@kernel
def land(ex, k):
    """Fault number `k` of those on their way reaches its bank."""
    sim = ex.sim
    first = sim.clock.first_arrival
    slot = sim.arrivals[first + k].slot
    sim.arrivals[first + k].slot = sim.arrivals[first].slot
    sim.arrivals[first].slot = slot
    b = arrive(sim, np.int64(0))
    cpu.look_at_line(sim.host, b, np.int64(0))


@kernel
def act(ex, c):
    """Let context `c` have its next effect, and those after it that nobody else can tell from it."""
    flags = effect(ex, c)
    while goes_on(ex, c) and ex.bounds.single == 0:
        flags |= effect(ex, c)
    return flags


@kernel
def goes_on(ex, c):
    """Tell whether the next effect of context `c` belongs to the same move."""
    ctx = ex.sim.host.contexts[c]
    if ctx.on_cpu == 0 or ctx.t_next != 0 or ex.sim.clock.stop != RUNNING:
        return False
    if ctx.state == cpu.ENTRY:
        return ex.sim.host.plan.threaded == 0
    return ctx.state == cpu.STEP and ex.local[ctx.pc] != 0


@kernel
def effect(ex, c):
    """Let context `c` have one effect; return what it did."""
    sim = ex.sim
    host = sim.host
    ctx = host.contexts[c]
    state, b, was_fresh = ctx.state, ctx.bank, ctx.fresh
    op = host.steps[ctx.pc].op if state == cpu.STEP else -1
    flags = 0
    if (op == REPORT or (op == LOG and host.steps[ctx.pc].arg >> 8 == 0)) and ctx.fsr & FSR_MULTI:
        flags |= STALE if ctx.fsr & FSR_SYNDROME == 0 else 0
    threads = host.lines[cpu.line_of(host, b)].threads
    if state == cpu.EXIT and host.plan.threaded == 0:
        flags |= HANDLED if host.lines[c].handled else UNHANDLED
    elif state == cpu.UNMASK and threads == 1:
        flags |= HANDLED if host.lines[cpu.line_of(host, b)].handled else UNHANDLED
    before = folded_banks(ex)
    forget_counts(ex)
    run_context(sim, c, np.int64(-1))
    if ctx.sync_round > 0:
        ctx.sync_round = LAST_ROUND  # how many came before it does not matter, nor how long they are
        ctx.remaining = 0
        ctx.t_next = 0 if ctx.on_cpu else NEVER
    if state == cpu.STEP and ctx.state == cpu.STEP and ctx.fresh > was_fresh:
        flags |= SAW
    return flags | observe(ex, before, b if op == READ_FSR else -1)


@kernel
def folded_banks(ex):
    """Return the banks whose MULTI is set, as bits."""
    bits = 0
    for b in range(ex.bounds.banks):
        if ex.sim.host.banks[b].fsr & FSR_MULTI:
            bits |= 1 << b
    return bits


@kernel
def forget_counts(ex):
    """Set to zero what `observe` looks at."""
    counters = ex.sim.counters
    counters.irq_entries = 0
    counters.irq_spurious = 0
    counters.resume_written = 0
    counters.resume_ignored = 0
    counters.resume_stray = 0
    counters.retried = 0
    counters.faults_lost = 0
    counters.faults_coalesced = 0


@kernel
def observe(ex, before, reads):
    """Return what the counters and MULTI say of an effect; `reads` is the bank whose FSR it read, or -1."""
    sim = ex.sim
    counters = sim.counters
    flags = 0
    flags |= ENTERED if counters.irq_entries else 0
    flags |= SPURIOUS if counters.irq_spurious else 0
    flags |= RESUMED if counters.resume_written > counters.resume_ignored else 0
    flags |= RETRIED if counters.retried else 0
    flags |= STRAY if counters.resume_stray else 0
    flags |= LOST if counters.faults_lost else 0
    flags |= FOLDED if counters.faults_coalesced else 0
    flags |= CRASH if sim.clock.stop == CRASHED else 0
    for b in range(ex.bounds.banks):
        bank = sim.host.banks[b]
        if counters.resume_ignored and bank.fsr & FSR_SS:
            flags |= IGNORED
        if bank.fsr & FSR_MULTI == 0:
            flags |= UNTOLD if ex.untold[b] else 0
            ex.untold[b] = 0
        elif before & (1 << b) == 0:
            ex.untold[b] = 1
        elif reads == b:
            ex.untold[b] = 0
    return flags
