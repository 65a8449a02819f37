"""CPUs and interrupt lines: who runs when (K1, K2, K3).

A context is a hard IRQ of a line, or an IRQ thread, a worker or a submit of a bank.  On a CPU the first
runnable one in the order of the array runs (hard IRQs, threads, workers, submits); the others keep what is
left of their step.
"""

from __future__ import annotations

from smmucore.bank import line as bank_line
from smmucore.draws import time_to_wake
from smmucore.kernel import inlined, kernel
from smmucore.linux import note_interrupt
from smmucore.power import is_asleep
from smmucore.records import NEVER
from smmucore.wakes import OF_THREAD, OF_WORKER

# CONTEXT.kind
HARD_IRQ = 0
THREAD = 1
WORKER = 2
SUBMIT = 3

# CONTEXT.state
IDLE = 0
DELIVERY = 1  # hard IRQ: the wire is up, the CPU has not been reached
PENDED = 2  # hard IRQ: its CPU cannot take it now
ENTRY = 3  # hard IRQ: vector to handler
WAKING = 4  # the others: from wake-up to the first step
STEP = 5
SPIN = 6  # waits for the bank's lock
EXIT = 7  # hard IRQ: handler to eret
UNMASK = 8  # thread: end of ONESHOT


@kernel
def put_on(ctx, now):
    """The context gets its CPU."""
    ctx.on_cpu = 1
    ctx.since = now
    ctx.t_next = NEVER if ctx.state == SPIN else now + ctx.remaining


@kernel
def take_off(ctx, counters, now):
    """The context loses its CPU, and keeps what is left of its step."""
    ctx.on_cpu = 0
    ctx.remaining = 0 if ctx.state == SPIN else ctx.t_next - now
    spent = now - ctx.since
    if spent > 0:
        ctx.last_ran = now
    if ctx.kind == HARD_IRQ:
        counters.cpu_irq_ns += spent
    elif ctx.kind == THREAD:
        counters.cpu_thread_ns += spent
    else:
        counters.cpu_work_ns += spent


@kernel
def schedule(contexts, counters, cpu, now):
    """Give the CPU to the first runnable context that is placed on it."""
    first = -1
    present = -1
    for c in range(contexts.size):
        ctx = contexts[c]
        if ctx.cpu == cpu and ctx.runnable:
            if first < 0:
                first = c
            if ctx.on_cpu:
                present = c
    if first == present or (present >= 0 and contexts[present].irqs_off):
        return
    if present >= 0:
        take_off(contexts[present], counters, now)
    if first >= 0:
        put_on(contexts[first], now)


@kernel
def make_runnable(host, c, remaining, now):
    """A context wants its CPU, for `remaining` ns before its next effect."""
    ctx = host.contexts[c]
    ctx.runnable = 1
    ctx.remaining = remaining
    schedule(host.contexts, host.counters, ctx.cpu, now)


@kernel
def leave(host, c, now):
    """A context is done: it gives its CPU up."""
    ctx = host.contexts[c]
    take_off(ctx, host.counters, now)
    ctx.runnable = 0
    ctx.state = IDLE
    ctx.t_next = NEVER
    schedule(host.contexts, host.counters, ctx.cpu, now)


@kernel
def others_runnable(contexts, c):
    """Tell whether anything else is runnable on this context's CPU: was it idle, or a task?"""
    cpu = contexts[c].cpu
    for k in range(contexts.size):
        if k != c and contexts[k].cpu == cpu and contexts[k].runnable:
            return True
    return False


@kernel
def interruptible(contexts, cpu):
    """Tell whether the CPU can take a hard interrupt now."""
    for c in range(contexts.size):
        ctx = contexts[c]
        if ctx.cpu == cpu and ctx.on_cpu and (ctx.kind == HARD_IRQ or ctx.irqs_off):
            return False
    return True


@inlined
def line_of(host, b):
    """Return the number of bank `b`'s line: its own, or the one that all share (H11)."""
    return 0 if host.hw.shared_line else b


@inlined
def first_bank(host, n):
    """Return the first bank that an entry of line `n` looks at."""
    return 0 if host.plan.polls_all else n


@inlined
def last_bank(host, n):
    """Return the last one."""
    if host.hw.events:
        return n  # an event says whose it is
    return host.banks.size - 1 if host.plan.polls_all or host.hw.shared_line else n


@kernel
def asserted(host, n):
    """Tell whether a bank of line `n` asserts it, or an SMMUv3's event queue holds something."""
    if host.hw.events:
        return host.queue.length > 0
    if host.hw.shared_line == 0:
        return bank_line(host.banks[n], host.hw) != 0
    up = 0
    for b in range(host.banks.size):
        up |= bank_line(host.banks[b], host.hw)
    return up != 0


@kernel
def line_is_up(host, n):
    """Tell whether line `n` is up and would interrupt: not masked, not disabled, the SMMU awake."""
    line = host.lines[n]
    if line.masked != 0 or line.disabled != 0:
        return False
    return asserted(host, n) and not is_asleep(host.plan, host.clock, host.clock.now)


