"""Cells in the threads of this process: kernels release the GIL, and a trace is in memory once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from bench.sweeps.drive import Rows
from bench.sweeps.plan import Cell, Plan
from bench.sweeps.work import Workshop

#: Cells handed to the pool ahead, for each thread.
AHEAD = 4
TICK_S = 0.5


class Threads:
    """Computes cells in `threads` threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def stream(self, plan: Plan, cells: Iterator[Cell]) -> Iterator[Rows]:
        """Compute cells and yield their rows as they come; an empty list when nothing came for a while."""
        shop = Workshop(plan)
        pool = ThreadPoolExecutor(max_workers=self.threads, thread_name_prefix="sweep")
        try:
            pending: set[Future[dict[str, Any]]] = set()
            while True:
                for cell in islice(cells, self.threads * AHEAD - len(pending)):
                    pending.add(pool.submit(shop.run, cell))
                if not pending:
                    return
                done, pending = wait(pending, timeout=TICK_S, return_when=FIRST_COMPLETED)
                yield [future.result() for future in done]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
