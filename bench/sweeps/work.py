"""Computing cells, in any thread of any process: a trace is opened and decoded once in each."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from bench.blocks import Source
from bench.errors import UsageError
from bench.run import Case, Runner
from bench.sources import model_hash
from bench.sweeps.plan import Cell, Plan, TraceFile
from traces.errors import TraceError
from traces.reader import open_trace

DONE = "done"
FAILED = "failed"

#: Scenarios played on traces that are kept prepared: neighbouring cells share one.
KEEP_RUNNERS = 8

_T = TypeVar("_T")


class StrangerError(UsageError):
    """A process whose sources are not those that the sweep was planned with."""


class _Kept:
    """The last few of some things that are dear to make; each is made once, whoever asks first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._made: OrderedDict[Any, list[Any]] = OrderedDict()
        self._locks: dict[Any, Lock] = {}
        self._lock = Lock()

    def get(self, key: Any, make: Callable[[], _T]) -> _T:
        """Return what is kept under `key`, made by `make` if it is not."""
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            found = self._made.get(key)
            if found is None:
                found = [make()]
            with self._lock:
                self._made[key] = found
                self._made.move_to_end(key)
                while len(self._made) > self.most:
                    oldest, _ = self._made.popitem(last=False)
                    self._locks.pop(oldest, None)
        made: _T = found[0]
        return made


class Workshop:
    """Computes the cells of a plan in this process.

    Raises
    ------
    StrangerError
        This process has other sources of the model than the plan.
    """

    def __init__(self, plan: Plan) -> None:
        if plan.model != model_hash():
            raise StrangerError("other sources of the model", "worker", plan.model, model_hash())
        self.plan = plan
        self._sources = _Kept(len(plan.trace))
        self._runners = _Kept(KEEP_RUNNERS)

    def run(self, cell: Cell) -> dict[str, Any]:
        """Compute a cell; whatever goes wrong is recorded in its row.

        Returns
        -------
        dict
            The axes; `cell`, its key; `status`, "done" or "failed"; `error`; and if it is done all that
            `bench.run.Row` has, `streams` as JSON.
        """
        plan = self.plan
        row = {"cell": plan.key(cell), **plan.words(cell), "model": plan.model}
        row["trace_sha256"] = plan.trace[cell[0]].sha256
        try:
            made = self._row(cell)
        except (UsageError, TraceError) as error:
            return {**row, "status": FAILED, "error": str(error)}
        except Exception as error:  # a defect of ours in one cell is no reason to lose the others
            return {**row, "status": FAILED, "error": f"{type(error).__name__}: {error}"}
        return {**row, "status": DONE, **made}

    def _row(self, cell: Cell) -> dict[str, Any]:
        trace, scenario, seed, cost, client, chip, policy = cell
        plan = self.plan
        base = self._runners.get((trace, scenario, seed), lambda: self._runner(trace, scenario, seed))
        runner = base.varied(plan.cost[cost].profile, plan.client[client])
        found = runner.run(plan.policy[policy], plan.hardware[chip]).to_json()
        row: dict[str, Any] = {"verdict": found["verdict"], "end_ns": found["end_ns"], **found["counters"]}
        for name in ("latency_ns", "latency_issue_ns", "fault_ns", "heartbeat_ns", "global_fault"):
            row.update({f"{name}.{key}": value for key, value in (found[name] or {}).items()})
        return {**row, "streams": json.dumps(found["streams"])}

    def _runner(self, trace: int, scenario: int, seed: int) -> Runner:
        plan = self.plan
        file = plan.trace[trace]
        source = self._sources.get(trace, lambda: _open(file))
        case = Case(source, plan.client[0], plan.scenario[scenario], plan.cost[0].profile, file.pace,
                    plan.seed[seed], plan.cpus, plan.streams, plan.tbus)  # fmt: skip
        return Runner(case)


def _open(file: TraceFile) -> Source:
    """Open a trace, and make sure that it is the one that the sweep was planned with.

    Raises
    ------
    UsageError, TraceError
    """
    found = open_trace(file.path)
    if found.sha256 != file.sha256:
        raise UsageError(
            "another trace", file.path, f"sha256 {file.sha256[:16]}...", f"{found.sha256[:16]}..."
        )
    return Source(found)