@kernel
def look_at_line(host, b, now):
    """After a change of bank `b`: if its line is up and nobody has noticed, it is on its way."""
    n = line_of(host, b)
    irq = host.contexts[n]
    if irq.state == IDLE and line_is_up(host, n):
        irq.state = DELIVERY
        irq.t_next = now + host.cost.irq_delivery


@inlined
def begin_entry(host, n, was_idle, now):
    """An entry of line `n` begins; return what it costs up to the handler."""
    irq = host.contexts[n]
    host.lines[n].fresh = 0
    host.lines[n].handled = 0
    host.counters.irq_entries += 1
    irq.t_irq = now
    irq.state = ENTRY
    if host.plan.threaded:
        return host.cost.oneshot_entry
    irq.idle = 1 if was_idle else 0
    return host.cost.irq_entry_idle if was_idle else host.cost.irq_entry_task


@kernel
def take_irq(host, n, now):
    """The CPU takes line `n`'s interrupt: entry begins."""
    was_idle = not others_runnable(host.contexts, n)
    make_runnable(host, n, begin_entry(host, n, was_idle, now), now)


@kernel
def take_pended(host, cpu, now):
    """A CPU may have become interruptible: it takes the first line that waits for it, if still up."""
    for n in range(host.lines.size):
        irq = host.contexts[n]
        if irq.state == PENDED and irq.cpu == cpu:
            if not line_is_up(host, n):
                irq.state = IDLE
            elif interruptible(host.contexts, cpu):
                take_irq(host, n, now)


@kernel
def deliver(host, n, now):
    """The interrupt reaches the CPU's interface: taken, pended, or gone again."""
    irq = host.contexts[n]
    irq.t_next = NEVER
    if not line_is_up(host, n):
        irq.state = IDLE
    elif interruptible(host.contexts, irq.cpu):
        take_irq(host, n, now)
    else:
        irq.state = PENDED


@kernel
def wake_threads(host, n, now):
    """The hard part of a ONESHOT interrupt masks the line and wakes the threads of its banks."""
    irq = host.contexts[n]
    line = host.lines[n]
    line.masked += 1
    irq.state = EXIT
    irq.t_next = now + host.cost.oneshot_exit
    last = last_bank(host, n)
    line.passes = 0
    for b in range(first_bank(host, n), last + 1):
        line.passes += 1
        c = host.banks.size + b
        host.contexts[c].state = WAKING
        host.contexts[c].t_irq = irq.t_irq
        make_runnable(host, c, time_to_wake(host, OF_THREAD), now)
    line.threads = line.passes


@kernel
def leave_irq(host, c, now):
    """A hard interrupt ends; a line that is still up is taken again at once (K1)."""
    ctx = host.contexts[c]
    if host.plan.threaded == 0:
        note_interrupt(host.lines[c], host.lines[c].handled != 0, now)
    if host.lines.size == 1 and not others_runnable(host.contexts, c) and line_is_up(host, c):
        # Nobody else could have the CPU: what follows comes to no more than this.
        take_off(ctx, host.counters, now)
        ctx.remaining = begin_entry(host, c, True, now)
        put_on(ctx, now)
        return
    leave(host, c, now)
    if line_is_up(host, c):
        ctx.state = PENDED
    take_pended(host, ctx.cpu, now)


@kernel
def unmask(host, c, now):
    """A ONESHOT thread has ended: after the line's last it is open again, and taken at once if it is up."""
    n = line_of(host, host.contexts[c].bank)
    irq = host.contexts[n]
    line = host.lines[n]
    line.threads -= 1
    if line.threads == 0:
        line.masked -= 1
        note_interrupt(line, line.handled != 0, now)
    leave(host, c, now)
    if irq.state == IDLE and line_is_up(host, n):
        irq.state = PENDED
    take_pended(host, irq.cpu, now)


@kernel
def queue_work(host, b, by, now):
    """Queue bank `b`'s worker with the copies of pass `by`, unless it is queued; tell whether it was not."""
    ctx = host.contexts[by]
    c = 2 * host.banks.size + b
    worker = host.contexts[c]
    if worker.pending:
        return False
    worker.pending = 1
    worker.pending_far = ctx.far
    worker.pending_fsr = ctx.fsr
    worker.pending_fsynr0 = ctx.fsynr0
    worker.pending_means = ctx.means
    wake_worker(host, b, now)
    return True


@kernel
def wake_worker(host, b, now):
    """Bank `b`'s worker has something to do."""
    c = 2 * host.banks.size + b
    if host.contexts[c].state == IDLE:
        host.contexts[c].state = WAKING
        make_runnable(host, c, time_to_wake(host, OF_WORKER), now)
    return True


@kernel
def unlocked(host, c, now):
    """The bank's lock is free, and interrupts are on again: whoever waited for either goes on."""
    for k in range(host.contexts.size):
        waits = host.contexts[k]
        if waits.bank == host.contexts[c].bank and waits.state == SPIN:
            waits.state = STEP
            waits.remaining = 0
            if waits.on_cpu:
                waits.t_next = now
    take_pended(host, host.contexts[c].cpu, now)
    schedule(host.contexts, host.counters, host.contexts[c].cpu, now)
