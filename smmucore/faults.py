"""A fault's way: it reaches its bank or event queue, is recorded, stalls, and is resumed (H5 to H11, H13)."""

from __future__ import annotations

import numpy as np

from smmucore import bank as rules
from smmucore import dumps, eventq
from smmucore.contexts import look_at_line
from smmucore.kernel import kernel
from smmucore.records import FAULTED_AGAIN, LIVELOCKED
from smmucore.registers import FSR_ALL_ONES, FSR_SS, RESUME_RETRY
from smmucore.transactions import take_arrival, terminate, translate_again


@kernel
def arrive(sim, t):
    """Let the earliest arrival reach its bank (H5 to H8); return the bank's number."""
    slot = take_arrival(sim)
    row = sim.slots[slot]
    who = sim.requesters[row.requester]
    bank = sim.host.banks[who.bank]
    clock = sim.clock
    counters = sim.counters
    if row.fault != 0:
        sim.faults[row.fault - 1].outcome = FAULTED_AGAIN
        sim.faults[row.fault - 1].t_retired = t
        row.retries += 1
        if row.retries >= sim.host.plan.retry_limit:
            clock.stop = LIVELOCKED
    clock.faults += 1
    number = clock.faults
    row.fault = number
    fsynr0 = rules.syndrome(row.access, row.level)
    story = sim.faults[number - 1]
    story.iova = row.iova
    story.bank = who.bank
    story.stream = who.stream
    story.fsr_bits = row.bits
    story.fsynr0 = fsynr0
    story.t_intended = row.intended
    story.t_issued = row.issued
    story.t_arrived = t
    story.t_recorded = -1
    story.t_irq = -1
    story.t_handler_start = -1
    story.t_handler_end = -1
    story.t_resumed = -1
    story.t_retired = -1
    counters.faults_injected += 1
    if sim.hw.events:
        queue_fault(sim, slot, bank, t)
        return who.bank
    verdict, told = rules.fault(bank, sim.hw, slot, number, row.bits, row.iova, fsynr0)
    account(sim, number, told, t)
    if verdict == rules.STALL:
        begin_stall(sim, bank, t)
    elif verdict == rules.WAIT:
        rules.push(bank, sim.fifos[who.bank], slot)
        counters.faults_pending += 1
    else:
        terminate(sim, slot, t)
    return who.bank


@kernel
def queue_fault(sim, slot, bank, t):
    """A fault reaches an SMMUv3: it stalls or is terminated, and its event is written, held or dropped."""
    queue = sim.host.queue
    row = sim.slots[slot]
    verdict, event = eventq.fault(queue, sim.hw, bank)
    if verdict == eventq.STALL:
        row.stalled = 1
        if queue.stalled == 1:
            begin_stall(sim, queue, t)
    if event == eventq.WRITTEN:
        write_event(sim, slot, t)
    elif event == eventq.HELD:
        eventq.hold(queue, sim.host.held, slot)
        sim.counters.faults_pending += 1
    else:
        account(sim, row.fault, rules.IS_LOST, t)
    if verdict == eventq.ABORT:
        terminate(sim, slot, t)


@kernel
def write_event(sim, slot, t):
    """Write a fault's event into the queue."""
    row = sim.slots[slot]
    b = sim.requesters[row.requester].bank
    bits = row.bits | sim.host.banks[b].format | (FSR_SS if row.stalled else 0)
    fsynr0 = rules.syndrome(row.access, row.level)
    eventq.write(sim.host.queue, sim.host.events, slot, row.fault, b, bits, row.iova, fsynr0)
    account(sim, row.fault, rules.IS_RECORDED, t)


@kernel
def release_held(sim, t):
    """There is room for an event: the first that is held enters."""
    sim.counters.faults_pending -= 1
    write_event(sim, eventq.next_held(sim.host.queue, sim.host.held), t)


