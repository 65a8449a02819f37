"""What goes into a run of the plain-Python fault model, what comes out, and what travels through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: (t, op, requester, space, iova, size, pa, prot), intended times already paced
Event = tuple[int, int, int, int, int, int, int, int]

COUNTERS = (
    "accesses", "utlb_hits", "tlb_hits", "walks", "walk_reads",
    "faults_injected", "faults_recorded", "faults_coalesced", "faults_lost", "faults_pending",
    "irq_entries", "irq_spurious", "irq_none", "mmio_reads", "mmio_writes", "log_lines", "log_suppressed",
    "resume_written", "resume_ignored", "resume_stray", "retried", "terminated", "collateral",
    "stalled_ns", "cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns", "makespan_ns", "watchdogs",
    "tlbi_writes", "tlb_syncs", "tlb_sync_reads", "tlb_sync_timeouts", "cpu_tlbi_ns",
    "console_ns", "hangchecks", "mmio_asleep",
)  # fmt: skip


@dataclass
class Lane:
    """An injected lane: n accesses, `gap` apart, at base + k * stride (k mod `modulo`, unless that is 0)."""

    first: int
    gap: int
    n: int
    requester: int
    op: int
    base: int
    stride: int
    modulo: int = 0
    deadline_ns: int = 0

    def events(self) -> Iterator[Event]:
        for k in range(self.n):
            iova = self.base + (k % self.modulo if self.modulo else k) * self.stride
            yield self.first + k * self.gap, self.op, self.requester, 0, iova, 1, 0, 0


@dataclass
class Setup:
    """One run."""

    events: list[Event]
    requesters: list[tuple[int, int, int]]  #: stream, space (its bank), TBU
    policy: str
    client: str
    hw: dict[str, Any]
    costs: dict[str, int]
    cpus: dict[str, int]  #: of irq, thread, work, submit
    lanes: list[Lane] = field(default_factory=list)
    #: (space, iova, size, pa, prot), mapped before the run starts
    premapped: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    demand: bool = False
    livelock_limit: int = 200_000
    retry_limit: int = 10_000
    #: wake-ups that are drawn: cost -> median and 99th percentile of a lognormal
    drawn: dict[str, tuple[int, int]] = field(default_factory=dict)
    seed: int = 0
    suspend_after: int = 0  #: the SMMU sleeps when it has been idle for so long; 0: never
    event_limit: int = 20_000_000  #: of the reference alone: a run that goes on for ever raises


@dataclass
class Outcome:
    """What a run came to."""

    counters: dict[str, int]
    verdict: str
    completed: bool
    transactions_pending: int
    #: per stream: from intended, from issue, in order of ending
    latencies: dict[int, tuple[list[int], list[int]]]
    faults: list[dict[str, Any]]


@dataclass(eq=False)
class Transaction:
    """One access, from its arrival at a channel's queue."""

    stream: int
    bank: int
    tbu: int
    op: int
    iova: int
    privileged: bool
    intended: int
    arrived: int
    deadline: int  #: relative to intended; 0: none
    missed: bool = False  #: its deadline, judged when its end became known
    issued: int | None = None
    faults: int = 0
    ended_at: int | None = None  #: known as soon as it translates, even where that is later than now


@dataclass(eq=False)
class Channel:
    """The reads, or the writes, of one TBU."""

    tbu: int
    queue: list[Transaction] = field(default_factory=list)
    in_slots: list[Transaction] = field(default_factory=list)
    last_issue: int | None = None
    waits_for_walk_slot: int = 0


class LaneState:
    """Where a lane has got to."""

    def __init__(self, events: Iterator[Event], deadline: int) -> None:
        self.events = events
        self.deadline = deadline
        self.free_at = 0
        self.next = next(events, None)
        self.fence: list[Transaction] | None = None  #: the accesses that the UNMAP or TLBI at hand waits for
        self.sync_since: int | None = None  #: when the TLBI_SYNC at hand was begun

    def done(self, now: int) -> None:
        self.free_at = now
        self.fence = None
        self.sync_since = None
        self.next = next(self.events, None)


@dataclass(eq=False)
class Tbu:
    """The walk slots of one TBU."""

    walk_slots: list[int]  #: when each is free
