"""Cells in the threads of this process: kernels release the GIL, and a trace is in memory once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from bench.sweeps.drive import Rows
from bench.sweeps.plan import Cell, Plan
from bench.sweeps.work import POLICY, Workshop

#: Cells handed to the pool ahead, for each thread; and as many more are looked at.
AHEAD = 4
TICK_S = 0.5


class Threads:
    """Computes cells in `threads` threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def stream(self, plan: Plan, cells: Iterator[Cell]) -> Iterator[Rows]:
        """Compute cells and yield their rows as they come; an empty list when nothing came for a while."""
        ahead = self.threads * AHEAD
        shop = Workshop(plan, keep=2 * ahead)
        pool = ThreadPoolExecutor(max_workers=self.threads, thread_name_prefix="sweep")
        try:
            pending: set[Future[dict[str, Any]]] = set()
            coming: deque[Cell] = deque()
            shared: Cell = ()
            while True:
                for cell in islice(cells, 2 * ahead - len(pending) - len(coming)):
                    coming.append(cell)
                    # One thread makes what coming cells share while the others have cells that do without.
                    if cell[:POLICY] != shared:
                        shared = cell[:POLICY]
                        pool.submit(shop.prepare, cell)
                while coming and len(pending) < ahead:
                    pending.add(pool.submit(shop.run, coming.popleft()))
                if not pending:
                    return
                done, pending = wait(pending, timeout=TICK_S, return_when=FIRST_COMPLETED)
                yield [future.result() for future in done]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
