"""A handler's pass: the steps of one context in time, and what they set off."""

from __future__ import annotations

import numpy as np

from smmucore import contexts as cpu
from smmucore import dispatch, eventq, power
from smmucore.faults import command, drain, forget_unread, release_held, resume, wake_up
from smmucore.invalidate import invalidate
from smmucore.kernel import kernel
from smmucore.mmu import check_rights, rights_needed
from smmucore.pagetable import copy_leaf, find_leaf
from smmucore.records import CRASHED, LIVELOCKED, NEVER, NOBODY, RUNNING
from smmucore.regime import NOWHERE, place
from smmucore.registers import FSYNR0_IND, FSYNR0_PNU, FSYNR0_WNR
from smmucore.walk import walk
from traces.events import EXEC, PROT_PRIV, READ, TLBI_ASID, WRITE

U0 = np.uint64(0)

#: More spurious passes than this for one record are a storm (design 9).
STORM_ENTRIES = 8


@kernel
def run_context(sim, c, horizon):
    """Let context `c` have its next effect, and go on until `horizon` or until it has touched anything else.

    With a horizon in the past, and steps without `more`, it has that one effect: so `explore` steps it.
    """
    host = sim.host
    contexts = host.contexts
    steps, plan, clock, counters, cost = host.steps, host.plan, host.clock, host.counters, host.cost
    ctx = contexts[c]
    bank = host.banks[ctx.bank]
    b = ctx.bank
    for k in range(contexts.size):
        if k != c and (contexts[k].on_cpu or contexts[k].state == cpu.DELIVERY):
            horizon = min(horizon, contexts[k].t_next if k > c else contexts[k].t_next - 1)
    alone = True
    while alone:
        now = ctx.t_next
        if ctx.state == cpu.STEP and steps[ctx.pc].more > 0 and plan.sleeps_after == 0:
            now = dispatch.read_on(steps, ctx, cost, counters, now, horizon)
        clock.now = now
        if ctx.state == cpu.STEP:
            asleep = plan.sleeps_after != 0 and power.is_asleep(plan, clock, now)
            if asleep and dispatch.touches_register(steps[ctx.pc].op):
                counters.mmio_asleep += 1  # a bus error: the machine is down
                clock.stop = CRASHED
                return
            consequence, slot, number, value = dispatch.perform(
                steps, ctx, c, bank, host.hw, host.client, cost, counters, now, asleep
            )
            if consequence == dispatch.LOOKS:
                consequence = take_event(sim, ctx)
                b = ctx.bank
                bank = host.banks[b]
            if consequence >= dispatch.RETURNED:
                ctx.handled = 0 if consequence == dispatch.RETURNED_NONE else 1
                end_pass(sim, host, c, consequence == dispatch.ENTRY_OVER, now)
                alone = ctx.kind == cpu.HARD_IRQ
                b = ctx.bank
                bank = host.banks[b]
                alone = alone and ctx.t_next <= horizon and clock.stop == RUNNING
                continue
            if consequence == dispatch.SPINS:
                ctx.state = cpu.SPIN
                ctx.t_next = NEVER
                return
            if consequence == dispatch.SAW_RECORD:
                saw_record(sim, ctx, bank)
            elif consequence == dispatch.WROTE:
                # Within a hard IRQ with nothing waiting, nobody else can notice.
                if value != 0 or ctx.kind != cpu.HARD_IRQ or bank.fifo_len > 0:
                    alone = False
                    forget_unread(sim, value)
                    drain(sim, b, now)
                    cpu.look_at_line(host, b, now)
            elif consequence == dispatch.WOKE:
                alone = not cpu.queue_work(host, b, c, now)
            elif consequence != dispatch.NOTHING:
                alone = False
                act(sim, c, consequence, slot, number, value, now)
            ns = dispatch.begin(
                steps,
                ctx,
                bank,
                host.hw,
                host.queue,
                host.client,
                cost,
                host.sites,
                counters,
                now,
            )
            if ctx.on_cpu:
                ctx.t_next = now + ns
            else:
                ctx.remaining = ns  # interrupts are on again, and one was waiting
        elif ctx.state == cpu.EXIT:
            cpu.leave_irq(host, c, now)
            alone = ctx.state == cpu.ENTRY
        elif ctx.state == cpu.ENTRY and plan.threaded:
            alone = False
            cpu.wake_threads(host, c, now)
        elif ctx.state == cpu.ENTRY:
            ctx.bank = cpu.first_bank(host, c)
            b = ctx.bank
            bank = host.banks[b]
            begin_pass(host, c, plan.handler, now)
        elif ctx.state == cpu.DELIVERY:
            alone = False
            cpu.deliver(host, c, now)
        elif ctx.state == cpu.WAKING:
            if ctx.kind == cpu.WORKER:
                begin_work(host, c, now)
                b = ctx.bank
                bank = host.banks[b]
            elif ctx.kind == cpu.SUBMIT:
                begin_pass(host, c, plan.submit, now)
            else:
                begin_pass(host, c, plan.handler, now)
        else:
            alone = False
            cpu.unmask(host, c, now)
        alone = alone and ctx.t_next <= horizon and clock.stop == RUNNING


