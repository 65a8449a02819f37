"""A block of timed accesses while nothing else can happen (design 11).

Between two events of anything else (a fault on its way, a context's step, another lane) the trace's accesses
meet only each other.  As long as none faults and they issue in their order, what each finds in the TLBs does
not depend on the time: so they are translated in stages (`smmucore.staged`), and timed afterwards, by the
rules of `smmucore.transactions` and to the same integers.  Where they would not issue in order, only what
comes before is done so.
"""

from __future__ import annotations

import numpy as np

from smmucore.blocks import copy
from smmucore.histogram import FROM_INTENDED, FROM_ISSUE, bucket_of
from smmucore.kernel import inlined, kernel
from smmucore.records import NEVER
from smmucore.registers import FSR_FAULT, FSR_SS
from smmucore.staged import can_stage, put_back, put_back_values, translate_block
from smmucore.stages import accesses_ahead, block_failed, is_worth_a_try
from traces.events import WRITE

ONLY = np.int64(0)
U0 = np.uint64(0)
U1 = np.uint64(1)


@kernel
def is_calm(sim):
    """Tell whether accesses can go through in blocks now: nothing waits, no fault is outstanding."""
    clock = sim.clock
    if sim.host.plan.calm == 0 or clock.queued != 0 or clock.arrivals != 0:
        return False
    for b in range(sim.host.banks.size):
        bank = sim.host.banks[b]
        if bank.fsr & (FSR_FAULT | FSR_SS) != 0 or bank.fifo_len != 0:
            return False
    return can_stage(sim.mmu, sim.regimes)


@kernel
def run_calm(sim, ev, at, horizon):
    """Carry out accesses from `at` on that all issue before `horizon`; return how many, perhaps none."""
    st = sim.stages
    n = accesses_ahead(ev.op, at)
    if horizon != NEVER:
        n = earlier(ev.t, at, n, horizon)
    if n < sim.host.plan.calm or not is_worth_a_try(st):
        return 0
    tbu = sim.requesters[0].tbu
    # Where accesses may have to wait, a block may have to be cut.
    careful = horizon != NEVER or sim.host.plan.orderly == 0
    for _ in range(2):
        done = translate_block(
            st, sim.mmu, sim.mem, sim.regimes, sim.requester_banks, sim.kinds, tbu, ev, at, n, False, careful
        )
        if not done:
            break
        if careful:
            save_times(sim, tbu)
        good = pace(sim, ev, at, n, tbu, horizon)
        if good == n:
            account_block(sim, ev, at, n, tbu)
            st.made.fails = 0
            return n
        undo_times(sim, tbu)
        put_back_values(sim.mmu, tbu)
        put_back(sim.mmu, tbu)
        n = good
        if n < sim.host.plan.calm:
            break
    block_failed(st)
    return 0


@kernel
def earlier(t, at, n, horizon):
    """Return how many of the `n` events from `at` on have a time before `horizon`."""
    low = 0
    high = n
    while low < high:
        middle = (low + high) >> 1
        if t[at + middle] < horizon:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def slots_of(sim, tbu):
    """Return the first slot of a TBU's two channels, and the one after their last."""
    return 2 * tbu * sim.hw.slots, (2 * tbu + 2) * sim.hw.slots


@kernel
def save_times(sim, tbu):
    """Keep what `pace` changes."""
    first, end = slots_of(sim, tbu)
    copy(sim.slot_free[first:end], sim.kept_slot_free[first:end])
    copy(sim.walk_free[tbu], sim.kept_walk_free)
    copy(sim.mmu.utlb.ready[tbu], sim.mmu.utlb.kept_ready[tbu])
    copy(sim.mmu.tlb.ready[0], sim.mmu.tlb.kept_ready[0])


@kernel
def undo_times(sim, tbu):
    """Put it back."""
    first, end = slots_of(sim, tbu)
    copy(sim.kept_slot_free[first:end], sim.slot_free[first:end])
    copy(sim.kept_walk_free, sim.walk_free[tbu])
    copy(sim.mmu.utlb.kept_ready[tbu], sim.mmu.utlb.ready[tbu])
    copy(sim.mmu.tlb.kept_ready[0], sim.mmu.tlb.ready[0])


