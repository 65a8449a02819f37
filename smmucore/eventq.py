"""The event queue of an SMMUv3: what a fault, a look at the queue and a CMD_RESUME do (H13).

These are the rules, as `bank` has those of a context bank; none of them knows of time or CPUs.
"""

from __future__ import annotations

from smmucore.kernel import kernel
from smmucore.registers import FSR_SS, SCTLR_CFCFG

# What `fault` decides for the transaction, and what became of its event.
STALL = 0
ABORT = 1

WRITTEN = 0
HELD = 1
DROPPED = 2


@kernel
def fault(queue, hw, bank):
    """A faulting transaction arrives; return (STALL or ABORT, WRITTEN, HELD or DROPPED).

    The event of a stalled transaction is never dropped: it waits for room.
    """
    room = queue.length < hw.events
    if bank.sctlr & SCTLR_CFCFG and queue.stalled < hw.stall_max:
        queue.stalled += 1
        return STALL, WRITTEN if room else HELD
    return ABORT, WRITTEN if room else DROPPED


@kernel
def write(queue, events, slot, number, bank, bits, far, fsynr0):
    """Write an event behind the others; there is room."""
    _set(events[(queue.first + queue.length) % events.size], slot, number, bank, bits, far, fsynr0)
    queue.length += 1


@kernel
def hold(queue, held, slot):
    """Keep the event of the transaction in `slot` until there is room."""
    held[(queue.held_first + queue.held) % held.size] = slot
    queue.held += 1


@kernel
def next_held(queue, held):
    """Take the first held event; return its slot."""
    slot = held[queue.held_first]
    queue.held_first = (queue.held_first + 1) % held.size
    queue.held -= 1
    return slot


@kernel
def look(queue, ctx, events):
    """Take the first event that the driver knows of into a pass's copies; return whether there is one.

    A driver that knows of none has read PROD, which tells it of all that are in the queue.
    """
    if ctx.asks:
        queue.known = queue.length
    if queue.known == 0:
        return False  # or the queue was emptied while it looked
    _copy(ctx, events[queue.first])
    queue.first = (queue.first + 1) % events.size
    queue.length -= 1
    queue.known -= 1
    return True


@kernel
def join(queue, ctx, jobs):
    """Let a pass's event join the worker's queue, once; return whether it has."""
    if ctx.fsr & FSR_SS == 0 or ctx.joined != 0:
        return False
    ctx.joined = 1
    _set(
        jobs[(queue.jobs_first + queue.jobs) % jobs.size],
        ctx.slot, ctx.means, ctx.bank, ctx.fsr, ctx.far, ctx.fsynr0,
    )  # fmt: skip
    queue.jobs += 1
    return True


@kernel
def begin_job(queue, ctx, jobs):
    """Take the worker's next event into its pass's copies."""
    _copy(ctx, jobs[queue.jobs_first])
    queue.jobs_first = (queue.jobs_first + 1) % jobs.size
    queue.jobs -= 1


@kernel
def forget(queue):
    """The driver's resume has emptied the queue."""
    queue.first = 0
    queue.length = 0
    queue.known = 0


@kernel
def _set(event, slot, number, bank, bits, far, fsynr0):
    event.slot = slot
    event.number = number
    event.bank = bank
    event.bits = bits
    event.far = far
    event.fsynr0 = fsynr0


@kernel
def _copy(ctx, event):
    ctx.slot = event.slot
    ctx.means = event.number
    ctx.bank = event.bank
    ctx.fsr = event.bits
    ctx.far = event.far
    ctx.fsynr0 = event.fsynr0
