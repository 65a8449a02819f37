"""Run the model: a setup and a stream of events in, counters, latencies and fault stories out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore import dumps, engine, faults
from smmucore.build import build
from smmucore.contexts import HARD_IRQ, SUBMIT, THREAD, WORKER
from smmucore.counters import NAMES
from smmucore.invariants import check
from smmucore.pagetable import MAP_ERRORS, grown
from smmucore.records import (
    FAULT,
    GLOBAL,
    NEVER,
    NOBODY,
    rows,
)
from smmucore.setup import Lane, Premapped, Requester, Setup, SimulationError
from smmucore.sim import Events, Sim
from smmucore.verdict import verdict

__all__ = [
    "Lane",
    "Outcome",
    "Premapped",
    "Requester",
    "Setup",
    "SimulationError",
    "build",
    "no_events",
    "simulate",
]


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes
    ----------
    counters : dict of str to int
        Every name of `smmucore.counters.MEANINGS`.
    verdict : str
    streams : tuple of int
        Stream IDs, in the order of the histograms.
    histogram : ndarray of int64, shape (streams, 2, BUCKETS)
        Latencies from intended time and from issue.
    highest : ndarray of int64, shape (streams, 2)
        Exact maxima, ns.
    faults : record array of FAULT
        One row a fault, in order of arrival at the banks.
    global_fault : dict of str to int
        What sgfsr, sgfar, sgfsynr0 and sgfsynr1 hold at the end: nobody clears them.
    end_ns : int
        Simulated time at which the run ended.
    in_blocks : int
        Accesses that went through in blocks: how the run was computed, not what came of it.
    in_backlog : int
        Events that came in turns of a lane's backlog: likewise.
    """

    counters: dict[str, int]
    verdict: str
    streams: tuple[int, ...]
    histogram: Any
    highest: Any
    faults: Any
    global_fault: dict[str, int]
    end_ns: int
    in_blocks: int
    in_backlog: int


def no_events() -> Events:
    """Return an empty block, for runs that only have lanes."""
    return Events(**dict.fromkeys(Events.fields, np.zeros(0)))


def simulate(
    setup: Setup,
    blocks: Iterable[Events],
    progress: Callable[[int], None] | None = None,
    watch: Callable[[Sim], int] | None = None,
) -> Outcome:
    """Run `setup` over the events and return what came of it.

    Parameters
    ----------
    setup : Setup
    blocks : iterable of Events
        The trace, paced, in order; only one block is held at a time.
    progress : callable, optional
        Called with the number of events done after each block.
    watch : callable, optional
        Called before anything has happened, at each pause and at the end, with the run's state; returns the
        time of the next pause: all that happens up to then has happened. NEVER: none. It changes no result.

    Raises
    ------
    SimulationError
        A MAP or UNMAP is illegal, with the event's number.
    SpaceError
        The spaces cannot be one SMMU's.
    InvariantError
        The counters contradict each other: a defect of the model.
    """
    sim = build(setup)
    if watch is not None:
        sim.clock.pause = watch(sim)
    done = 0
    status = engine.NEED_EVENTS
    source = iter(blocks)
    ahead = next(source, None)
    while status == engine.NEED_EVENTS:
        block, ahead = ahead, next(source, None)
        sim, status = _run_block(sim, block if block is not None else no_events(), ahead is None, done, watch)
        if block is not None:
            done += block.t.size
            if progress is not None:
                progress(done)
    if watch is not None:
        watch(sim)
    return _finish(setup, sim, status)


def _run_block(
    sim: Sim, block: Events, last: bool, offset: int, watch: Callable[[Sim], int] | None
) -> tuple[Sim, int]:
    at = 0
    while True:
        status, at = engine.run(sim, block, at, last)
        if status == engine.NEED_TABLES:
            sim = sim.replaced(mem=grown(sim.mem))
        elif status == engine.NEED_FAULT_ROWS:
            more = rows(FAULT, 2 * sim.faults.size)
            more[: sim.faults.size] = sim.faults
            sim = sim.replaced(faults=more)
        elif status == engine.NEED_CAPTURE_ROWS:
            kept = sim.host.captures
            sim = sim.replaced(host=sim.host.replaced(captures=np.concatenate([kept, np.zeros_like(kept)])))
        elif status == engine.PAUSED and watch is not None:
            sim.clock.pause = watch(sim)
        elif status == engine.BAD_EVENT:
            raise SimulationError(offset + at, MAP_ERRORS[int(sim.clock.error)])
        else:
            return sim, status


def _told(held: Any, count: int) -> Any:
    """Return the first `count` rows: copied where that lets go of much more than it takes."""
    told = held[:count]
    return told if 2 * count > held.size else told.copy()


def _overdue(sim: Sim, pending: Any, now: int) -> int:
    """Count the deadlines that passed for accesses that are pending, queued or not even arrived."""
    overdue = 0
    for slot in sim.slots[pending]:
        overdue += slot.deadline > 0 and dumps.missed(sim.host, slot.intended, slot.deadline, now)
    for channel, queue in zip(sim.channels, sim.queues, strict=True):
        for k in range(channel.length):
            row = queue[(channel.first + k) % queue.size]
            overdue += row.deadline > 0 and dumps.missed(sim.host, row.intended, row.deadline, now)
    for lane in sim.lanes:
        if lane.deadline > 0 and lane.left > 0:
            late = now - lane.deadline - 1 - lane.next
            if late >= 0:
                count = min(lane.left, late // lane.gap + 1 if lane.gap else lane.left)
                if sim.host.plan.gmu_waits:
                    waiting = (lane.next + k * lane.gap for k in range(count))
                    count = sum(dumps.missed(sim.host, t, lane.deadline, now) for t in waiting)
                overdue += count
    return int(overdue)


_CPU_TIME = {HARD_IRQ: "cpu_irq_ns", THREAD: "cpu_thread_ns", WORKER: "cpu_work_ns", SUBMIT: "cpu_work_ns"}


def _finish(setup: Setup, sim: Sim, status: int) -> Outcome:
    clock, counters = sim.clock, sim.counters
    now = int(clock.now)
    for bank in sim.host.banks:
        if bank.head != NOBODY:
            faults.end_stall(sim, bank, now)
    if sim.host.queue.stalled:
        faults.end_stall(sim, sim.host.queue, now)
    for ctx in sim.host.contexts:
        if ctx.on_cpu:
            name = _CPU_TIME[int(ctx.kind)]
            counters[name] += now - ctx.since
    pending = np.flatnonzero(sim.slot_free == NEVER)
    counters.transactions_pending = pending.size
    counters.watchdogs += _overdue(sim, pending, now)
    totals = dict(zip(NAMES, counters.item(), strict=True))
    check(totals)
    return Outcome(
        counters=totals,
        verdict=verdict(
            totals,
            hang=status == engine.HANG,
            livelock=status == engine.LIVELOCK,
            disabled=bool(sim.host.lines.disabled.any()),
            stormed=bool(sim.host.banks.stormed.any()),
        ),
        streams=tuple(sorted({r.stream for r in setup.requesters})),
        histogram=sim.histogram,
        highest=sim.highest,
        faults=_told(sim.faults, int(clock.faults)),
        global_fault={name: int(sim.global_fault[name]) for name in GLOBAL.names or ()},
        end_ns=now,
        in_blocks=int(clock.in_blocks),
        in_backlog=int(clock.in_backlog),
    )
