"""Running what is left of a sweep: rows are kept as they come, a file every so often."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from bench.sweeps.dataset import Dataset
from bench.sweeps.live import Live
from bench.sweeps.plan import Cell, Plan
from bench.sweeps.work import FAILED

#: A file of rows is written after so many rows or so many seconds: a kill costs no more work than that.
BATCH_ROWS = 4096
BATCH_S = 5.0

Rows = list[dict[str, Any]]


class Executor(Protocol):
    """Whatever computes cells."""

    def stream(self, plan: Plan, cells: Iterator[Cell]) -> Iterator[Rows]:
        """Compute cells and yield their rows as they come; an empty list when nothing came for a while."""


@dataclass(frozen=True)
class Done:
    """How a sweep ended.

    Attributes
    ----------
    cells : int
        Of the plan.
    before, computed, failed : int
        Finished before this run, computed by it, and failed in all.
    others : int
        Rows of the dataset that are not of this plan: of an earlier spec or model.
    seconds : float
        What this run took.
    """

    cells: int
    before: int
    computed: int
    failed: int
    others: int
    seconds: float


def drive(dataset: Dataset, executor: Executor, live: Live, every_s: float = BATCH_S) -> Done:
    """Compute the cells that are not finished, and keep their rows.

    Parameters
    ----------
    dataset : Dataset
        Entered.
    executor : Executor
    live : Live
        Told of every row.
    every_s : float
        Seconds from one file of rows to the next.

    Raises
    ------
    UsageError
        The rows cannot be written.
    """
    plan = dataset.plan
    total = plan.count()
    keys = [(cell, plan.key(cell)) for cell in plan.cells()]
    left = [cell for cell, key in keys if key not in dataset.finished]
    before = total - len(left)
    failed = sum(key in dataset.failed for _, key in keys)
    others = len(dataset.finished) - before
    dataset.tell(event="start", cells=total, left=len(left), model=plan.model)
    began = time.monotonic()
    computed = 0
    held: Rows = []
    written = began
    live.start(before, total, failed)
    try:
        for rows in executor.stream(plan, iter(left)) if left else ():
            held += rows
            computed += len(rows)
            failed += sum(row["status"] == FAILED for row in rows)
            live.tell(before + computed, failed)
            if held and (len(held) >= BATCH_ROWS or time.monotonic() - written >= every_s):
                dataset.add(held)
                held, written = [], time.monotonic()
    finally:
        # An interrupt loses what is being computed, and nothing that has been.
        dataset.add(held)
    took = time.monotonic() - began
    dataset.tell(event="end", computed=computed, failed=failed, seconds=round(took, 3))
    return Done(total, before, computed, failed, others, took)


def chunks(cells: Iterable[Cell], size: int) -> Iterator[list[Cell]]:
    """Yield lists of at most `size` cells."""
    source = iter(cells)
    while chunk := list(islice(source, size)):
        yield chunk
