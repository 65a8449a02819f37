"""``python -m bench.yardstick.faults``: how fast the fault path is, beside what it should be.

=======  =====================================================================================
storm    P4's handler, entered again and again while its client's worker captures a crash dump
multi    P1 on a part that cannot stall, in one long pass: every fault after the first is MULTI
grid     a long burst under every policy on every preset, in threads
=======  =====================================================================================

Wall time is noisy, and noise only adds to it: the rounds take turns, the table shows best and median, and
the best is held against the target.  Three more lines say what the first two are made of.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench import ask, grid
from bench.yardstick import traces
from smmucore.clients import CLIENTS
from smmucore.costs import Profile, profile
from smmucore.hardware import COMPARED, PRESETS, Hardware
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.records import FAULT, rows
from smmucore.simulate import Lane, Premapped, Requester, Setup, simulate
from smmucore.spaces import linux
from smmucore.steps import reads
from traces.events import PROT_READ, PROT_WRITE

Counts = dict[str, int]

#: Simulated ns of the crash dump: a million entries of about 5 us.
CAPTURE = 5_000_000_000
#: As many faults as one pass that prints a line at 115200 baud outlasts, and some room.
MULTI = 500_000
#: Reads put into the storm's handler to see what a step costs.
MORE = 16
GRID = 100_000
#: Between the grid's faults, and what is told of them: as in `smmubench compare`.
GAP = "50us"
#: The presets that no comparison runs unless asked to, but for the speed yardstick's.
OTHERS = ("thunderx-smmuv2", "held-until-resume", "gem5-smmuv3", "agilex5-mmu600")

RATES = {"storm": 5.0, "multi": 10.0}
GRID_SECONDS = 60.0


@dataclass
class Load:
    """Something to time: `go` does it and returns what it counted, of which `unit` is held against time."""

    name: str
    what: str
    unit: str
    go: Callable[[], Counts]
    counts: Counts = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Do it once, and note how long it took."""
        start = time.perf_counter()
        self.counts = self.go()
        self.seconds.append(time.perf_counter() - start)

    @property
    def best_rate(self) -> float:
        """Millions of its unit a second, in the best round."""
        return self.counts[self.unit] / min(self.seconds) / 1e6

    @property
    def best_ns(self) -> float:
        """Nanoseconds of wall time for each of its unit, in the best round."""
        return min(self.seconds) / self.counts[self.unit] * 1e9


def _run(policy: Policy, client: str, hardware: str, costs: Profile, lane: Lane, mapped: int = 0) -> Counts:
    """Run one lane of accesses and nothing else; `mapped` bytes from IOVA 0 on are mapped before."""
    setup = Setup(
        policy,
        CLIENTS[client],
        PRESETS[hardware],
        costs,
        [Requester(1, 0)],
        linux(39),
        lanes=[lane],
        premapped=[Premapped(0, 0, mapped, 0, PROT_READ | PROT_WRITE)] if mapped else [],
    )
    return simulate(setup, []).counters


def storm(capture: int = CAPTURE, more: int = 0) -> Counts:
    """Take one fault that P4 leaves to a worker which captures for `capture` ns; no console.

    The handler reads `more` registers than it should.
    """
    policy = POLICIES["P4"]
    longer = replace(policy, handler=(*reads(*["FAR"] * more), *policy.handler))
    costs = profile(console="none").with_values({"capture": capture})
    return _run(longer, "adreno-worker", "mmu500", costs, Lane(0, 1))


def multi(faults: int = MULTI) -> Counts:
    """Let `faults` accesses fault, all at once, while P1's handler prints on a serial console.

    On a part that can stall, HUPCF=0 of P1 would refuse them before they fault.
    """
    costs = profile(console="serial-115200")
    return _run(POLICIES["P1"], "none", "thunderx-smmuv2", costs, Lane(0, faults))


def hits(accesses: int = MULTI) -> Counts:
    """As `multi`, but every access is to one page that is mapped."""
    costs = profile(console="serial-115200")
    return _run(POLICIES["P1"], "none", "thunderx-smmuv2", costs, Lane(0, accesses, modulo=1), traces.PAGE)


def fault_rows(faults: int = MULTI) -> Counts:
    """Make room for as many faults, as a run does before its kernel, and write every word of it once."""
    held = rows(FAULT, faults)
    held.view(np.uint8)[:] = 255
    return {"faults_injected": held.size}


def burst_grid(hardware: Sequence[Hardware], faults: int = GRID, threads: int = 2) -> Counts:
    """Compare every policy on `hardware` in a burst with the headline's trace, gap and client."""
    case = ask.case(scenario=f"burst:n={faults},gap={GAP}")
    made = grid.compare(case, list(POLICIES.values()), hardware, threads)
    names = ("faults_injected", "irq_entries")
    return {"cells": len(made.rows), **{n: sum(row.counters[n] for row in made.rows) for n in names}}