@kernel
def command(sim, slot, number, value, t):
    """CMD_RESUME: retry or terminate a stalled transaction; return whether it still was stalled."""
    if number == 0 or slot < 0 or sim.slots[slot].stalled == 0 or sim.slots[slot].fault != number:
        sim.counters.resume_ignored += 1
        return False
    queue = sim.host.queue
    sim.slots[slot].stalled = 0
    queue.stalled -= 1
    if queue.stalled == 0:
        end_stall(sim, queue, t)
    act_on(sim, slot, number, value, t)
    return True


@kernel
def account(sim, number, told, t):
    """Count what became of a fault's record."""
    counters = sim.counters
    story = sim.faults[number - 1]
    story.record = told
    if told == rules.IS_RECORDED:
        counters.faults_recorded += 1
        story.t_recorded = t
    elif told == rules.IS_COALESCED:
        counters.faults_coalesced += 1
    elif told == rules.IS_LOST:
        counters.faults_lost += 1


@kernel
def forget_unread(sim, number):
    """Count a record that was cleared before any pass had read it as lost, not as recorded."""
    if number != 0:
        sim.counters.faults_recorded -= 1
        sim.counters.faults_lost += 1
        sim.faults[number - 1].record = rules.IS_LOST


@kernel
def begin_stall(sim, bank, t):
    """SS is set at `t`."""
    bank.ss_since = t
    bank.captured_since = dumps.time_in_captures(sim.host.client, t)


@kernel
def end_stall(sim, bank, t):
    """SS is clear at `t`, or the run ends: count the stall, and whether the hang check saw it (K7)."""
    counters = sim.counters
    counters.stalled_ns += t - bank.ss_since
    captured = dumps.time_in_captures(sim.host.client, t) - bank.captured_since
    if t - bank.ss_since - captured > sim.cost.hangcheck:
        counters.hangchecks += 1


@kernel
def wake_up(sim, t):
    """An access or the driver wakes the SMMU: the driver's resume clears FSR of every bank."""
    queue = sim.host.queue
    for k in range(queue.length):
        forget_unread(sim, sim.host.events[(queue.first + k) % sim.host.events.size].number)
    eventq.forget(queue)
    for b in range(sim.host.banks.size):
        forget_unread(sim, rules.write_fsr(sim.host.banks[b], FSR_ALL_ONES))
        look_at_line(sim.host, b, t)


@kernel
def resume(sim, b, slot, number, value, t):
    """RESUME acted on `slot`: retry it or terminate it (H9)."""
    end_stall(sim, sim.host.banks[b], t)
    act_on(sim, slot, number, value, t)


@kernel
def act_on(sim, slot, number, value, t):
    """Retry or terminate the transaction of a fault."""
    sim.faults[number - 1].t_resumed = t
    if value == RESUME_RETRY:
        sim.counters.retried += 1
        translate_again(sim, slot, t)
    else:
        terminate(sim, slot, t)


@kernel
def drain(sim, b, t):
    """Take what waits behind a stall, while nothing is stalled (H9)."""
    bank = sim.host.banks[b]
    fifo = sim.fifos[b]
    while bank.fifo_len > 0 and bank.head < 0:
        slot = np.int64(fifo[bank.fifo_at])
        row = sim.slots[slot]
        if row.fault != 0:
            rules.pop(bank, fifo)
            sim.counters.faults_pending -= 1
            fsynr0 = rules.syndrome(row.access, row.level)
            verdict, told = rules.resolve(bank, sim.hw, slot, row.fault, row.bits, row.iova, fsynr0)
            account(sim, row.fault, told, t)
            if verdict == rules.STALL:
                begin_stall(sim, bank, t)
            else:
                terminate(sim, slot, t)
            continue
        admission = rules.release(bank, sim.hw)
        if admission == rules.HOLD:
            return
        rules.pop(bank, fifo)
        if admission == rules.PROCEED:
            translate_again(sim, slot, t)
        else:
            terminate(sim, slot, t)
