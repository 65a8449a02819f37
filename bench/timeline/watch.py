"""Runs one cell twice: once to learn when its faults arrive, and once more to look at every effect.

The run is deterministic, so what the first run says of the faults holds for the second. In the second the
engine pauses at each arrival and each effect of a context, inside the window looked at, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UsageError
from smmucore import contexts as cpu
from smmucore.records import FAULT, NEVER, NOBODY
from smmucore.simulate import Outcome

if TYPE_CHECKING:
    from bench.run import Runner
    from smmucore.hardware import Hardware
    from smmucore.policy import Policy
    from smmucore.sim import Sim

#: Moments that a watched window holds at most: a timeline of more is no picture any more.
MOST = 50_000


@dataclass(frozen=True)
class ContextAt:
    """What a context is about at one moment.  `fault`: number of the fault its pass has seen, or 0."""

    state: int
    pc: int
    bank: int
    on_cpu: bool
    runnable: bool
    fault: int
    t_next: int


@dataclass(frozen=True)
class BankAt:
    """A bank at one moment; `stalled` counts its transactions that wait for RESUME."""

    fsr: int
    sctlr: int
    stalled: int


@dataclass(frozen=True)
class Moment:
    """The machine after everything that happens at `t` has happened.

    Attributes
    ----------
    t : int
        ns.
    contexts, banks : tuple
        In the order of the run's arrays.
    lines : tuple of int
        0: down; 1: up; 2: up, and masked or disabled.
    open : tuple of int
        Transactions that hold a slot, by channel (2 * TBU, + 1 for writes).
    queued : tuple of int
        Accesses that wait in front of each channel.
    log_lines : int
        Lines that the kernel has printed so far.
    """

    t: int
    contexts: tuple[ContextAt, ...]
    banks: tuple[BankAt, ...]
    lines: tuple[int, ...]
    open: tuple[int, ...]
    queued: tuple[int, ...]
    log_lines: int


@dataclass(frozen=True)
class Placed:
    """A context of the run: its kind (`smmucore.contexts`), number among those, and CPU."""

    kind: int
    number: int
    cpu: int


@dataclass(frozen=True)
class Watched:
    """A watched run.

    Attributes
    ----------
    begin, end : int
        The window, ns.
    moments : list of Moment
        Inside it, in order.
    contexts : tuple of Placed
    outcome : Outcome
        Of the whole run.
    cut : bool
        There were more moments than `MOST`: `end` is where they ended.
    channels : int
        Two for each TBU.
    """

    begin: int
    end: int
    moments: list[Moment]
    contexts: tuple[Placed, ...]
    outcome: Outcome
    cut: bool
    channels: int


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
            self.contexts = _placed(sim)
            self.channels = sim.channels.size
        if self.cut or now > self.end:
            return int(NEVER)
        if now >= self.begin:
            if len(self.moments) == MOST:
                self.cut = True
                self.end = self.moments[-1].t
                return int(NEVER)
            self.moments.append(_moment(sim, now))
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


def _placed(sim: Sim) -> tuple[Placed, ...]:
    banks = sim.host.banks.size
    return tuple(Placed(int(ctx.kind), k % banks, int(ctx.cpu)) for k, ctx in enumerate(sim.host.contexts))


def _moment(sim: Sim, now: int) -> Moment:
    host = sim.host
    contexts = tuple(
        ContextAt(
            int(c.state),
            int(c.pc),
            int(c.bank),
            bool(c.on_cpu),
            bool(c.runnable),
            int(c.fault),
            int(c.t_next),
        )
        for c in host.contexts
    )
    banks = tuple(
        BankAt(int(b.fsr), int(b.sctlr), (int(b.head) != NOBODY) + int(b.fifo_len)) for b in host.banks
    )
    slots = sim.slot_free.reshape(sim.channels.size, -1)
    return Moment(
        t=now,
        contexts=contexts,
        banks=banks,
        lines=tuple(_line(sim, n) for n in range(host.lines.size)),
        open=tuple(int(np.count_nonzero(row > now)) for row in slots),
        queued=tuple(int(channel.length) for channel in sim.channels),
        log_lines=int(sim.counters.log_lines),
    )


def _line(sim: Sim, n: int) -> int:
    if not cpu.asserted(sim.host, n):
        return 0
    line = sim.host.lines[n]
    return 2 if line.masked or line.disabled else 1


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
        begin, watcher.end, watcher.moments, watcher.contexts, outcome, watcher.cut, watcher.channels
    )


def _issue(row: Any) -> int:
    return int(row["t_issued"]) if row["t_issued"] >= 0 else int(row["t_arrived"])


def _last(row: Any, end: int) -> int:
    """Return when the last thing that is known of a fault came to pass; `end` while it is open."""
    if row["t_retired"] < 0:
        return end
    return max(int(row[name]) for name in FAULT.names or () if name.startswith("t_"))
