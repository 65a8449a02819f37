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
NOBODY = np.uint16(0xFFFF)
#: As many hits, one after the other, are timed at once, at least and at most.
FEWEST = np.uint64(4)
MOST = np.uint64(64)


@kernel
def is_calm(sim):
    """Tell whether accesses can go through in blocks now: nothing waits, no fault is outstanding."""
    clock = sim.clock
    if sim.host.plan.calm == 0 or clock.queued != 0 or clock.arrivals != 0 or sim.host.queue.stalled != 0:
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
    (H12).  Leaves in ``sim.taken`` which access, counted from one, took each slot last, and the latencies in
    ``st.late``, ``st.later``, ``st.times``: how often each pair of them came, one after the other, from place
    one on.

    Returns
    -------
    int64
        `n`, or how many come before the first that does not issue before `horizon`, or that arrives while the
        other channel has something waiting.  Unless the trace is `orderly` nothing may be left waiting at the
        end either: what comes next could overtake it.
    """
    st, cost, hw = sim.stages, sim.cost, sim.hw
    late_of, later_of, times_of, whose, taken = st.late, st.later, st.times, st.whose, sim.taken
    slots, missed, walked, main_slots, reads = st.slot, st.missed, st.walked, st.main_slot, st.reads
    starts = st.start
    slot_free, walk_free = sim.slot_free, sim.walk_free[tbu]
    ready, main_ready = sim.mmu.utlb.ready[tbu], sim.mmu.tlb.ready[0]
    times, ops, requesters = ev.t, ev.op, ev.requester
    made = st.made
    missed[made.misses] = NOBODY
    walked[made.walks] = NOBODY
    forget_taken(sim, tbu)
    reads_at, writes_at = 2 * tbu, 2 * tbu + 1
    reading, writing = sim.channels[reads_at], sim.channels[writes_at]
    count = np.uint64(hw.slots)
    first_read = np.uint64(reads_at) * count
    first_write = first_read + count
    orderly = sim.host.plan.orderly != 0
    alike = made.alike != 0
    utlb_hit = cost.utlb_hit
    tlb_hit = utlb_hit + cost.tlb_hit
    walk_start = tlb_hit + cost.walk_cache_hit
    walk_mem = cost.walk_mem
    accept = hw.accept
    start = sim.clock.now
    # The channel that the last access went through is here, the other one there.
    is_write = False
    first = first_read
    here, there = first_read + np.uint64(reading.cursor), first_write + np.uint64(writing.cursor)
    ready_here, ready_there = reading.ready, writing.ready
    last_here, last_there = start, start
    walkers = np.uint64(walk_free.size)
    walker = first_walker(walk_free) if made.walks != 0 else U0
    settled = np.int64(0)  # accesses up to the last that did not have to wait
    m = U0
    w = U0
    k = U0
    untried = U0  # accesses before it are to be timed one by one
    latest = np.int64(0)
    # Latencies repeat: pair number `pairs` has come `same` times.
    pairs = U0
    same = np.int64(0)
    late, later = np.int64(-1), np.int64(-1)
    who = requesters[np.uint64(at)]
    for r in range(made.runs):
        slot = np.uint64(slots[np.uint64(r)])
        end = np.uint64(starts[np.uint64(r) + U1])
        is_miss = missed[m] == r
        while k < end:
            i = np.uint64(at) + k
            if (ops[i] == WRITE) != is_write:
                is_write = not is_write
                first = first_write if is_write else first_read
                here, there = there, here
                ready_here, ready_there = ready_there, ready_here
                last_here, last_there = last_there, last_here
            intended = times[i]
            # Hits that need not wait, into slots side by side: all that are left of the run at once.
            size = min(end - k, first + count - here)
            if (
                size >= FEWEST
                and k >= untried
                and not is_miss
                and intended >= max(ready_here, last_there, start)
            ):
                size = min(size, MOST)
                final = times[i + size - U1]
                many = np.int64(size)
                apart = (horizon - 1 - final) | (intended - slot_free[here])
                for g in range(1, many):
                    j = np.uint64(g)
                    t = times[i + j]
                    apart |= (t - slot_free[here + j]) | (t - times[i + j - U1] - accept)
                if apart >= 0 and (alike or is_one_kind(ops, requesters, i, many)):
                    whole = ready[slot]
                    for g in range(many):
                        slot_free[here + np.uint64(g)] = max(times[i + np.uint64(g)] + utlb_hit, whole)
                    for g in range(many):
                        taken[here + np.uint64(g)] = k + np.uint64(g) + U1
                    # Those that end with the walk that they hit upon have a latency each.
                    while many > 0 and times[i] + utlb_hit < whole:
                        pairs += U1
                        late, later, who = whole - times[i], whole - times[i], requesters[i]
                        late_of[pairs], later_of[pairs], times_of[pairs], whose[pairs] = late, later, 1, who
                        same = np.int64(1)
                        i += U1
                        many -= 1
                    if many > 0:
                        if late != utlb_hit or later != utlb_hit or requesters[i] != who:
                            pairs += U1
                            same = np.int64(0)
                            late, later, who = utlb_hit, utlb_hit, requesters[i]
                            late_of[pairs], later_of[pairs], whose[pairs] = late, later, who
                        same += many
                        times_of[pairs] = same
                    latest = max(latest, final + utlb_hit, whole)
                    last_here = final
                    ready_here = final + accept
                    here += size
                    here = here if here < first + count else first
                    k += size
                    settled = np.int64(k)
                    continue
                untried = k + FEWEST
            arrival = max(intended, start)
            t = max(arrival, ready_here)
            # A free slot, the first from the cursor on.
            if slot_free[here] > t:
                t = max(t, soonest(slot_free, first, count))
            is_walk = False
            if is_miss:
                is_walk = walked[w] == m
                if is_walk:
                    t = max(t, walk_free[walker])
            if slot_free[here] > t:
                here = free_from(slot_free, first, count, here, t)
            if t >= horizon or arrival < last_there:
                return np.int64(k) if orderly else settled
            # What it finds there, and when that is complete.
            if not is_miss:
                done = max(t + utlb_hit, ready[slot])
            else:
                if is_walk:
                    done = t + walk_start + np.int64(reads[w]) * walk_mem
                    main_ready[main_slots[m]] = done
                    ready[slot] = done
                    w += U1
                    # The walk slots stay in order of time.
                    place = walker
                    before = place - U1 if place != U0 else walkers - U1
                    while before != walker and walk_free[before] > done:
                        walk_free[place] = walk_free[before]
                        place = before
                        before = place - U1 if place != U0 else walkers - U1
                    walk_free[place] = done
                    walker += U1
                    walker = walker if walker < walkers else U0
                else:
                    when = main_ready[main_slots[m]]
                    ready[slot] = when
                    done = max(t + tlb_hit, when)
                m += U1
                is_miss = False
            latest = max(latest, done)
            # Without a branch, for it would often go the other way than the last time.
            is_other = (done - intended != late) | (done - t != later) | (requesters[i] != who)
            pairs += np.uint64(is_other)
            same = np.int64(1) if is_other else same + 1
            late, later, who = done - intended, done - t, requesters[i]
            late_of[pairs], later_of[pairs], times_of[pairs], whose[pairs] = late, later, same, who
            slot_free[here] = done
            k += U1
            taken[here] = k
            here += U1
            here = here if here < first + count else first
            ready_here = t + accept
            last_here = t
            settled = np.int64(k) if t == arrival else settled
    if not orderly and settled != n:
        return settled
    if is_write:
        here, there = there, here
        ready_here, ready_there = ready_there, ready_here
    reading.cursor, writing.cursor = np.int64(here - first_read), np.int64(there - first_write)
    reading.ready, writing.ready = ready_here, ready_there
    sim.clock.now = last_here
    made.pairs = np.int64(pairs)
    made.latest = latest
    return n


@inlined
def is_one_kind(ops, requesters, i, many):
    """Tell whether the accesses from `i` on have one requester and op."""
    others = U0
    for g in range(1, many):
        others |= np.uint64(ops[i + np.uint64(g)] ^ ops[i])
        others |= np.uint64(requesters[i + np.uint64(g)] ^ requesters[i])
    return others == U0


@kernel
def first_walker(walk_free):
    """Put the times at which walk slots are free in order, as a ring; return where the first is.

    Which of them is which does not matter, and most often they are in order.
    """
    first = 0
    falls = 0
    before = walk_free[walk_free.size - 1]
    for k in range(walk_free.size):
        if walk_free[k] < before:
            first = k
            falls += 1
        before = walk_free[k]
    if falls <= 1:
        return np.uint64(first)
    for k in range(1, walk_free.size):
        when = walk_free[k]
        place = k
        while place > 0 and walk_free[place - 1] > when:
            walk_free[place] = walk_free[place - 1]
            place -= 1
        walk_free[place] = when
    return U0


@kernel
def forget_taken(sim, tbu):
    """Note that no slot of a TBU has been taken in this block."""
    taken = sim.taken
    first, end = slots_of(sim, tbu)
    for slot in range(first, end):
        taken[slot] = 0


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
    while slot_free[cursor] > t:
        cursor = cursor + U1 if cursor + U1 < base + count else base
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
    count_latencies(sim)
    # Who holds which slot, where that can matter yet.
    slots, slot_free, taken, requesters = sim.slots, sim.slot_free, sim.taken, ev.requester
    first, end = slots_of(sim, tbu)
    now = clock.now
    before = clock.accesses
    for slot in range(first, end):
        number = np.int64(taken[slot])
        if number != 0 and slot_free[slot] > now:
            row = slots[slot]
            row.serial = before + number
            row.requester = np.int64(requesters[at + number - 1])
    clock.accesses += n
    clock.in_blocks += n
    clock.last_end = max(clock.last_end, made.latest)
    counters.makespan_ns = max(counters.makespan_ns, made.latest)
    for ch in range(2 * tbu, 2 * tbu + 2):
        sim.channels[ch].wants_slot = 0


@kernel
def count_latencies(sim):
    """Count a block's latencies: from intended time, and from issue."""
    st, histogram, highest = sim.stages, sim.histogram, sim.highest
    late_of, later_of, times_of, whose = st.late, st.later, st.times, st.whose
    pair = U1
    end = np.uint64(st.made.pairs) + U1
    while pair < end:
        who = whose[pair]
        stream = sim.requesters[np.int64(who)].stream_index
        from_intended, from_issue = histogram[stream, FROM_INTENDED], histogram[stream, FROM_ISSUE]
        latest = highest[stream, FROM_INTENDED]
        longest = highest[stream, FROM_ISSUE]
        while pair < end and whose[pair] == who:
            late, later, times = late_of[pair], later_of[pair], np.int64(times_of[pair])
            latest = max(latest, late)
            longest = max(longest, later)
            from_intended[bucket_of(late)] += times
            from_issue[bucket_of(later)] += times
            pair += U1
        highest[stream, FROM_INTENDED] = latest
        highest[stream, FROM_ISSUE] = longest