@kernel
def act(sim, c, consequence, slot, number, value, now):
    """See to a step's consequence outside its own context."""
    host = sim.host
    ctx = host.contexts[c]
    b = ctx.bank
    if consequence == dispatch.RESUME_DID:
        progress(host.clock)
        resume(sim, b, slot, number, value, now)
        drain(sim, b, now)
        cpu.look_at_line(host, b, now)
    elif consequence == dispatch.SWITCHED:
        host.lines[cpu.line_of(host, b)].masked += 1 if value != 0 else -1
        cpu.look_at_line(host, b, now)
    elif consequence == dispatch.MAPS:
        map_for(sim, ctx, value)
    elif consequence == dispatch.UNLOCKED:
        cpu.unlocked(host, c, now)
    elif consequence == dispatch.INVALIDATES:
        invalidate(sim.mmu, TLBI_ASID, b, U0, U0)
    elif consequence == dispatch.CAPTURED:
        keep_capture(host, now)
    elif consequence == dispatch.GOT_PM:
        if power.is_asleep(host.plan, host.clock, now):
            wake_up(sim, now)
        power.get(ctx, host.clock)
    elif consequence == dispatch.PUT_PM:
        power.put(ctx, host.clock, now)
    elif consequence == dispatch.JOINS:
        if eventq.join(host.queue, ctx, host.jobs):
            cpu.wake_worker(host, 0, now)
    elif consequence == dispatch.COMMANDS:
        if command(sim, ctx.slot, ctx.means, value, now):
            progress(host.clock)


@kernel
def take_event(sim, ctx):
    """Take the next event of an SMMUv3 into the pass's copies, or end the entry; a held one may enter."""
    host = sim.host
    if not eventq.look(host.queue, ctx, host.events):
        return dispatch.ENTRY_OVER
    host.counters.mmio_writes += 1  # CONS
    ctx.joined = 0
    ctx.fresh = 1
    ctx.fault = ctx.means
    progress(host.clock)
    host.banks[0].spurious_run = 0
    host.banks[0].seen = ctx.means
    story = sim.faults[ctx.means - 1]
    story.t_irq = ctx.t_irq
    story.t_handler_start = ctx.t_start
    if host.queue.held > 0:
        release_held(sim, host.clock.now)
    return dispatch.NOTHING


@kernel
def keep_capture(host, now):
    """Keep when crash dumps were captured, for the deadlines that fall into it."""
    if host.plan.gmu_waits == 0:
        return
    host.captures[host.clock.captures, 0] = host.client.capture_since
    host.captures[host.clock.captures, 1] = now
    host.clock.captures += 1


@kernel
def progress(clock):
    """A record was seen or a RESUME accepted: what began before was not fruitless."""
    clock.fruitless = 0
    clock.waited = 0


@kernel
def count_fruitless(host, c, now):
    """Count a pass that begins; many without a record seen or a RESUME accepted are a livelock.

    They are not while a thread or worker runs a pass that began before the first of them: that pass may
    be long, and still bring the end (a storm, not a livelock).  A younger pass is waited for once.
    """
    clock = host.clock
    clock.fruitless += 1
    if clock.fruitless == 1:
        clock.fruitless_since = now
    if clock.fruitless < host.plan.livelock_limit:
        return
    old = False
    young = False
    for k in range(host.banks.size, 3 * host.banks.size):
        other = host.contexts[k]
        ran = other.on_cpu != 0 or other.last_ran > clock.fruitless_since
        if k != c and other.state == cpu.STEP and ran:
            young = True
            old = old or other.t_start <= clock.fruitless_since
    if old or (young and clock.waited == 0):
        clock.waited = 1
        clock.fruitless = 0
    else:
        clock.stop = LIVELOCKED


@kernel
def begin_pass(host, c, first_step, now):
    """A pass begins at its first step, with nothing read yet."""
    forget_pass(host, c, first_step, now)
    first_of_pass(host, c, now)


@kernel
def first_of_pass(host, c, now):
    """Find the first step that a pass takes."""
    ctx = host.contexts[c]
    bank = host.banks[ctx.bank]
    ctx.t_next = now + dispatch.begin(
        host.steps, ctx, bank, host.hw, host.queue, host.client, host.cost, host.sites, host.counters, now
    )