@kernel
def pace(sim, ev, at, n, tbu, horizon):
    """Find when each access of a translated block issues and ends.

    An access issues when its channel is ready and has a free slot and, for a walk, when a walk slot is free
    (H12).  Leaves the slots in ``st.place``, and the latencies in ``st.late``, ``st.later``, ``st.times``:
    how often each pair of them came, one after the other.

    Returns
    -------
    int64
        `n`, or how many come before the first that does not issue before `horizon`, or that arrives while the
        other channel has something waiting.  Unless the trace is `orderly` nothing may be left waiting at the
        end either: what comes next could overtake it.
    """
    st, cost, hw = sim.stages, sim.cost, sim.hw
    place, late_of, later_of, times_of, whose = st.place, st.late, st.later, st.times, st.whose
    slots, missed, walked, main_slots, reads = st.slot, st.missed, st.walked, st.main_slot, st.reads
    slot_free, walk_free = sim.slot_free, sim.walk_free[tbu]
    ready, main_ready = sim.mmu.utlb.ready[tbu], sim.mmu.tlb.ready[0]
    times, ops = ev.t, ev.op
    made = st.made
    missed[made.misses] = np.uint16(0xFFFF)
    walked[made.walks] = np.uint16(0xFFFF)
    count = np.uint64(hw.slots)
    reads_at = 2 * tbu
    writes_at = reads_at + 1
    ready_of_reads, ready_of_writes = sim.channels[reads_at].ready, sim.channels[writes_at].ready
    cursor_of_reads = np.uint64(sim.channels[reads_at].cursor)
    cursor_of_writes = np.uint64(sim.channels[writes_at].cursor)
    first_of_reads, first_of_writes = np.uint64(reads_at) * count, np.uint64(writes_at) * count
    orderly = sim.host.plan.orderly != 0
    utlb_hit = cost.utlb_hit
    tlb_hit = utlb_hit + cost.tlb_hit
    walk_start = tlb_hit + cost.walk_cache_hit
    walk_mem = cost.walk_mem
    accept = hw.accept
    start = sim.clock.now
    last = start
    last_of_reads, last_of_writes = start, start
    settled = np.int64(0)  # accesses up to the last that did not have to wait
    m = U0
    w = U0
    k = U0
    latest = np.int64(0)
    requesters = ev.requester
    # Latencies repeat: pair number `pairs` has come `same` times.
    pairs = U0
    same = 0
    late, later = np.int64(-1), np.int64(-1)
    who = requesters[np.uint64(at)]
    for r in range(made.runs):
        slot = np.uint64(slots[r])
        end = np.uint64(st.start[r + 1])
        is_miss = missed[m] == r
        while k < end:
            i = np.uint64(at) + k
            is_write = ops[i] == WRITE
            arrival = max(times[i], start)
            t = max(arrival, ready_of_writes if is_write else ready_of_reads)
            base = first_of_writes if is_write else first_of_reads
            cursor = cursor_of_writes if is_write else cursor_of_reads
            # A free slot, the first from the cursor on.
            if slot_free[base + cursor] > t:
                t = max(t, soonest(slot_free, base, count))
            walker = 0
            is_walk = False
            if is_miss:
                is_walk = walked[w] == m
                if is_walk:
                    for other in range(1, walk_free.size):
                        if walk_free[other] < walk_free[walker]:
                            walker = other
                    t = max(t, walk_free[walker])
            if slot_free[base + cursor] > t:
                cursor = free_from(slot_free, base, count, cursor, t)
            waited = t > arrival
            if t >= horizon or arrival < (last_of_reads if is_write else last_of_writes):
                return np.int64(k) if orderly else settled
            # What it finds there, and when that is complete.
            if not is_miss:
                done = max(t + utlb_hit, ready[slot])
            elif is_walk:
                done = t + walk_start + np.int64(reads[w]) * walk_mem
                walk_free[walker] = done
                main_ready[main_slots[m]] = done
                ready[slot] = done
                w += U1
            else:
                when = main_ready[main_slots[m]]
                ready[slot] = when
                done = max(t + tlb_hit, when)
            if is_miss:
                m += U1
                is_miss = False
            latest = max(latest, done)
            if done - times[i] != late or done - t != later or requesters[i] != who:
                if same != 0:
                    late_of[pairs], later_of[pairs], times_of[pairs], whose[pairs] = late, later, same, who
                    pairs += U1
                    same = 0
                late, later = done - times[i], done - t
                who = requesters[i]
            same += 1
            place[k] = base + cursor
            slot_free[base + cursor] = done
            cursor = cursor + U1 if cursor + U1 < count else U0
            if is_write:
                ready_of_writes = t + accept
                cursor_of_writes = cursor
                last_of_writes = t
            else:
                ready_of_reads = t + accept
                cursor_of_reads = cursor
                last_of_reads = t
            last = t
            k += U1
            if not waited:
                settled = np.int64(k)
    if not orderly and settled != n:
        return settled
    sim.channels[reads_at].ready, sim.channels[writes_at].ready = ready_of_reads, ready_of_writes
    sim.channels[reads_at].cursor = np.int64(cursor_of_reads)
    sim.channels[writes_at].cursor = np.int64(cursor_of_writes)
    sim.clock.now = last
    late_of[pairs], later_of[pairs], times_of[pairs], whose[pairs] = late, later, same, who
    made.pairs = np.int64(pairs) + 1
    made.latest = latest
    return n


