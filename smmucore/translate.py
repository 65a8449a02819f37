"""Translate-only replay: every access of a trace through TLBs and walks, with no regard to time.

What an access gives does not depend on when it happens, as long as the order is kept: this is the
functional half of the model, and what an oracle of translations is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smmucore.invalidate import invalidate
from smmucore.kernel import kernel
from smmucore.mmu import FROM_TLB, FROM_UTLB, FROM_WALK, ONLY, Mmu, mmu, owners, rights_needed, translate
from smmucore.pagetable import MAP_ERRORS, MAP_OK, Memory, grown, map_range, unmap_range, words_needed
from smmucore.records import rows
from smmucore.shapes import Caches
from smmucore.sim import Events
from smmucore.spaces import Space, empty_tables, owners_of, table_memory
from traces.events import EXEC, MAP, TLBI, TLBI_KIND_MASK, TLBI_SYNC, UNMAP

#: One access's answer: FSR bit of its fault or 0, output address or 0, level, source, reads.
ANSWER = np.dtype(
    [("pa", "u8"), ("fault", "i8"), ("level", "i8"), ("source", "i8"), ("reads", "i8")], align=True
)

DONE = 0
NEED_TABLES = 1
BAD_EVENT = 2


@kernel
def run(mmu, mem, regimes, banks, ev, at, answers):
    """Carry out the events from `at` on, in order.

    Parameters
    ----------
    mmu : Mmu
    mem : Memory
    regimes : REGIME (banks,)
    banks : int64 (requesters,)
        Bank of each requester.
    ev : Events
    at : int64
    answers : ANSWER (events,)
        Filled for the accesses.

    Returns
    -------
    status : int64
        DONE, NEED_TABLES (grow and call again from the index returned) or BAD_EVENT.
    at : int64
    why : int64
        MAP_* for BAD_EVENT.
    """
    while at < ev.t.size:
        op = np.int64(ev.op[at])
        prot = np.int64(ev.prot[at])
        b = banks[ev.requester[at]]
        if op <= EXEC:
            need = rights_needed(op, prot)
            fault, level, pa, source, reads = translate(mmu, mem, regimes[b], ONLY, b, ev.iova[at], need)
            answer = answers[at]
            answer.pa = pa
            answer.fault = fault
            answer.level = level
            answer.source = source
            answer.reads = reads
        elif op == MAP:
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


@dataclass
class Translator:
    """Tables and TLBs that translate a trace block by block.

    Attributes
    ----------
    mmu, mem, regimes
        The state; tables grow as needed.
    counts : dict of str to int
        accesses, utlb_hits, tlb_hits, walks, walk_reads, faults so far.
    """

    mmu: Mmu
    mem: Memory
    regimes: Any
    banks: Any
    counts: dict[str, int]

    @classmethod
    def empty(
        cls,
        spaces: Sequence[Space],
        banks: list[int] | None = None,
        *,
        caches: Caches | None = None,
    ) -> Translator:
        """Return a translator with empty tables; `spaces` per bank, `banks` per requester."""
        mem = table_memory(spaces)
        regimes = empty_tables(spaces, mem)
        names = ("accesses", "utlb_hits", "tlb_hits", "walks", "walk_reads", "faults")
        return cls(
            mmu(caches or Caches(), owners_of(spaces, regimes)),
            mem,
            regimes,
            np.array(banks if banks is not None else range(len(spaces)), np.int64),
            dict.fromkeys(names, 0),
        )

    def set_regime(self, bank: int, regime: Any) -> None:
        """Give a bank other tables; what the TLBs hold stays."""
        self.regimes[bank] = regime
        known = self.mmu.owners
        self.mmu.owners[bank] = owners(self.regimes, known.asid.tolist(), known.vmid.tolist())[bank]

    def feed(self, events: Events) -> Any:
        """Carry out a block; return ANSWER records, one an event (zero for those not accesses).

        Raises
        ------
        ValueError
            When a MAP or UNMAP is illegal, with its index in the block.
        """
        answers = rows(ANSWER, events.t.size)
        at = 0
        while True:
            status, at, why = run(self.mmu, self.mem, self.regimes, self.banks, events, at, answers)
            if status == NEED_TABLES:
                self.mem = grown(self.mem)
                continue
            if status == BAD_EVENT:
                raise ValueError(f"event {at}: expected {MAP_ERRORS[int(why)]}")
            self._count(events, answers)
            return answers

    def _count(self, events: Events, answers: Any) -> None:
        made = answers[events.op <= EXEC]
        self.counts["accesses"] += made.size
        for name, source in (("utlb_hits", FROM_UTLB), ("tlb_hits", FROM_TLB), ("walks", FROM_WALK)):
            self.counts[name] += int(np.count_nonzero(made.source == source))
        self.counts["walk_reads"] += int(made.reads.sum())
        self.counts["faults"] += int(np.count_nonzero(made.fault))