@kernel
def forget_pass(host, c, first_step, now):
    """A pass begins, and knows nothing of the one before it."""
    ctx = host.contexts[c]
    if ctx.kind != cpu.SUBMIT:
        count_fruitless(host, c, now)
    ctx.pc = first_step
    ctx.far = U0
    ctx.fsr = 0
    ctx.fsynr0 = 0
    ctx.fsr_record = 0
    ctx.far_record = 0
    ctx.means = 0
    ctx.ret = 0
    ctx.dumping = 0
    ctx.mapped = 0
    ctx.fresh = 0
    ctx.fault = 0
    ctx.far_is = 0
    ctx.may_stall = 0
    ctx.slot = NOBODY
    ctx.joined = 0
    ctx.sync_round = dispatch.NO_SYNC
    ctx.t_start = now
    ctx.state = cpu.STEP


@kernel
def begin_work(host, c, now):
    """A worker's pass begins, with the copies of the pass that queued it."""
    ctx = host.contexts[c]
    forget_pass(host, c, host.plan.worker, now)
    if ctx.pending:
        ctx.pending = 0
        ctx.far = ctx.pending_far
        ctx.fsr = ctx.pending_fsr
        ctx.fsynr0 = ctx.pending_fsynr0
        ctx.means = ctx.pending_means
    else:
        eventq.begin_job(host.queue, ctx, host.jobs)
    first_of_pass(host, c, now)


@kernel
def end_pass(sim, host, c, no_event, now):
    """A pass has returned: go on to what its context does after; judge an entry behind its last pass."""
    ctx = host.contexts[c]
    power.put(ctx, host.clock, now)
    if ctx.kind == cpu.SUBMIT:
        cpu.leave(host, c, now)
        return
    if ctx.kind == cpu.WORKER:
        if ctx.pending or (host.queue.jobs > 0 and c == 2 * host.banks.size):
            begin_work(host, c, now)
        else:
            cpu.leave(host, c, now)
        return
    if ctx.fault != 0:
        sim.faults[ctx.fault - 1].t_handler_end = now
    n = cpu.line_of(host, ctx.bank) if ctx.kind == cpu.THREAD else c
    line = host.lines[n]
    line.fresh |= ctx.fresh
    line.handled |= ctx.handled
    if host.hw.events and not no_event:
        begin_pass(host, c, host.plan.handler, now)
        return
    if ctx.kind == cpu.THREAD:
        line.passes -= 1
        if line.passes == 0:
            judge_entry(host, n)
        ctx.state = cpu.UNMASK
        ctx.t_next = now + host.cost.oneshot_unmask
    elif ctx.bank < cpu.last_bank(host, c):
        ctx.bank += 1
        begin_pass(host, c, host.plan.handler, now)
    else:
        judge_entry(host, n)
        ctx.state = cpu.EXIT
        ctx.t_next = now + (host.cost.irq_exit_idle if ctx.idle else host.cost.irq_exit_task)


@kernel
def judge_entry(host, n):
    """Judge an entry of line `n` whose passes have all ended: did any see a record, or handle anything?"""
    line = host.lines[n]
    if line.fresh == 0:
        host.counters.irq_spurious += 1
        for b in range(cpu.first_bank(host, n), cpu.last_bank(host, n) + 1):
            bank = host.banks[b]
            bank.spurious_run += 1 if bank.seen != 0 else 0
            if bank.spurious_run > STORM_ENTRIES:
                bank.stormed = 1
    if line.handled == 0:
        host.counters.irq_none += 1


@kernel
def saw_record(sim, ctx, bank):
    """A pass has read a record that nobody had read: progress."""
    bank.spurious_run = 0
    progress(sim.host.clock)
    ctx.fault = bank.record_fault
    if ctx.fault != 0:
        story = sim.faults[ctx.fault - 1]
        story.t_irq = ctx.t_irq
        story.t_handler_start = ctx.t_start


@kernel
def map_for(sim, ctx, codes):
    """MAP_PAGE: put the page at this pass's FAR into the tables, if the pager has it (`demand`).

    It has not when the shadow tables lack the page or do not allow the access that faulted.
    """
    ctx.mapped = 0
    ctx.ret = codes & 0xFF
    shadow = sim.shadows[ctx.bank]
    if sim.host.plan.demand == 0 or place(shadow, ctx.far) == NOWHERE:
        return
    entry, _ = find_leaf(sim.mem, shadow, ctx.far)
    if entry < 0:
        return
    op = WRITE if ctx.fsynr0 & FSYNR0_WNR else EXEC if ctx.fsynr0 & FSYNR0_IND else READ
    need = rights_needed(op, PROT_PRIV if ctx.fsynr0 & FSYNR0_PNU else 0)
    fault, _, leaf, _ = walk(sim.pager, sim.mem, shadow, sim.pager.owners[ctx.bank], ctx.far, need)
    if fault != 0 or check_rights(leaf, need) != 0:
        return
    # Where another fault has had the page mapped already, the leaf is there, and that is as good.
    copy_leaf(sim.mem, shadow, sim.regimes[ctx.bank], ctx.far)
    ctx.mapped = 1
    ctx.ret = codes >> 8
