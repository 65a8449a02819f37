"""Runs one cell twice: once to learn when its faults arrive, and once more to look at every effect.

The run is deterministic, so what the first run says of the faults holds for the second. In the second the
engine pauses at each arrival and each effect of a context, inside the window looked at, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError
from bench.timeline.moments import Moment, Placed, Seen, moment, placed
from smmucore import contexts as cpu
from smmucore.records import FAULT, NEVER
from smmucore.simulate import Outcome

if TYPE_CHECKING:
    from bench.run import Runner
    from smmucore.hardware import Hardware
    from smmucore.policy import Policy
    from smmucore.sim import Sim

#: Moments that a watched window holds at most: a timeline of more is no picture any more.
MOST = 50_000


@dataclass(frozen=True)
class Watched(Seen):
    """A watched run.

    Attributes
    ----------
    outcome : Outcome
        Of the whole run.
    cut : bool
        There were more moments than `MOST`: `end` is where they ended.
    """

    outcome: Outcome
    cut: bool


@dataclass
class _Watcher:
    begin: int
    end: int
    arrivals: list[int]
    moments: list[Moment] = field(default_factory=list)
    contexts: tuple[Placed, ...] = ()
    channels: int = 0
    cut: bool = False
    _next: int = 0

    def __call__(self, sim: Sim) -> int:
        now = int(sim.clock.now)
        if not self.contexts:
            self.contexts = placed(sim)
            self.channels = sim.channels.size
        if self.cut or now > self.end:
            return int(NEVER)
        if now >= self.begin:
            if len(self.moments) == MOST:
                self.cut = True
                self.end = self.moments[-1].t
                return int(NEVER)
            self.moments.append(moment(sim, now))
        while self._next < len(self.arrivals) and self.arrivals[self._next] <= now:
            self._next += 1
        coming = [t for t in (_effect(sim), *self.arrivals[self._next : self._next + 1]) if t < NEVER]
        coming = [max(t, now) for t in coming]
        if now < self.begin:
            coming = [max(t, self.begin - 1) for t in coming]
        return min(coming, default=int(NEVER))


def _effect(sim: Sim) -> int:
    """Return when the first effect of a context comes."""
    due = [int(ctx.t_next) for ctx in sim.host.contexts if ctx.on_cpu or ctx.state == cpu.DELIVERY]
    return min(due, default=int(NEVER))


def watch(
    runner: Runner,
    policy: Policy,
    hardware: Hardware,
    *,
    fault: int | None = None,
    begin: int | None = None,
    length: int | None = None,
) -> Watched:
    """Run a cell and look at a window of it.

    Parameters
    ----------
    runner : Runner
    policy, hardware : Policy, Hardware
    fault : int, optional
        Number of a fault, from 1: the window holds it from a microsecond before its issue to its end.
    begin : int, optional
        Where the window begins, ns; a microsecond before the first fault if nothing is given.
    length : int, optional
        ns; to the end of the run if not given.

    Returns
    -------
    Watched

    Raises
    ------
    UsageError
        No such fault, or a run without faults where no window was given.
    """
    first = runner.outcome(policy, hardware)
    faults = first.faults
    if fault is not None and not 1 <= fault <= faults.size:
        found = f"{faults.size:,} faults" if faults.size else "none"
        raise UsageError("no such fault", f"--fault {fault}", f"1 to {faults.size}", found)
    end = first.end_ns
    if fault is not None:
        row = faults[fault - 1]
        begin = max(0, _issue(row) - 1000)
        end = _last(row, first.end_ns) + 1000
    elif begin is None:
        if not faults.size:
            raise UsageError("nothing to look at", "--from", "a time, or a run with faults", "no fault")
        begin = max(0, _issue(faults[0]) - 1000)
    if length is not None:
        end = begin + length
    # What has arrived; one that never did is pending in a slot.
    arrived = np.unique(faults["t_arrived"][faults["t_arrived"] >= 0])
    watcher = _Watcher(begin, end, arrived.tolist())
    outcome = runner.outcome(policy, hardware, watch=watcher)
    return Watched(
        begin, watcher.end, watcher.moments, watcher.contexts, watcher.channels, outcome, watcher.cut
    )


def _issue(row: Any) -> int:
    return int(row["t_issued"]) if row["t_issued"] >= 0 else int(row["t_arrived"])


def _last(row: Any, end: int) -> int:
    """Return when the last thing that is known of a fault came to pass; `end` while it is open."""
    if row["t_retired"] < 0:
        return end
    return max(int(row[name]) for name in FAULT.names or () if name.startswith("t_"))
