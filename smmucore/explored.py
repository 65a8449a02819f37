"""What the explorer works on: a machine in which time stands still, and the graph of its states.

Nothing costs anything and it is always 0 ns, so that only the order of moves is left.  The machine is a `Sim`
as replay has it, with as many slots and pages as there are faults (decision 0010).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from smmucore.build import build
from smmucore.clients import Client
from smmucore.costs import COSTS, profile
from smmucore.hardware import Hardware
from smmucore.liveness import liveness, locals_of, needs_far
from smmucore.pagetable import find_leaf, map_range, unmap_range
from smmucore.policy import Policy
from smmucore.records import one
from smmucore.setup import Premapped, Requester, Setup
from smmucore.shapes import NONE, Shape
from smmucore.sim import Sim
from smmucore.spaces import linux
from smmucore.state import State, array, part, record
from traces.events import PROT_READ, PROT_WRITE

PAGE = 4096
#: Transaction slots of each channel.
SLOTS = 8
#: A bound that fits the words of a state.
MOST_FAULTS = 6
MOST_BANKS = 2

#: What bounds an exploration.
BOUNDS = np.dtype(
    [
        (name, "i8")
        for name in (
            "faults",  # that arrive at most
            "banks",
            "contexts",
            "words",  # of a state
            "uses_far",  # FAR plays a part: faults have an address each
            "pages",  # the pager maps pages
            "submits",
            "sleeps",  # the SMMU may fall asleep
            "events",  # the part has an event queue: words of it come last
            "single",  # a move is one effect, as a schedule is told
            "worker_wants",  # what a worker needs of the pass that queued it: `liveness`
        )
    ],
    align=True,
)

#: What the environment has left to do, and how far the exploration has come.
PROGRESS = np.dtype(
    [
        ("left", "i8"),  # accesses that have not been made yet
        ("named", "i8"),  # transactions that have a name (`packing_queue`)
        ("states", "i8"),
        ("expanded", "i8"),
        ("edges", "i8"),
    ],
    align=True,
)


class Explored(State):
    """A machine, and the graph of its states as far as it is known.

    State k is row k of `words`; the moves from it are edges ``first[k]`` to ``first[k + 1]``.
    """

    sim = part(Sim)
    bounds = record(BOUNDS)
    progress = record(PROGRESS)
    local = array(np.uint8)  # (steps,): the step is nobody else's business
    live = array(np.int64)  # (steps,): what of a pass's copies is still needed before the step
    leaf_at = array(np.int64, 2)  # (banks, faults): where a page's leaf stands
    leaf_word = array(np.uint64, 2)  # and what it is, if the page is mapped
    names = array(np.int64)  # (slots,): of stalled transactions, or -1 (`packing_queue`)
    untold = array(np.int64)  # (banks,): MULTI is set, and no pass has read it since
    words = array(np.uint16, 2)  # (room, words)
    scratch = array(np.uint16)  # (words,): the state at hand
    table = array(np.int32)  # hash table of states, open; -1: empty
    came_from = array(np.int32)  # (room,): the edge by which the state was found first; -1: the start
    about = array(np.int32)  # (room,): flags of the state
    first = array(np.int64)  # (room + 1,)
    source = array(np.int32)  # (edge room,)
    target = array(np.int32)
    move = array(np.int16)
    flags = array(np.int32)


@dataclass(frozen=True)
class Question:
    """What is explored: a cell, its CPUs and its bounds.

    Attributes
    ----------
    policy, client, hardware
        As of a run.
    same_cpu : bool
        Worker and submit share the CPU of the interrupt.
    faults : int
        That arrive at most; a retried transaction that faults again is not counted again.
    banks : int
        Context banks that take part.
    sleeps : bool
        The SMMU falls asleep whenever it may (runtime PM).
    placement : tuple of int
        The CPUs of interrupt, thread, worker and submit; empty: as `same_cpu` says.
    """

    policy: Policy
    client: Client
    hardware: Hardware
    same_cpu: bool = False
    faults: int = 3
    banks: int = 1
    sleeps: bool = False
    placement: tuple[int, ...] = ()

    @property
    def cpus(self) -> Mapping[str, int]:
        """The CPU of each kind of context."""
        other = 0 if self.same_cpu else 1
        placed = self.placement or (0, 0, other, other)
        return dict(zip(("irq", "thread", "worker", "submit"), placed, strict=True))


def machine(asked: Question) -> Sim:
    """Return the machine of a question at its start: nothing has happened, and nothing costs anything."""
    pages = asked.client.pages
    tiny = Shape(1, 1)
    absent = (
        "walk_cache",
        "walk_cache1",
        "walk_cache2",
        "stage2_walk_cache",
        "stage2_walk_cache1",
        "stage2_walk_cache2",
        "ipa_cache",
    )
    without: dict[str, Any] = dict.fromkeys(absent, NONE)
    hardware = replace(
        asked.hardware,
        tbus=1,
        slots=SLOTS,
        walk_slots=SLOTS,
        fifo_depth=1,
        utlb=tiny,
        tlb=tiny,
        **without,
    )
    sim = build(
        Setup(
            policy=asked.policy,
            client=asked.client,
            hardware=hardware,
            costs=profile(),
            requesters=[Requester(b, b) for b in range(asked.banks)],
            spaces=linux(*[39] * asked.banks),
            cpus=asked.cpus,
            premapped=[Premapped(b, 0, PAGE, 0, PROT_READ) for b in range(asked.banks)] if pages else [],
            demand=pages,
            sleeps_after=1 if asked.sleeps else 0,
            livelock_limit=1 << 40,
            retry_limit=1 << 40,
            calm=0,
        )
    )
    for name in COSTS.names or ():
        sim.cost[name] = 0
    sim.cost.dump_kept = 1  # a dump exists at 0 ns, from then on
    sim.cost.cooldown = -1  # a cool-down is over: when is the environment's choice
    sim.host.wakes[:] = 0
    sim.host.steps.more = 0
    return sim


def explored(asked: Question) -> Explored:
    """Return the exploration of a question, not begun."""
    if not 1 <= asked.faults <= MOST_FAULTS:
        raise ValueError(f"faults: expected 1 to {MOST_FAULTS}; found {asked.faults}")
    if not 1 <= asked.banks <= MOST_BANKS:
        raise ValueError(f"banks: expected 1 to {MOST_BANKS}; found {asked.banks}")
    sim = machine(asked)
    steps, plan = sim.host.steps, sim.host.plan
    live, worker_wants = liveness(steps, int(plan.worker))
    at, word = _leaves(sim, asked)
    banks, contexts = asked.banks, sim.host.contexts.size
    width = 1 + banks * (6 + asked.faults) + banks + 5 * contexts
    width += 7 * asked.faults + 1 if sim.hw.events else 0
    return Explored(
        sim=sim,
        bounds=one(
            BOUNDS,
            faults=asked.faults,
            banks=banks,
            contexts=contexts,
            words=width,
            uses_far=needs_far(steps),
            pages=asked.client.pages,
            submits=plan.submit >= 0,
            sleeps=asked.sleeps,
            events=sim.hw.events > 0,
            single=False,
            worker_wants=worker_wants,
        )[0],
        progress=one(PROGRESS, left=asked.faults)[0],
        local=locals_of(steps, bool(asked.sleeps)),
        live=live,
        leaf_at=at,
        leaf_word=word,
        names=np.zeros(sim.slots.size, np.int64),
        untold=np.zeros(banks, np.int64),
        words=np.zeros((0, width), np.uint16),
        scratch=np.zeros(width, np.uint16),
        table=np.full(1, -1, np.int32),
        came_from=np.zeros(0, np.int32),
        about=np.zeros(0, np.int32),
        first=np.zeros(1, np.int64),
        source=np.zeros(0, np.int32),
        target=np.zeros(0, np.int32),
        move=np.zeros(0, np.int16),
        flags=np.zeros(0, np.int32),
    )


def _leaves(sim: Sim, asked: Question) -> tuple[Any, Any]:
    """Put the pages where the pager has them; return where their leaves stand and what they are."""
    at = np.zeros((asked.banks, asked.faults), np.int64)
    word = np.zeros((asked.banks, asked.faults), np.uint64)
    if not asked.client.pages:
        return at, word
    size = np.uint64(PAGE)
    for b in range(asked.banks):
        for k in range(asked.faults):
            iova = np.uint64(PAGE * (k + 1))
            map_range(sim.mem, sim.shadows[b], iova, size, iova, PROT_READ | PROT_WRITE)
            map_range(sim.mem, sim.regimes[b], iova, size, iova, PROT_READ | PROT_WRITE)
            at[b, k] = find_leaf(sim.mem, sim.regimes[b], iova)[0]
            word[b, k] = sim.mem.words[at[b, k]]
            unmap_range(sim.mem, sim.regimes[b], iova, size)
    return at, word
