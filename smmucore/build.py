"""A run's state before it begins, from its setup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from smmucore.contexts import HARD_IRQ, IDLE, SUBMIT, THREAD, WORKER
from smmucore.counters import COUNTERS
from smmucore.histogram import BUCKETS, KINDS
from smmucore.linux import SITES
from smmucore.mmu import mmu
from smmucore.pagetable import MAP_ERRORS, MAP_OK, map_range, tables_needed
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
from smmucore.setup import Setup, SimulationError
from smmucore.shapes import NONE, Caches
from smmucore.sim import Host, Sim
from smmucore.spaces import empty_tables, fsr_format, owners_of, table_memory
from smmucore.staged import kind_of
from smmucore.stages import stages
from smmucore.streams import IN_BANK

#: Rows of FAULT that a run begins with, at least and at most (96 MB).
FEWEST_ROWS = 1024
MOST_ROWS = 1 << 20
#: Tables that a run begins with, beside those of what is mapped before it: 1 MB, 16 MB.
FEWEST_TABLES = 256
MOST_TABLES = 4096


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
    mem = table_memory(setup.spaces, _tables(setup))
    regimes, shadows = empty_tables(setup.spaces, mem), empty_tables(setup.spaces, mem)
    banks.format = [fsr_format(regime) for regime in regimes]
    for m in setup.premapped:
        status = map_range(mem, regimes[m.bank], *map(np.uint64, (m.iova, m.size, m.pa)), m.prot)
        if status != MAP_OK:
            raise SimulationError(-1, MAP_ERRORS[status])
    # What belongs to no bank (H1) is not translated.
    can_be_calm = np.unique(requesters.tbu).size == 1 and not requesters.route.any()
    clock, record = rows(CLOCK, 1)[0], rows(COUNTERS, 1)[0]
    clock.pause = NEVER
    owned = owners_of(setup.spaces, regimes)
    host = Host(
        contexts=contexts,
        lines=lines,
        banks=banks,
        sites=rows(RATELIMIT, SITES),
        steps=plan.steps.copy(),
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
    slots = rows(SLOT, channels * hw.slots)
    slots.channel = np.arange(slots.size) // hw.slots
    return Sim(
        host=host,
        mmu=mmu(hw.caches, owned),
        pager=mmu(Caches(walk=(NONE, NONE, NONE)), owned),
        mem=mem,
        regimes=regimes,
        shadows=shadows,
        fifos=np.zeros((nb, channels * hw.slots), np.int64),
        channels=rows(CHANNEL, channels),
        queues=np.zeros((channels, hw.fifo_depth), WAITING),
        slots=slots,
        slot_free=np.zeros(channels * hw.slots, np.int64),
        walk_free=np.zeros((hw.tbus, hw.walk_slots), np.int64),
        arrivals=rows(ARRIVAL, channels * hw.slots + 1),
        requesters=requesters,
        requester_banks=np.array(requesters.bank, np.int64),
        kinds=np.array([kind_of(owned[bank]) for bank in requesters.bank], np.uint64),
        stages=stages(),
        kept_slot_free=np.zeros(channels * hw.slots, np.int64),
        kept_walk_free=np.zeros(hw.walk_slots, np.int64),
        taken=np.zeros(channels * hw.slots, np.uint16),
        lanes=lanes,
        faults=rows(FAULT, _fault_rows(setup)),
        histogram=np.zeros((len(streams), KINDS, BUCKETS), np.int64),
        highest=np.zeros((len(streams), KINDS), np.int64),
        global_fault=rows(GLOBAL, 1)[0],
        clock=clock,
        hw=host.hw,
        cost=host.cost,
        counters=record,
    )


def _tables(setup: Setup) -> int:
    """Return for how many tables there is room at first; a run doubles it when it is short.

    Linux's spaces begin with one table each.  Others may begin with 16 of 64K, a stage 2 with its window.
    """
    plain = all(space.is_linux for space in setup.spaces)
    first = FEWEST_TABLES + 4 * len(setup.spaces) if plain else MOST_TABLES
    return first + sum(int(tables_needed(np.uint64(m.size))) for m in setup.premapped)


def _fault_rows(setup: Setup) -> int:
    """Return for how many faults there is room at first: those of the lanes, if all of them fault.

    Rows that are never written take no memory, and with fewer a run has to double and copy them.
    """
    return max(FEWEST_ROWS, min(2 + sum(lane.count for lane in setup.lanes), MOST_ROWS))


def _contexts(nb: int, cpus: Mapping[str, int], *, submits: bool) -> Any:
    """Return the idle contexts of `nb` banks, each on its CPU."""
    kinds = ((HARD_IRQ, "irq"), (THREAD, "thread"), (WORKER, "worker"), (SUBMIT, "submit"))[: 3 + submits]
    contexts = rows(CONTEXT, len(kinds) * nb)
    for kind, name in kinds:
        for b in range(nb):
            ctx = contexts[kind * nb + b]
            ctx.kind, ctx.bank, ctx.cpu, ctx.state, ctx.t_next = kind, b, cpus[name], IDLE, NEVER
    return contexts
