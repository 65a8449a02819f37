"""Run one setup through the compiled model and through the plain-Python one, and compare the integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smmucore import clients, costs, hardware, policies
from smmucore.histogram import BUCKETS, bucket_of
from smmucore.records import RECORD_NAMES
from smmucore.shapes import NONE
from smmucore.sim import Events, Sim
from smmucore.simulate import Lane, Outcome, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux

from ..reference import fault_model as plain

Event = tuple[int, int, int, int, int, int, int]  # t, op, requester, iova, size, pa, prot

#: Round figures, so that a count by hand is easy; the timing of both models follows them.
COSTS = {
    **dict.fromkeys(costs.NAMES, 0),
    "utlb_hit": 1,
    "tlb_hit": 10,
    "walk_cache_hit": 5,
    "walk_mem": 100,
    "mmio_read": 100,
    "mmio_write": 50,
    "irq_delivery": 200,
    "irq_entry_task": 300,
    "irq_entry_idle": 500,
    "irq_exit_task": 150,
    "irq_exit_idle": 250,
    "oneshot_entry": 1000,
    "oneshot_exit": 400,
    "oneshot_unmask": 300,
    "thread_wake": 2000,
    "work_wake": 3000,
    "queue_work": 700,
    "check": 20,
    "report": 60,
    "log_suppressed": 30,
    "log_line": 1000,
    "log_summary": 900,
    "capture": 100_000,
    "map_page": 2500,
    "tbu_halt": 1500,
    "atos": 800,
    "soft_walk": 350,
    "pm_get": 70,
    "pm_put": 90,
    "cooldown": 40_000,
    "dump_kept": 150_000,
    "submit_every": 7000,
    "hangcheck": 30_000,
    "event_read": 130,
    "cmd_issue": 310,
}


@dataclass(frozen=True)
class Case:
    """A run, in the words of neither model."""

    policy: str
    client: str = "none"
    hardware: hardware.Hardware = hardware.PRESETS["mmu500"]
    events: tuple[Event, ...] = ()
    lanes: tuple[Lane, ...] = ()
    requesters: tuple[Requester, ...] = (Requester(7, 0),)
    premapped: tuple[Premapped, ...] = ()
    demand: bool = False
    costs: dict[str, int] = field(default_factory=lambda: COSTS)
    cpus: tuple[int, int, int, int] = (0, 1, 2, 2)
    livelock_limit: int = 300
    retry_limit: int = 50
    orderly: bool = False
    calm: int = 1
    drawn: dict[str, costs.Lognormal] = field(default_factory=dict)
    seed: int = 0
    sleeps_after: int = 0

    def with_hardware(self, **changes: Any) -> Case:
        return replace(self, hardware=replace(self.hardware, **changes))


def plainly_cached(hw: hardware.Hardware) -> hardware.Hardware:
    """Give a part the caches of which the plain model knows: one walk cache, and LRU."""
    lru = {name: replace(getattr(hw, name), replacement="lru") for name in ("utlb", "tlb", "walk_cache")}
    return replace(hw, **lru, walk_cache1=NONE, walk_cache2=NONE)


def columns(events: tuple[Event, ...]) -> Events:
    types = (np.int64, np.uint8, np.int64, np.uint64, np.uint64, np.uint64, np.int64)
    return Events(*(np.array([e[k] for e in events], kind) for k, kind in enumerate(types)))


def run(case: Case, block: int = 1 << 30, watch: Callable[[Sim], int] | None = None) -> Outcome:
    """Run the compiled model, the trace cut into blocks of `block` events."""
    setup = Setup(
        policies.find(case.policy),
        clients.find(case.client),
        case.hardware,
        costs.profile().with_values(case.costs).with_drawn(case.drawn),
        case.requesters,
        linux(48) * (1 + max(r.bank for r in case.requesters)),
        dict(zip(("irq", "thread", "worker", "submit"), case.cpus, strict=True)),
        case.lanes,
        case.premapped,
        case.demand,
        case.livelock_limit,
        case.retry_limit,
        case.orderly,
        case.calm,
        seed=case.seed,
        sleeps_after=case.sleeps_after,
    )
    blocks = [columns(case.events[k : k + block]) for k in range(0, len(case.events), block)]
    return simulate(setup, blocks, watch=watch)


def run_plain(case: Case) -> plain.Outcome:
    hw = case.hardware
    names = (
        "stalls second_fault resume_needs_fsr_clear ss_asserts_irq irq_held_until_resume "
        "fsr_frozen_while_stalled sync_waits_for_stall shared_line events stall_max tbus slots walk_slots "
        "fifo_depth accept"
    )
    shapes = {
        name: (getattr(hw, name).sets, getattr(hw, name).ways) for name in ("utlb", "tlb", "walk_cache")
    }
    setup = plain.Setup(
        events=[(t, op, r, case.requesters[r].bank, *rest) for t, op, r, *rest in case.events],
        requesters=[(r.stream, r.bank, r.tbu) for r in case.requesters],
        policy=case.policy,
        client=case.client,
        hw={**{name: getattr(hw, name) for name in names.split()}, **shapes},
        costs=case.costs,
        cpus=dict(zip(("irq", "thread", "work", "submit"), case.cpus, strict=True)),
        lanes=[
            plain.Lane(a.first, a.gap, a.count, a.requester, a.op, a.iova, a.stride, a.modulo, a.deadline)
            for a in case.lanes
        ],
        premapped=[(m.bank, m.iova, m.size, m.pa, m.prot) for m in case.premapped],
        demand=case.demand,
        livelock_limit=case.livelock_limit,
        retry_limit=case.retry_limit,
        drawn={name: (how.p50, how.p99) for name, how in case.drawn.items()},
        seed=case.seed,
        suspend_after=case.sleeps_after,
    )
    return plain.simulate(setup)


def differences(case: Case, block: int = 1 << 30) -> dict[str, tuple[Any, Any]]:
    """Return what differs, as (compiled, plain); empty when the models agree."""
    ours, theirs = run(case, block), run_plain(case)
    expected = {
        **theirs.counters,
        "transactions_pending": theirs.transactions_pending,
        "verdict": theirs.verdict,
    }
    found = {**ours.counters, "verdict": ours.verdict}
    out = {name: (found[name], want) for name, want in expected.items() if found[name] != want}
    for k, stream in enumerate(ours.streams):
        for kind in range(2):
            counts = np.zeros(BUCKETS, np.int64)
            for late in theirs.latencies[stream][kind]:
                counts[bucket_of(late)] += 1
            if not np.array_equal(counts, ours.histogram[k, kind]):
                out[f"histogram {stream} {kind}"] = (ours.histogram[k, kind].nonzero(), counts.nonzero())
    rows = [(RECORD_NAMES[f.record], int(f.t_arrived), int(f.t_irq), int(f.t_resumed)) for f in ours.faults]
    want_rows = [
        (
            f["record"],
            f["t_arrived"],
            -1 if f["t_irq"] is None else f["t_irq"],
            -1 if f["t_resumed"] is None else f["t_resumed"],
        )
        for f in theirs.faults
    ]
    if rows != want_rows:
        first = next((k for k, (a, b) in enumerate(zip(rows, want_rows, strict=False)) if a != b), len(rows))
        out[f"fault row {first}"] = (rows[first : first + 1], want_rows[first : first + 1])
    return out