def loads(faults: int, burst: int, capture: int, threads: int) -> dict[str, Load]:
    """Return everything that is timed, by name."""
    others = [PRESETS[name] for name in OTHERS]
    compared = ", ".join(chip.name for chip in COMPARED)
    made = (
        Load("storm", "P4, adreno-worker, mmu500, no console", "irq_entries", partial(storm, capture)),
        Load("longer", f"the same, {MORE} reads more an entry", "irq_entries", partial(storm, capture, MORE)),
        # Rows first: where the machine is a guest, memory that was idle may come back from the host slowly.
        Load("rows", "room for fault records", "faults_injected", partial(fault_rows, faults)),
        Load("multi", "P1, serial-115200, thunderx-smmuv2", "faults_injected", partial(multi, faults)),
        Load("hits", "as many accesses, to one mapped page", "accesses", partial(hits, faults)),
        Load("grid", compared, "faults_injected", partial(burst_grid, COMPARED, burst, threads)),
        Load("others", ", ".join(OTHERS), "faults_injected", partial(burst_grid, others, burst, threads)),
    )
    return {load.name: load for load in made}


def verdicts(done: dict[str, Load]) -> list[str]:
    """Return a line for each target: what was reached, and whether that holds it."""
    said = []
    for name, target in RATES.items():
        load = done[name]
        holds = "holds" if load.best_rate >= target else "does NOT hold"
        what = load.unit.replace("_", " ")
        said.append(f"{name}: {load.best_rate:.2f} M {what} a second, target {target:g} M: {holds}")
    best = min(done["grid"].seconds)
    holds = "holds" if best < GRID_SECONDS else "does NOT hold"
    said.append(f"grid: {best:.1f} s, target under {GRID_SECONDS:g} s: {holds}")
    return said


def parts(done: dict[str, Load]) -> list[str]:
    """Return what the first two figures are made of, in ratios of the same run."""
    short, longer, many = done["storm"], done["longer"], done["multi"]
    each = short.counts["mmio_reads"] / short.counts["irq_entries"]
    step = (longer.best_ns - short.best_ns) / MORE
    free, room = done["hits"].best_ns, done["rows"].best_ns
    times = many.best_ns / free
    return [
        f"an entry: {short.best_ns:.0f} ns, of which {each:.1f} reads; a read more costs {step:.1f} ns",
        f"a fault: {many.best_ns:.0f} ns; an access that hits {free:.0f} ns ({times:.1f} times); "
        f"room for its record {room:.0f} ns",
    ]


def table(done: dict[str, Load]) -> str:
    """Return a line for each load."""
    heads = ("load", "count", "of", "best s", "median s", "M/s", "median")
    lines = ["{:<8}{:>12} {:<16}{:>8}{:>10}{:>8}{:>8}  what".format(*heads)]
    for load in done.values():
        count, best, middle = load.counts[load.unit], min(load.seconds), median(load.seconds)
        lines.append(
            f"{load.name:<8}{count:>12,} {load.unit:<16}{best:>8.3f}{middle:>10.3f}"
            f"{count / best / 1e6:>8.2f}{count / middle / 1e6:>8.2f}  {load.what}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Time everything in turns, and print; whether the targets hold does not change the exit status."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faults", type=int, default=MULTI, help="of multi")
    parser.add_argument("--burst", type=int, default=GRID, help="faults of each cell of the grid")
    parser.add_argument("--capture", type=int, default=CAPTURE, metavar="NS", help="length of the storm")
    cpus = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=min(2, cpus), help="of the grid")
    parser.add_argument("--json", action="store_true", help="every round, and the counts")
    asked = parser.parse_args(arguments)
    if min(asked.rounds, asked.faults, asked.burst, asked.capture, asked.threads) < 1:
        parser.error("expected positive numbers")
    # Compiles or loads every kernel, reads the trace, and finds the makespans without faults.
    for load in loads(1000, 10, 1_000_000, asked.threads).values():
        load.go()
    done = loads(asked.faults, asked.burst, asked.capture, asked.threads)
    for number in range(asked.rounds):
        print(f"perf-faults: round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
        for load in done.values():
            load.turn()
    if asked.json:
        print(json.dumps([_plain(load) for load in done.values()], indent=1))
        return 0
    print(f"wall times of {asked.rounds} rounds that take turns, after a warm-up")
    print(f"grid, others: every policy, burst:n={asked.burst},gap={GAP} in {ask.TRACE}, client {ask.CLIENT}, "
          f"{asked.threads} threads")  # fmt: skip
    print("\n".join((table(done), "", *verdicts(done), *parts(done))))
    return 0


def _plain(load: Load) -> dict[str, Any]:
    return {"load": load.name, "what": load.what, "of": load.unit, "counts": load.counts, "s": load.seconds}


if __name__ == "__main__":
    sys.exit(main())
