"""The event queue of an SMMUv3 in a packed state (H13): events, held ones, jobs, and what is stalled.

A stalled transaction has a name, by where it is met first: in a pass, a job, an event, held, or nowhere.
What refers to one that is not stalled any more refers to none.
"""

from __future__ import annotations

import numpy as np

from smmucore import contexts as cpu
from smmucore.kernel import kernel
from smmucore.liveness import MEANS
from smmucore.packing import PAGE_BITS, page_of
from smmucore.records import NOBODY
from smmucore.registers import FSR_SS, FSR_TF
from smmucore.unpacking import FIRST_NAMED, NAMED_FAULTS, take_slot

#: A reference to a transaction that is stalled no more: its name plays no part.
GONE = 15


@kernel
def room_for(ex):
    """Return how many events, jobs or held ones a state has room for: twice as many as there are faults."""
    return 2 * ex.bounds.faults


@kernel
def name_of(ex, slot, number):
    """Return the name of a stalled transaction by which its fault is meant, or GONE."""
    if slot < 0 or number == 0:
        return GONE
    row = ex.sim.slots[slot]
    if row.stalled == 0 or row.fault != number:
        return GONE
    if ex.names[slot] < 0:
        ex.names[slot] = ex.progress.named
        ex.progress.named += 1
    return ex.names[slot]


@kernel
def forget_names(ex):
    """Begin to name anew."""
    ex.progress.named = 0
    for slot in range(ex.names.size):
        ex.names[slot] = -1


@kernel
def pack_event(ex, event):
    """Return an event in 16 bits."""
    word = 1 | (name_of(ex, event.slot, event.number) << 1) | event.bank << 5
    word |= 1 << 7 if event.bits & FSR_SS else 0
    return word | page_of(ex, event.far) << 8


@kernel
def pack_queue(ex, at):
    """Write the queue's words from `at` on; contexts have named theirs."""
    sim, out = ex.sim, ex.scratch
    queue, room = sim.host.queue, room_for(ex)
    events, jobs = sim.host.events, sim.host.jobs
    out[at] = queue.known | queue.length << 4 | queue.held << 8 | queue.jobs << 12
    at += 1
    for k in range(room):
        out[at] = 0
        if k < queue.jobs:
            out[at] = pack_event(ex, jobs[(queue.jobs_first + k) % jobs.size])
        at += 1
    for k in range(room):
        out[at] = 0
        if k < queue.length:
            out[at] = pack_event(ex, events[(queue.first + k) % events.size])
        at += 1
    for k in range(room):
        out[at] = 0
        if k < queue.held:
            slot = sim.host.held[(queue.held_first + k) % sim.host.held.size]
            out[at] = 1 | name_of(ex, slot, sim.slots[slot].fault) << 1
        at += 1
    for slot in range(ex.names.size):
        if sim.slot_free[slot] > 0 and sim.slots[slot].stalled:
            name_of(ex, slot, sim.slots[slot].fault)
    for k in range(ex.bounds.faults):
        out[at + k] = 0
    for slot in range(ex.names.size):
        if ex.names[slot] >= 0:
            row = sim.slots[slot]
            word = 1 | sim.requesters[row.requester].bank << 1 | page_of(ex, row.iova) << 3
            out[at + ex.names[slot]] = word


@kernel
def unpack_named(ex, words, at):
    """Put the stalled transactions back, from the first of the queue's words on."""
    at += 1 + 3 * room_for(ex)
    queue = ex.sim.host.queue
    queue.stalled = 0
    for k in range(ex.bounds.faults):
        word = np.int64(words[at + k])
        if word != 0:
            slot = FIRST_NAMED + k
            take_slot(ex, slot, (word >> 1) & 3, word >> 3, NAMED_FAULTS + k)
            ex.sim.slots[slot].stalled = 1
            queue.stalled += 1


@kernel
def unpack_event(ex, event, word):
    """Put an event back."""
    name = (word >> 1) & 15
    event.slot = NOBODY if name == GONE else FIRST_NAMED + name
    event.number = 1 if name == GONE else NAMED_FAULTS + name
    event.bank = (word >> 5) & 3
    event.bits = FSR_TF | (FSR_SS if word & (1 << 7) else 0)
    event.far = np.uint64(word >> 8) << PAGE_BITS
    event.fsynr0 = 0


@kernel
def unpack_queue(ex, words, at):
    """Put the queue back."""
    host = ex.sim.host
    queue, room = host.queue, room_for(ex)
    word = np.int64(words[at])
    queue.first = 0
    queue.held_first = 0
    queue.jobs_first = 0
    queue.known = word & 15
    queue.length = (word >> 4) & 15
    queue.held = (word >> 8) & 15
    queue.jobs = word >> 12
    queue.ss_since = 0
    queue.captured_since = 0
    at += 1
    for k in range(queue.jobs):
        unpack_event(ex, host.jobs[k], np.int64(words[at + k]))
    at += room
    for k in range(queue.length):
        unpack_event(ex, host.events[k], np.int64(words[at + k]))
    at += room
    for k in range(queue.held):
        host.held[k] = FIRST_NAMED + ((np.int64(words[at + k]) >> 1) & 15)


@kernel
def pack_events(ex):
    """Write what `pack` leaves out: of what the contexts have taken, and the queue."""
    host, bounds = ex.sim.host, ex.bounds
    tail = bounds.words - 3 * room_for(ex) - bounds.faults - 1
    forget_names(ex)
    for c in range(bounds.contexts):
        ctx = host.contexts[c]
        if ctx.state == cpu.STEP or ctx.state == cpu.SPIN:
            is_meant = ex.live[ctx.pc] & MEANS != 0
            ex.scratch[tail - 5 * (bounds.contexts - c) + 4] = pack_taken(ex, ctx, is_meant)
    pack_queue(ex, tail)


@kernel
def unpack_events(ex, words):
    """Put that back."""
    host, bounds = ex.sim.host, ex.bounds
    tail = bounds.words - 3 * room_for(ex) - bounds.faults - 1
    unpack_named(ex, words, tail)
    unpack_queue(ex, words, tail)
    for c in range(bounds.contexts):
        ctx = host.contexts[c]
        ctx.pending = 0
        ctx.slot = NOBODY
        ctx.joined = 0
        ctx.asks = 0
        if ctx.state == cpu.STEP or ctx.state == cpu.SPIN:
            unpack_taken(ctx, np.int64(words[tail - 5 * (bounds.contexts - c) + 4]))
        else:
            ctx.bank = c % bounds.banks


@kernel
def pack_taken(ex, ctx, is_meant):
    """Return what a context's pass has of an event; `is_meant`: a later step acts on its transaction."""
    word = ctx.bank | ctx.joined << 2 | ctx.asks << 3
    name = name_of(ex, ctx.slot, ctx.means) if is_meant else GONE
    return word | name << 4


@kernel
def unpack_taken(ctx, word):
    """Put that back."""
    ctx.bank = word & 3
    ctx.joined = (word >> 2) & 1
    ctx.asks = (word >> 3) & 1
    name = (word >> 4) & 15
    ctx.slot = NOBODY if name == GONE else FIRST_NAMED + name
    ctx.means = 1 if name == GONE else NAMED_FAULTS + name
