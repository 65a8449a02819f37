"""Cells on a Dask cluster: batches of about a second, retried elsewhere when a worker dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from bench.errors import UsageError
from bench.sweeps.drive import Rows
from bench.sweeps.plan import Cell, Plan
from bench.sweeps.work import FAILED, StrangerError, Workshop

#: What a batch should take, and the most cells of one.
BATCH_S = 1.0
MOST_CELLS = 256
#: Batches under way for each thread of the cluster: one computed, one on its way.
AHEAD = 2
TICK_S = 0.5
CONNECT_S = 10

Batch = tuple[Cell, ...]

#: The workshops of this worker, by the digest of their plan.
_SHOPS: dict[str, Workshop] = {}


def install(plan: Plan) -> str:
    """Make a workshop in this process; return what is wrong, or nothing."""
    try:
        _SHOPS.setdefault(plan.digest, Workshop(plan))
    except StrangerError as error:
        return str(error)
    return ""


def compute(digest: str, batch: Batch) -> tuple[Rows, float]:
    """Compute a batch on a worker; return its rows and the seconds that it took.

    Raises
    ------
    RuntimeError
        The worker has no such plan.
    """
    if digest not in _SHOPS:
        raise RuntimeError(f"no plan {digest[:8]} on this worker: other sources of the model?")
    began = time.perf_counter()
    rows = [_SHOPS[digest].run(cell) for cell in batch]
    return rows, time.perf_counter() - began


class Cluster:
    """Computes cells on the workers of a Dask scheduler.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.  Workers need this version of smmubench, and the traces under the same
        paths.

    Raises
    ------
    UsageError
        Dask is not installed, or nothing answers at the address.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client  # noqa: PLC0415
        except ImportError:
            hint = "the packages of smmubench[cluster]"
            raise UsageError("Dask is not installed", "--dask", hint, "no module distributed") from None
        try:
            self.client = Client(address, timeout=f"{CONNECT_S}s", set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError("no Dask scheduler", f"--dask {address}", "one that answers", reason) from None

    def stream(self, plan: Plan, cells: Iterator[Cell]) -> Iterator[Rows]:
        """Compute cells and yield their rows as they come; an empty list when nothing came for a while."""
        try:
            self._introduce(plan)
            yield from self._stream(plan, cells)
        finally:
            with suppress(TimeoutError):
                self.client.close(timeout=2)

    def _introduce(self, plan: Plan) -> None:
        """Give every worker, and those that join later, the plan; refuse workers with other sources."""
        from distributed.diagnostics.plugin import WorkerPlugin  # noqa: PLC0415

        class Introduction(WorkerPlugin):
            """Makes the workshop when a worker starts."""

            name = f"smmubench-{plan.digest}"

            def setup(self, worker: Any) -> None:
                """Make the workshop."""
                install(plan)

        if not self.client.scheduler_info(n_workers=-1)["workers"]:
            raise UsageError("no Dask workers", "--dask", "one or more", "none")
        for worker, wrong in self.client.run(install, plan).items():
            if wrong:
                raise UsageError(
                    "a worker that is no good", f"--dask {worker}", "this version of smmubench", wrong
                )
        self.client.register_plugin(Introduction())

    def _stream(self, plan: Plan, cells: Iterator[Cell]) -> Iterator[Rows]:
        from distributed import KilledWorker, wait  # noqa: PLC0415

        size = 1
        pending: dict[Any, Batch] = {}
        # Cells of batches that were lost with too many workers.  Dask cannot tell which of all that a worker
        # held has killed it, so each is tried again with nothing beside it, when the others are done.
        suspects: list[Cell] = []
        while True:
            threads = max(1, sum(self.client.nthreads().values()))
            while len(pending) < threads * AHEAD and (batch := tuple(islice(cells, size))):
                pending[self._submit(plan, batch)] = batch
            alone = not pending and bool(suspects)
            if alone:
                batch = (suspects.pop(),)
                pending[self._submit(plan, batch)] = batch
            if not pending:
                return
            try:
                with self.client.as_current():
                    done = wait(list(pending), timeout=TICK_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                yield []
                continue
            for future in done:
                batch = pending.pop(future)
                error = future.exception() if future.status == "error" else None
                if future.status == "finished":
                    rows, took = future.result()
                    size = _sized(len(batch), took)
                    yield rows
                elif isinstance(error, KilledWorker) and alone:
                    yield [_killed(plan, batch[0], error)]
                elif isinstance(error, KilledWorker) or error is None:
                    suspects += batch
                else:
                    raise _stranger("", str(error))
                future.release()

    def _submit(self, plan: Plan, batch: Batch) -> Any:
        return self.client.submit(compute, plan.digest, batch, pure=False)


def _sized(cells: int, seconds: float) -> int:
    """Return how many cells should take `BATCH_S`, at most four times as many as took `seconds`."""
    return max(1, min(MOST_CELLS, 4 * cells, int(cells * BATCH_S / max(seconds, 1e-6))))


def _stranger(worker: str, wrong: str) -> UsageError:
    return UsageError("a worker that is no good", f"--dask {worker}", "this version of smmubench", wrong)


def _killed(plan: Plan, cell: Cell, error: Exception) -> dict[str, Any]:
    return {"cell": plan.key(cell), **plan.words(cell), "model": plan.model,
            "trace_sha256": plan.trace[cell[0]].sha256, "status": FAILED,
            "error": f"killed every worker that computed it: {type(error).__name__}"}  # fmt: skip
