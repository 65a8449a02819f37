"""Translations of one kind each: what answers an access is chosen by how many pages take turns.

Caches are 8x8, 128x4 and no walk cache, all true LRU, so pages in turn either all fit or all miss.  Every
benchmark counts what it did before it is timed, and fails if that is not what its name says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.perf.suite import Benchmark
from bench.yardstick.ours import block
from smmucore.shapes import NONE, Caches, Shape
from smmucore.spaces import Space
from smmucore.translate import Translator
from traces.events import MAP, READ

ACCESSES = 1 << 16
CACHES = Caches(utlb=Shape(8, 8), tlb=Shape(128, 4), walk=(NONE, NONE, NONE))

#: Pages that take turns: they fit in the micro-TLB, in the TLB, in neither.
IN_UTLB, IN_TLB, IN_NEITHER = 32, 256, 4096

GIB = 1 << 30


@dataclass(frozen=True)
class Kind:
    """One kind of translation: the spaces, pages that take turns, and what it must count for each access."""

    name: str
    spaces: tuple[Space, ...]
    pages: int
    counter: str
    reads: int


def _space(granule: int, ias: int) -> tuple[Space, ...]:
    return (Space(granule=granule, ias=ias),)


NESTED = (Space(format="nested", ias=39, stage2=1), Space(format="aarch64-s2", ias=40))

KINDS = (
    Kind("micro-TLB hit", _space(4096, 39), IN_UTLB, "utlb_hits", 0),
    Kind("TLB hit", _space(4096, 39), IN_TLB, "tlb_hits", 0),
    Kind("walk, 4K, 2 levels", _space(4096, 30), IN_NEITHER, "walks", 2),
    Kind("walk, 4K, 3 levels", _space(4096, 39), IN_NEITHER, "walks", 3),
    Kind("walk, 4K, 4 levels", _space(4096, 48), IN_NEITHER, "walks", 4),
    Kind("walk, 16K, 2 levels", _space(16384, 36), IN_NEITHER, "walks", 2),
    Kind("walk, 16K, 3 levels", _space(16384, 47), IN_NEITHER, "walks", 3),
    Kind("walk, 64K, 2 levels", _space(65536, 42), IN_NEITHER, "walks", 2),
    Kind("walk, 64K, 3 levels", _space(65536, 48), IN_NEITHER, "walks", 3),
    # Three levels, each found through a stage 2 of 2 reads or 3, and the page through one of 1G blocks.
    Kind("walk, nested, 11 reads", NESTED, IN_NEITHER, "walks", 11),
)


def benchmarks() -> list[Benchmark]:
    """Return one benchmark a kind."""
    return [
        Benchmark(f"translate: {kind.name}", partial(prepare, kind), ACCESSES, unit="access")
        for kind in KINDS
    ]


def prepare(kind: Kind) -> Callable[[], object]:
    """Map the pages and return a turn over them.

    Raises
    ------
    AssertionError
        A turn does not count what the kind says.
    """
    page = kind.spaces[0].granule
    machine = Translator.empty(kind.spaces, caches=CACHES)
    if len(kind.spaces) > 1:
        machine.feed(_beneath())
    iova = np.arange(kind.pages, dtype=np.uint64) * np.uint64(page)
    mapped = block(MAP, iova)
    machine.feed(mapped.replaced(pa=iova, size=np.full(kind.pages, page, np.uint64)))
    machine.restart(CACHES)
    turns = block(READ, np.tile(iova, ACCESSES // kind.pages))
    machine.count(turns)
    before = machine.counts
    machine.count(turns)
    made = {name: value - before[name] for name, value in machine.counts.items()}
    wanted = {kind.counter: ACCESSES, "walk_reads": kind.reads * ACCESSES, "faults": 0}
    assert {name: made[name] for name in wanted} == wanted, (kind.name, made)
    return partial(machine.count, turns)


def _beneath() -> Any:
    """Return the MAP of a stage 2 beneath the pages, a block of 1G; that of the tables above it is made."""
    return block(MAP, np.zeros(1, np.uint64)).replaced(
        size=np.full(1, GIB, np.uint64), requester=np.ones(1, np.int64)
    )
