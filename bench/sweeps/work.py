"""Computing cells, in any thread of any process: a trace is opened and decoded once in each."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from bench.blocks import Source
from bench.errors import UsageError
from bench.kept import Kept
from bench.run import Case, Runner
from bench.sources import model_hash
from bench.sweeps.plan import AXES, Cell, Plan, TraceFile
from traces.errors import TraceError
from traces.reader import open_trace

DONE = "done"
FAILED = "failed"

HARDWARE, POLICY = AXES.index("hardware"), AXES.index("policy")

#: Scenarios played on traces that are kept prepared: neighbouring cells share one.
KEEP_RUNNERS = 8


class StrangerError(UsageError):
    """A process whose sources are not those that the sweep was planned with."""


class Workshop:
    """Computes the cells of a plan in this process, with the scenarios of `keep` at hand.

    Raises
    ------
    StrangerError
        This process has other sources of the model than the plan.
    """

    def __init__(self, plan: Plan, keep: int = KEEP_RUNNERS) -> None:
        if plan.model != model_hash():
            raise StrangerError("other sources of the model", "worker", plan.model, model_hash())
        self.plan = plan
        self._sources: Kept[Source] = Kept(len(plan.trace))
        self._runners: Kept[Runner] = Kept(keep)

    def prepare(self, cell: Cell) -> None:
        """Make what this cell shares with those of other policies; its row will tell what is wrong."""
        with suppress(Exception):
            self._runner_of(cell).faultfree(self.plan.hardware[cell[HARDWARE]])

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
        plan = self.plan
        policy, hardware = plan.policy[cell[POLICY]], plan.hardware[cell[HARDWARE]]
        found = self._runner_of(cell).run(policy, hardware).to_json()
        row: dict[str, Any] = {"verdict": found["verdict"], "end_ns": found["end_ns"], **found["counters"]}
        for name in ("latency_ns", "latency_issue_ns", "fault_ns", "heartbeat_ns", "global_fault"):
            row.update({f"{name}.{key}": value for key, value in (found[name] or {}).items()})
        return {**row, "streams": json.dumps(found["streams"])}

    def _runner_of(self, cell: Cell) -> Runner:
        trace, scenario, seed, cost, client, *_ = cell
        base = self._runners.get((trace, scenario, seed), lambda: self._runner(trace, scenario, seed))
        return base.varied(self.plan.cost[cost].profile, self.plan.client[client])

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
