"""The size of the leaf that maps each access, from the trace's own MAP and UNMAP events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from smmucore.kernel import kernel
from smmucore.pagetable import (
    LAST_LEVEL,
    MAP_ERRORS,
    MAP_OK,
    REGIME,
    TABLE_WORDS,
    find_leaf,
    grown,
    map_range,
    memory,
    new_table,
    start_level,
    tables_needed,
    unmap_range,
)
from smmucore.records import rows
from traces.events import EXEC, MAP, UNMAP

DONE = 0
NEED_TABLES = 1
BAD_EVENT = 2

#: In place of a size class: nothing maps the access.
UNMAPPED = 3


@kernel
def classify(mem, regimes, op, space, iova, size, pa, prot, at, classes):
    """Carry out the MAPs and UNMAPs from `at` on, and fill in each access's size class (0: 4K, 1: 2M, 2: 1G).

    Returns
    -------
    status : int64
        DONE, NEED_TABLES (grow and call again from the index returned) or BAD_EVENT.
    at : int64
    why : int64
        MAP_* for BAD_EVENT.
    """
    while at < op.size:
        regime = regimes[space[at]]
        if op[at] <= EXEC:
            entry, level = find_leaf(mem, regime, iova[at])
            classes[at] = UNMAPPED if entry < 0 else LAST_LEVEL - level
        elif op[at] == MAP:
            if mem.words.size - mem.used[0] < tables_needed(size[at]) * TABLE_WORDS:
                return NEED_TABLES, at, MAP_OK
            why = map_range(mem, regime, iova[at], size[at], pa[at], prot[at])
            if why != MAP_OK:
                return BAD_EVENT, at, why
        elif op[at] == UNMAP:
            why = unmap_range(mem, regime, iova[at], size[at])
            if why != MAP_OK:
                return BAD_EVENT, at, why
        at += 1
    return DONE, at, MAP_OK


class LeafError(ValueError):
    """A MAP or UNMAP that cannot be carried out: its index in the block, and what was expected."""

    def __init__(self, index: int, expected: str) -> None:
        super().__init__(f"event {index}: expected {expected}")
        self.index = index
        self.expected = expected


class Leaves:
    """The tables of every space of a trace, kept up block by block.

    Parameters
    ----------
    ias : sequence of int
        Input address bits of each space.
    """

    def __init__(self, ias: Sequence[int]) -> None:
        self._mem = memory()
        self._regimes = rows(REGIME, len(ias))
        for regime, bits in zip(self._regimes, ias, strict=True):
            regime.ttbr, regime.ias, regime.start_level = new_table(self._mem), bits, start_level(bits)

    def feed(self, events: Any) -> Any:
        """Carry out a block of EVENTs; return a size class or UNMAPPED for each access, 0 elsewhere.

        Accesses beyond the input address size of their space must have been taken out.

        Raises
        ------
        LeafError
        """
        columns = [np.ascontiguousarray(events[n]) for n in ("op", "space", "iova", "size", "pa")]
        prot = events["prot"].astype(np.int64)
        classes = np.zeros(events.size, np.uint8)
        at = 0
        while True:
            status, at, why = classify(self._mem, self._regimes, *columns, prot, at, classes)
            if status == BAD_EVENT:
                raise LeafError(at, MAP_ERRORS[int(why)])
            if status == DONE:
                return classes
            self._mem = grown(self._mem)
