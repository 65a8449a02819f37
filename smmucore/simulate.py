"""Run the model: a setup and a stream of events in, counters, latencies and fault stories out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smmucore import dumps, engine, faults
from smmucore.clients import Client
from smmucore.contexts import HARD_IRQ, IDLE, SUBMIT, THREAD, WORKER
from smmucore.costs import Profile
from smmucore.counters import COUNTERS, NAMES
from smmucore.hardware import Hardware
from smmucore.histogram import BUCKETS, KINDS
from smmucore.invariants import check
from smmucore.linux import SITES
from smmucore.mmu import mmu
from smmucore.pagetable import MAP_ERRORS, MAP_OK, grown, map_range, tables_needed
from smmucore.policy import Policy
from smmucore.program import program, sctlr
from smmucore.records import (
    ARRIVAL,
    BANK,
    CHANNEL,
    CLIENT,
    CLOCK,
    CONTEXT,
    EVENT,
    EVENTQ,
    FAULT,
    GLOBAL,
    LANE,
    LINE,
    NEVER,
    NO_STALL,
    NOBODY,
    PLAN,
    RATELIMIT,
    REQUESTER,
    SLOT,
    STALL_ON,
    WAITING,
    one,
    rows,
)
from smmucore.registers import SCTLR_CFCFG
from smmucore.shapes import NONE, Caches
from smmucore.sim import Events, Host, Sim
from smmucore.spaces import Space, empty_tables, fsr_format, owners_of, table_memory
from smmucore.staged import kind_of
from smmucore.stages import FEWEST, stages
from smmucore.streams import IN_BANK, StreamTable
from smmucore.verdict import verdict

LIVELOCK_LIMIT = 200_000
RETRY_LIMIT = 1_000


class SimulationError(ValueError):
    """An event of the trace cannot be carried out; `index` is its number in the trace."""

    def __init__(self, index: int, expected: str) -> None:
        super().__init__(f"event {index}: expected {expected}")
        self.index = index
        self.expected = expected


@dataclass(frozen=True)
class Requester:
    """A stream that accesses memory through a context bank and a TBU.

    `bank` is the space whose MAPs, UNMAPs and TLBIs are the requester's too, whatever bank a stream table
    gives its accesses.  One that is `fixed` is not looked up there.
    """

    stream: int
    bank: int
    tbu: int = 0
    fixed: bool = False


@dataclass(frozen=True)
class Lane:
    """An arithmetic sequence of accesses, added to the trace.

    Access k has intended time ``first + k * gap`` and IOVA ``iova + (k % modulo or k) * stride``.
    With a `deadline`, an access that ends later than that after its intended time is a missed
    watchdog (K7).
    """

    requester: int
    count: int
    first: int = 0
    gap: int = 0
    op: int = 0
    iova: int = 0
    stride: int = 4096
    modulo: int = 0
    deadline: int = 0


@dataclass(frozen=True)
class Premapped:
    """A mapping that exists before the run."""

    bank: int
    iova: int
    size: int
    pa: int
    prot: int


@dataclass(frozen=True)
class Setup:
    """What a run is made of, but for the events.

    Attributes
    ----------
    policy, client, hardware, costs
        The axes of a comparison.
    requesters : sequence of Requester
        Indexed by ``Events.requester``.
    spaces : sequence of Space
        The tables of each bank.
    streams : StreamTable, optional
        Which bank each requester's accesses belong to (H1); otherwise its own.
    cpus : mapping
        CPU of the ``irq``, ``thread``, ``worker`` and ``submit`` contexts; without `submit`, the worker's.
    lanes, premapped, demand, sleeps_after
        What the scenario adds: accesses, mappings, whether MAP only feeds the pager, and after how many idle
        ns the SMMU sleeps (0: never).
    livelock_limit : int
        Passes begun without a record seen or a RESUME accepted that end a run.
    retry_limit : int
        Retries of one transaction, each of which faulted again, that end a run.
    orderly : bool
        All accesses of the events go through one channel, and no event is ABRUPT: who knows that spares
        the engine from following each access through its queue.  It changes no result; where there is more
        than one bank it is not used.
    seed : int
        Of the wake-up times that `costs` has drawn.
    calm : int
        As many accesses at least go through in a block where nothing else happens; 0: none do.  It changes
        no result.
    """

    policy: Policy
    client: Client
    hardware: Hardware
    costs: Profile
    requesters: Sequence[Requester]
    spaces: Sequence[Space]
    cpus: Mapping[str, int] = field(default_factory=lambda: {"irq": 0, "thread": 0, "worker": 1})
    lanes: Sequence[Lane] = ()
    premapped: Sequence[Premapped] = ()
    demand: bool = False
    livelock_limit: int = LIVELOCK_LIMIT
    retry_limit: int = RETRY_LIMIT
    orderly: bool = False
    calm: int = FEWEST
    streams: StreamTable | None = None
    seed: int = 0
    sleeps_after: int = 0


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


def build(setup: Setup) -> Sim:
    """Return the state of a run that has not begun."""
    hw = setup.hardware
    nb = len(setup.spaces)
    streams = sorted({r.stream for r in setup.requesters})
    banks = rows(BANK, nb)
    banks.head = NOBODY
    banks.lock = NOBODY
    banks.sctlr = sctlr(setup.policy, hw.second_fault)
    banks.book = STALL_ON if int(banks.sctlr[0]) & SCTLR_CFCFG else NO_STALL
    plan = program(setup.policy, setup.client)
    contexts = _contexts(nb, {"submit": setup.cpus["worker"], **setup.cpus}, submits=plan.submit >= 0)
    requesters = rows(REQUESTER, len(setup.requesters))
    for k, r in enumerate(setup.requesters):
        row = requesters[k]
        row.stream, row.stream_index, row.space, row.tbu = r.stream, streams.index(r.stream), r.bank, r.tbu
        row.route, row.bank = IN_BANK, r.bank
        if setup.streams is not None and not r.fixed:
            row.route, row.bank = setup.streams.route(r.stream, nb)
    lanes = rows(LANE, len(setup.lanes))
    for k, a in enumerate(setup.lanes):
        row = lanes[k]
        row.next, row.gap, row.left, row.requester, row.op = a.first, a.gap, a.count, a.requester, a.op
        row.iova, row.stride, row.modulo, row.deadline = a.iova, a.stride, a.modulo, a.deadline
    lines = rows(LINE, nb)
    lines.last_unhandled = -NEVER
    channels = 2 * hw.tbus
    mem = table_memory(
        setup.spaces, 4096 + sum(int(tables_needed(np.uint64(m.size))) for m in setup.premapped)
    )
    regimes, shadows = empty_tables(setup.spaces, mem), empty_tables(setup.spaces, mem)
    banks.format = [fsr_format(regime) for regime in regimes]
    for m in setup.premapped:
        status = map_range(mem, regimes[m.bank], *map(np.uint64, (m.iova, m.size, m.pa)), m.prot)
        if status != MAP_OK:
            raise SimulationError(-1, MAP_ERRORS[status])
    # What belongs to no bank (H1) is not translated.
    can_be_calm = np.unique(requesters.tbu).size == 1 and not requesters.route.any()
    clock, record = rows(CLOCK, 1)[0], rows(COUNTERS, 1)[0]
    caches = mmu(hw.caches, owners_of(setup.spaces, regimes))
    host = Host(
        contexts=contexts,
        lines=lines,
        banks=banks,
        sites=rows(RATELIMIT, SITES),
        steps=plan.steps,
        plan=one(
            PLAN,
            threaded=setup.policy.context == "threaded",
            demand=setup.demand,
            handler=plan.handler,
            worker=plan.worker,
            submit=plan.submit,
            polls_all=setup.policy.polls_all,
            gmu_waits=setup.policy.gmu_waits or setup.client.gmu_waits,
            sleeps_after=setup.sleeps_after,
            livelock_limit=setup.livelock_limit,
            retry_limit=setup.retry_limit,
            calm=0 if not can_be_calm or setup.sleeps_after else setup.calm,
            seed=setup.seed,
            orderly=setup.orderly and np.unique(requesters.bank).size == 1,
        )[0],
        client=rows(CLIENT, 1)[0],
        clock=clock,
        hw=hw.record()[0],
        cost=setup.costs.record()[0],
        wakes=setup.costs.wakes(),
        captures=np.zeros((16, 2), np.int64),
        queue=rows(EVENTQ, 1)[0],
        events=rows(EVENT, max(hw.events, 1)),
        held=np.zeros(channels * hw.slots, np.int64),
        jobs=rows(EVENT, channels * hw.slots),
        counters=record,
    )
    return Sim(
        host=host,
        mmu=caches,
        pager=mmu(Caches(walk=(NONE, NONE, NONE)), owners_of(setup.spaces, shadows)),
        mem=mem,
        regimes=regimes,
        shadows=shadows,
        fifos=np.zeros((nb, channels * hw.slots), np.int64),
        channels=rows(CHANNEL, channels),
        queues=np.zeros((channels, hw.fifo_depth), WAITING),
        slots=rows(SLOT, channels * hw.slots),
        slot_free=np.zeros(channels * hw.slots, np.int64),
        walk_free=np.zeros((hw.tbus, hw.walk_slots), np.int64),
        arrivals=rows(ARRIVAL, channels * hw.slots + 1),
        requesters=requesters,
        requester_banks=np.array(requesters.bank, np.int64),
        kinds=np.array([kind_of(caches.owners[bank]) for bank in requesters.bank], np.uint64),
        stages=stages(),
        kept_slot_free=np.zeros(channels * hw.slots, np.int64),
        kept_walk_free=np.zeros(hw.walk_slots, np.int64),
        taken=np.zeros(channels * hw.slots, np.uint16),
        lanes=lanes,
        faults=rows(FAULT, 1024),
        histogram=np.zeros((len(streams), KINDS, BUCKETS), np.int64),
        highest=np.zeros((len(streams), KINDS), np.int64),
        global_fault=rows(GLOBAL, 1)[0],
        clock=clock,
        hw=host.hw,
        cost=host.cost,
        counters=record,
    )


def _contexts(nb: int, cpus: Mapping[str, int], *, submits: bool) -> Any:
    """Return the idle contexts of `nb` banks, each on its CPU."""
    kinds = ((HARD_IRQ, "irq"), (THREAD, "thread"), (WORKER, "worker"), (SUBMIT, "submit"))[: 3 + submits]
    contexts = rows(CONTEXT, len(kinds) * nb)
    for kind, name in kinds:
        for b in range(nb):
            ctx = contexts[kind * nb + b]
            ctx.kind, ctx.bank, ctx.cpu, ctx.state, ctx.t_next = kind, b, cpus[name], IDLE, NEVER
    return contexts


def no_events() -> Events:
    """Return an empty block, for runs that only have lanes."""
    return Events(**dict.fromkeys(Events.fields, np.zeros(0)))


def simulate(
    setup: Setup, blocks: Iterable[Events], progress: Callable[[int], None] | None = None
) -> Outcome:
    """Run `setup` over the events and return what came of it.

    Parameters
    ----------
    setup : Setup
    blocks : iterable of Events
        The trace, paced, in order; only one block is held at a time.
    progress : callable, optional
        Called with the number of events done after each block.

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
    done = 0
    status = engine.NEED_EVENTS
    source = iter(blocks)
    ahead = next(source, None)
    while status == engine.NEED_EVENTS:
        block, ahead = ahead, next(source, None)
        sim, status = _run_block(sim, block if block is not None else no_events(), ahead is None, done)
        if block is not None:
            done += block.t.size
            if progress is not None:
                progress(done)
    return _finish(setup, sim, status)


def _run_block(sim: Sim, block: Events, last: bool, offset: int) -> tuple[Sim, int]:
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
        elif status == engine.BAD_EVENT:
            raise SimulationError(offset + at, MAP_ERRORS[int(sim.clock.error)])
        else:
            return sim, status


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
    totals = {name: int(counters[name]) for name in NAMES}
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
        faults=sim.faults[: int(clock.faults)].copy(),
        global_fault={name: int(sim.global_fault[name]) for name in GLOBAL.names or ()},
        end_ns=now,
        in_blocks=int(clock.in_blocks),
    )