@kernel
def soonest(slot_free, base, count):
    """Return when the first slot of a channel is free."""
    when = slot_free[base]
    for k in range(count):
        when = min(when, slot_free[base + np.uint64(k)])
    return when


@kernel
def free_from(slot_free, base, count, cursor, t):
    """Return the first slot of a channel from `cursor` on that is free at `t`; there is one."""
    while slot_free[base + cursor] > t:
        cursor = cursor + U1 if cursor + U1 < count else U0
    return cursor


@kernel
def account_block(sim, ev, at, n, tbu):
    """Count a block's accesses and their latencies, and note who holds which slot."""
    st, counters, clock = sim.stages, sim.counters, sim.clock
    made = st.made
    counters.accesses += n
    counters.translations += n
    counters.completed += n
    counters.utlb_hits += n - made.misses
    counters.tlb_hits += made.misses - made.walks
    counters.walks += made.walks
    counters.walk_reads += made.reads
    for pair in range(made.pairs):
        count_latencies(
            sim, np.int64(st.whose[pair]), st.late[pair], st.later[pair], np.int64(st.times[pair])
        )
    # Who holds which slot, where that can matter yet.
    slots = sim.slots
    for k in range(max(0, n - 2 * sim.hw.slots), n):
        row = slots[np.int64(st.place[k])]
        row.serial = clock.accesses + k + 1
        row.requester = np.int64(ev.requester[at + k])
    clock.accesses += n
    clock.in_blocks += n
    clock.last_end = max(clock.last_end, made.latest)
    counters.makespan_ns = max(counters.makespan_ns, made.latest)
    for ch in range(2 * tbu, 2 * tbu + 2):
        sim.channels[ch].wants_slot = 0


@kernel
def count_latencies(sim, requester, late, later, times):
    """Count so many latencies of one requester: from intended time, and from issue."""
    stream = sim.requesters[requester].stream_index
    highest = sim.highest
    highest[stream, FROM_INTENDED] = max(highest[stream, FROM_INTENDED], late)
    highest[stream, FROM_ISSUE] = max(highest[stream, FROM_ISSUE], later)
    sim.histogram[stream, FROM_INTENDED, bucket_of(late)] += times
    sim.histogram[stream, FROM_ISSUE, bucket_of(later)] += times
