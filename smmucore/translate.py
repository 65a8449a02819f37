"""Translate-only replay: every access of a trace through TLBs and walks, with no regard to time.

What an access gives does not depend on when it happens, as long as the order is kept: this is the
functional half of the model, and what an oracle of translations is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smmucore.invalidate import invalidate
from smmucore.kernel import kernel
from smmucore.leaf import output_address
from smmucore.memory import MAP_ERRORS, MAP_OK, Memory, grown
from smmucore.mmu import FROM_TLB, FROM_UTLB, FROM_WALK, ONLY, Mmu, mmu, owners, rights_needed, translate
from smmucore.pagetable import map_range, unmap_range, words_needed
from smmucore.records import one, rows
from smmucore.shapes import Caches
from smmucore.sim import Events
from smmucore.spaces import Space, empty_tables, owners_of, table_memory
from smmucore.staged import can_stage, kind_of, translate_block
from smmucore.stages import FEWEST, Stages, accesses_ahead, block_failed, is_worth_a_try, stages
from traces.events import MAP, TLBI, TLBI_KIND_MASK, TLBI_SYNC, UNMAP

#: One access's answer: FSR bit of its fault or 0, output address or 0, level, source, reads.
ANSWER = np.dtype(
    [("pa", "u8"), ("fault", "i8"), ("level", "i8"), ("source", "i8"), ("reads", "i8")], align=True
)

NAMES = ("accesses", "utlb_hits", "tlb_hits", "walks", "walk_reads", "faults")
COUNTS = np.dtype([(name, "i8") for name in NAMES], align=True)

DONE = 0
NEED_TABLES = 1
BAD_EVENT = 2

PAGE_LEVEL = 3


@kernel
def run(st, mmu, mem, regimes, banks, kinds, ev, at, counts, answers):
    """Carry out the events from `at` on.

    Parameters
    ----------
    st : Stages
    mmu : Mmu
    mem : Memory
    regimes : REGIME (banks,)
    banks : int64 (requesters,)
        Bank of each requester.
    kinds : uint64 (requesters,)
        As `smmucore.staged.translate_block` wants them.
    ev : Events
    at : int64
    counts : COUNTS
        Added to.
    answers : ANSWER (events,)
        Filled for the accesses; of no size where no answer is wanted.

    Returns
    -------
    status : int64
        DONE, NEED_TABLES (grow and call again from the index returned) or BAD_EVENT.
    at : int64
    why : int64
        MAP_* for BAD_EVENT.
    """
    staged = can_stage(mmu, regimes)
    while at < ev.t.size:
        n = accesses_ahead(ev.op, at)
        if n > 0:
            if not (staged and n >= FEWEST and is_worth_a_try(st)):
                in_order(mmu, mem, regimes, banks, ev, at, n, counts, answers)
                at += n
            elif translate_block(
                st, mmu, mem, regimes, banks, kinds, ONLY, ev, at, n, answers.size != 0, False
            ):
                count_block(st, n, counts)
                if answers.size != 0:
                    answer_block(st, ev, at, answers)
                at += n
                st.made.fails = 0
                st.made.done += n
            else:
                block_failed(st)
                in_order(mmu, mem, regimes, banks, ev, at, n, counts, answers)
                at += n
                staged = can_stage(mmu, regimes)
            continue
        op = np.int64(ev.op[at])
        prot = np.int64(ev.prot[at])
        b = banks[ev.requester[at]]
        if op == MAP:
            if mem.words.size - mem.used[0] < words_needed(regimes[b], ev.iova[at], ev.size[at]):
                return NEED_TABLES, at, MAP_OK
            why = map_range(mem, regimes[b], ev.iova[at], ev.size[at], ev.pa[at], prot)
            if why != MAP_OK:
                return BAD_EVENT, at, why
        elif op == UNMAP:
            why = unmap_range(mem, regimes[b], ev.iova[at], ev.size[at])
            if why != MAP_OK:
                return BAD_EVENT, at, why
        elif op == TLBI and prot & TLBI_KIND_MASK != TLBI_SYNC:
            invalidate(mmu, prot, b, ev.iova[at], ev.size[at])
        at += 1
    return DONE, at, MAP_OK


@kernel
def in_order(mmu, mem, regimes, banks, ev, at, n, counts, answers):
    """Translate `n` accesses one after the other."""
    counts.accesses += n
    for k in range(at, at + n):
        b = banks[ev.requester[k]]
        need = rights_needed(np.int64(ev.op[k]), np.int64(ev.prot[k]))
        fault, level, pa, source, reads = translate(mmu, mem, regimes[b], ONLY, b, ev.iova[k], need)
        counts.utlb_hits += source == FROM_UTLB
        counts.tlb_hits += source == FROM_TLB
        counts.walks += source == FROM_WALK
        counts.walk_reads += reads
        counts.faults += fault != 0
        if answers.size != 0:
            answer = answers[k]
            answer.pa = pa
            answer.fault = fault
            answer.level = level
            answer.source = source
            answer.reads = reads


@kernel
def count_block(st, n, counts):
    """Count a block that went through in stages."""
    made = st.made
    counts.accesses += n
    counts.utlb_hits += n - made.misses
    counts.tlb_hits += made.misses - made.walks
    counts.walks += made.walks
    counts.walk_reads += made.reads


@kernel
def answer_block(st, ev, at, answers):
    """Write the answers of a block that went through in stages."""
    m = 0
    w = 0
    for n in range(st.made.runs):
        r = np.uint64(n)
        leaf = st.leaf[r]
        first = at + np.int64(st.start[n])
        for k in range(first, at + np.int64(st.start[n + 1])):
            answer = answers[k]
            answer.pa = output_address(leaf, ev.iova[k])
            answer.fault = 0
            answer.level = PAGE_LEVEL
            answer.source = FROM_UTLB
            answer.reads = 0
        if m < st.made.misses and np.uint64(st.missed[m]) == r:
            answer = answers[first]
            if w < st.made.walks and np.int64(st.walked[w]) == m:
                answer.source = FROM_WALK
                answer.reads = st.reads[w]
                w += 1
            else:
                answer.source = FROM_TLB
            m += 1


@dataclass
class Translator:
    """Tables and TLBs that translate a trace block by block.

    Attributes
    ----------
    mmu, mem, regimes
        The state; tables grow as needed.
    banks : int64 (requesters,)
    counted : COUNTS
        So far.
    """

    mmu: Mmu
    mem: Memory
    regimes: Any
    banks: Any
    counted: Any = field(default_factory=lambda: one(COUNTS)[0])
    _stages: Stages = field(default_factory=stages)
    _kinds: Any = None

    def __post_init__(self) -> None:
        self._kinds = np.array([kind_of(self.mmu.owners[bank]) for bank in self.banks], np.uint64)

    @classmethod
    def empty(
        cls,
        spaces: Sequence[Space],
        banks: Sequence[int] | None = None,
        *,
        caches: Caches | None = None,
    ) -> Translator:
        """Return a translator with empty tables; `spaces` per bank, `banks` per requester."""
        mem = table_memory(spaces)
        regimes = empty_tables(spaces, mem)
        return cls(
            mmu(caches or Caches(), owners_of(spaces, regimes)),
            mem,
            regimes,
            np.array(banks if banks is not None else range(len(spaces)), np.int64),
        )

    @property
    def counts(self) -> dict[str, int]:
        """accesses, utlb_hits, tlb_hits, walks, walk_reads, faults so far."""
        return {name: int(self.counted[name]) for name in NAMES}

    def set_regime(self, bank: int, regime: Any) -> None:
        """Give a bank other tables; what the TLBs hold stays."""
        self.regimes[bank] = regime
        known = self.mmu.owners
        self.mmu.owners[bank] = owners(self.regimes, known.asid.tolist(), known.vmid.tolist())[bank]
        self.__post_init__()

    def restart(self, caches: Caches) -> None:
        """Empty the caches, of other shapes perhaps, and the counts; the tables stay."""
        self.mmu = mmu(caches, self.mmu.owners)
        self.counted = one(COUNTS)[0]

    def feed(self, events: Events) -> Any:
        """Carry out a block; return ANSWER records, one an event (zero for those not accesses).

        Raises
        ------
        ValueError
            When a MAP or UNMAP is illegal, with its index in the block.
        """
        answers = rows(ANSWER, events.t.size)
        self._run(events, answers)
        return answers

    def count(self, events: Events) -> None:
        """As `feed`, but only count."""
        self._run(events, rows(ANSWER, 0))

    def _run(self, events: Events, answers: Any) -> None:
        at = 0
        while True:
            status, at, why = run(
                self._stages,
                self.mmu,
                self.mem,
                self.regimes,
                self.banks,
                self._kinds,
                events,
                at,
                self.counted,
                answers,
            )
            if status == DONE:
                return
            if status == BAD_EVENT:
                raise ValueError(f"event {at}: expected {MAP_ERRORS[int(why)]}")
            self.mem = grown(self.mem)
