"""The machine at one moment: what each context, bank, line and channel is at.

A watched run (`bench.timeline.watch`) is a row of these by time, and a schedule that is followed
(`bench.prove.walk`) one by order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smmucore import contexts as cpu
from smmucore.records import NOBODY

if TYPE_CHECKING:
    from smmucore.sim import Sim


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
        One for each bank, or the one that all share.  0: down; 1: up; 2: up, and masked or disabled.
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
class Seen:
    """A stretch of what a machine did.

    Attributes
    ----------
    begin, end : int
        The stretch, ns.
    moments : list of Moment
        Inside it, in order.
    contexts : tuple of Placed
    channels : int
        Two for each TBU.
    """

    begin: int
    end: int
    moments: list[Moment]
    contexts: tuple[Placed, ...]
    channels: int


def placed(sim: Sim) -> tuple[Placed, ...]:
    """Return the contexts of a machine, in the order of its array."""
    banks = sim.host.banks.size
    return tuple(Placed(int(ctx.kind), k % banks, int(ctx.cpu)) for k, ctx in enumerate(sim.host.contexts))


def moment(sim: Sim, now: int) -> Moment:
    """Return what a machine is at now."""
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
    one_line = sim.hw.shared_line or sim.hw.events
    slots = sim.slot_free.reshape(sim.channels.size, -1)
    return Moment(
        t=now,
        contexts=contexts,
        banks=banks,
        lines=tuple(_line(sim, n) for n in range(1 if one_line else host.lines.size)),
        open=tuple(int(np.count_nonzero(row > now)) for row in slots),
        queued=tuple(int(channel.length) for channel in sim.channels),
        log_lines=int(sim.counters.log_lines),
    )


def _line(sim: Sim, n: int) -> int:
    # Asking sets the latch of a line that is held until RESUME; whoever looks leaves it as it was.
    latched = sim.host.banks["line_latched"].copy()
    up = cpu.asserted(sim.host, n)
    sim.host.banks["line_latched"] = latched
    if not up:
        return 0
    line = sim.host.lines[n]
    return 2 if line.masked or line.disabled else 1
