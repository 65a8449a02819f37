"""What things cost in simulated time, each part with its tag, range and source (K3, K4, K6, K8).

A cost profile is built from instructions counted on an unmodified arm64 Linux 6.1 (measured), a
clock and a CPI (assumed), and latencies that instructions do not contain: register accesses, the
wire from the SMMU to the CPU, memory (cited or assumed).  Time = instructions x CPI / clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smmucore.consoles import CONSOLES, LINE_CHARACTERS, console_costs
from smmucore.cpus import CPUS, Cost, Cpu, Tag
from smmucore.records import one
from smmucore.wakes import DRAWN, Lognormal, table

__all__ = [
    "CONSOLES",
    "COSTS",
    "CPUS",
    "INSTRUCTIONS",
    "NAMES",
    "Cost",
    "Cpu",
    "Lognormal",
    "Profile",
    "Tag",
    "profile",
]

#: The origin of what `smmubench --set`, `--cpi` and `--clock` change.
COMMAND_LINE = "set on the command line"

#: Instructions counted with the interrupted path exact; name -> (instructions, what was counted).
INSTRUCTIONS = {
    "irq_entry_task": (351, "vector to handler, from a task"),
    "irq_entry_idle": (541, "vector to handler, from idle"),
    "irq_exit_task": (327, "handler return to eret, task"),
    "irq_exit_idle": (479, "handler return to eret, idle"),
    "oneshot_entry": (461, "ONESHOT primary: vector to handler, line masked at the GIC"),
    "oneshot_exit": (1799, "rest of the hard part with the thread's wake-up: 2,260 - 461"),
    "oneshot_unmask": (169, "after the thread function: unmask"),
    "thread_wake": (1471, "hard eret to thread function, idle"),
    "queue_work": (1753, "queue_work from hard IRQ, idle"),
    "work_wake": (2293, "queue_work to work function, unbound, idle, less the call: 4,046 - 1,753"),
    "check": (29, "arm_smmu_context_fault, no fault bit set: IRQ_NONE"),
    "report": (85, "arm_smmu_context_fault, handler returns 0: 114 - 29"),
    "log_suppressed": (48, "arm_smmu_context_fault, print suppressed: 162 - 114"),
    "log_line": (8497, "one printed line, no console: 9,670 - 114 - (9,588 - 8,529)"),
    "log_summary": (2197, "short printk, no console"),
}

NAMES = (
    "utlb_hit",
    "tlb_hit",
    "walk_cache_hit",
    "walk_mem",
    "mmio_read",
    "mmio_write",
    "irq_delivery",
    *INSTRUCTIONS,
    *(f"console_{line}" for line in LINE_CHARACTERS),
    *(f"printer_{line}" for line in LINE_CHARACTERS),
    "capture",
    "map_page",
    "tbu_halt",
    "atos",
    "soft_walk",
    "pm_get",
    "pm_put",
    "cooldown",
    "dump_kept",
    "submit_every",
    "hangcheck",
    "event_read",
    "cmd_issue",
)

COSTS = np.dtype([(name, "i8") for name in NAMES], align=True)

_LATENCIES = {
    "utlb_hit": Cost(3, 1, 5, "cited", "2 clocks (MMU-500 TRM DDI 0517C 2.1) at an assumed 700 MHz"),
    "tlb_hit": Cost(
        27, 7, 86, "assumed", "8+3+8 cycles at 700 MHz; gem5 SMMUv3.py link and lookup as a proxy"
    ),
    "walk_cache_hit": Cost(6, 1, 14, "assumed", "4 cycles at 700 MHz; gem5 SMMUv3.py as a proxy"),
    "walk_mem": Cost(
        125,
        114,
        138,
        "cited",
        "DRAM latency seen by the CPU, S888 114 and S865 138 ns (AnandTech 16463), as a proxy",
    ),
    "mmio_read": Cost(150, 80, 400, "assumed", "on-SoC nGnRE read; no citable Arm figure was found"),
    "mmio_write": Cost(
        40,
        10,
        130,
        "assumed",
        "posted write as the CPU sees it; at most 131 ns by Linux ef75702d6d65 (SM8150)",
    ),
    "irq_delivery": Cost(
        200, 100, 400, "assumed", "wire to vector; under 200 ns best case on Cortex-A9 (jblopen.com)"
    ),
    "capture": Cost(
        20_000_000,
        2_000_000,
        500_000_000,
        "assumed",
        "devcoredump by CPU register reads; no published timing was found",
    ),
    "map_page": Cost(
        2_000,
        1_000,
        30_000,
        "cited",
        "IOPF handler body about 2.0 us (Kunpeng 920, VFIO IOPF v2, kvm list msg237515)",
    ),
    "tbu_halt": Cost(
        10_000, 1_000, 100_000, "assumed", "TBU halt until it is acknowledged; Linux gives up at 100 us"
    ),
    "atos": Cost(
        5_000, 1_000, 50_000, "assumed", "ATS1PR and the polls of ATSR, 5 us apart; Linux gives up at 50 us"
    ),
    "soft_walk": Cost(500, 100, 2_000, "assumed", "iova_to_phys: up to four descriptors read by the CPU"),
    "pm_get": Cost(100, 50, 500, "assumed", "pm_runtime_get_if_active: a lock and two counters"),
    "pm_put": Cost(150, 50, 1_000, "assumed", "pm_runtime_put_autosuspend: the same, and a timer"),
    "cooldown": Cost(
        500_000_000, 500_000_000, 500_000_000, "cited", "Linux b13044092c1e: stall is off for 500 ms"
    ),
    "dump_kept": Cost(
        300_000_000_000,
        300_000_000_000,
        300_000_000_000,
        "cited",
        "Linux devcoredump drops what nobody read after 5 minutes",
    ),
    "event_read": Cost(120, 60, 300, "assumed", "an event of 32 bytes from DRAM, and the write of CONS"),
    "cmd_issue": Cost(300, 100, 1_000, "assumed", "an entry of the command queue, and the write of PROD"),
    "submit_every": Cost(
        16_666_667, 1_000_000, 33_333_333, "assumed", "a frame at 60 Hz; 30 Hz to one every ms"
    ),
    "hangcheck": Cost(
        2_000_000_000,
        500_000_000,
        2_000_000_000,
        "cited",
        "drm/msm hangcheck: 500 ms, and three retries while work progresses",
    ),
}


def _latencies(cpu: Cpu) -> dict[str, Cost]:
    """Return what instructions do not contain: the figures are of phones, and for a server an assumption."""
    if cpu.name != "server":
        return dict(_LATENCIES)
    walk = _LATENCIES["walk_mem"]
    return {
        **_LATENCIES,
        "walk_mem": replace(walk, tag="assumed", source=f"a phone's, for want of a server's: {walk.source}"),
    }


@dataclass(frozen=True)
class Profile:
    """A full set of costs, by name.

    Attributes
    ----------
    name : str
    cpu : Cpu
    console : str
    costs : mapping
        Every name of `NAMES`.
    changed : mapping
        Those that a user set; another CPI or clock leaves them alone.
    drawn : mapping
        Those that are drawn anew at each wake-up; `costs` then has the median.
    """

    name: str
    cpu: Cpu
    console: str
    costs: Mapping[str, Cost]
    changed: Mapping[str, Cost] = field(default_factory=dict)
    drawn: Mapping[str, Lognormal] = field(default_factory=dict)

    def named(self, name: str) -> Profile:
        """Return this profile under another name."""
        return replace(self, name=name)

    def record(self) -> Any:
        """Return the defaults as the kernels see them: an array of one COSTS record."""
        return one(COSTS, **{name: self.costs[name].ns for name in NAMES})

    def wakes(self) -> Any:
        """Return what wake-ups are drawn from (`smmucore.wakes.table`)."""
        return table({name: self.costs[name].ns for name in DRAWN}, self.drawn)

    def with_costs(self, costs: Mapping[str, Cost]) -> Profile:
        """Return this profile with some costs replaced, which are then no longer drawn.

        Raises
        ------
        KeyError
            When a name is no cost.
        ValueError
            When a value is negative, or outside its range.
        """
        for name, cost in costs.items():
            _check_name(name)
            if cost.ns < 0:
                raise ValueError(f"cost {name}: expected ns >= 0; found {cost.ns}")
            if not cost.low <= cost.ns <= cost.high:
                raise ValueError(f"cost {name}: expected low <= ns <= high; found {cost}")
        drawn = {name: how for name, how in self.drawn.items() if name not in costs}
        return replace(self, costs={**self.costs, **costs}, changed={**self.changed, **costs}, drawn=drawn)

    def with_values(self, values: Mapping[str, int]) -> Profile:
        """Return this profile with some costs set by the user, in ns.

        Raises
        ------
        KeyError, ValueError
            As `with_costs`.
        """
        return self.with_costs(
            {name: Cost(ns, ns, ns, "assumed", COMMAND_LINE) for name, ns in values.items()}
        )

    def with_drawn(self, drawn: Mapping[str, Lognormal]) -> Profile:
        """Return this profile with some wake-ups drawn from a distribution.

        Raises
        ------
        KeyError
            When a cost cannot be drawn.
        """
        made = self
        for name, how in drawn.items():
            if name not in DRAWN:
                raise KeyError(f"drawn cost: expected one of {', '.join(DRAWN)}; found {name!r}")
            quantiles = how.quantiles()
            source = f"{COMMAND_LINE}: lognormal, p50 {how.p50} ns, p99 {how.p99} ns, drawn by the seed"
            made = made.with_costs({name: Cost(how.p50, quantiles[0], quantiles[-1], "assumed", source)})
            made = replace(made, drawn={**made.drawn, name: how})
        return made

    def with_cpu(
        self, cpi: float | None = None, ghz: float | None = None, origin: str = COMMAND_LINE
    ) -> Profile:
        """Return this profile for another CPI or clock; what the user set in ns stays.

        Raises
        ------
        ValueError
            As `Cpu.with_values`.
        """
        cpu = self.cpu.with_values(cpi, ghz, origin)
        return replace(self, cpu=cpu, costs={**_costs(cpu, self.console), **self.changed})


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise KeyError(f"cost: expected one of {', '.join(NAMES)}; found {name!r}")


def profile(name: str = "mobile-big", console: str = "ring") -> Profile:
    """Build the profile `name` for a console.

    Parameters
    ----------
    name : str
        A CPU of :data:`CPUS`.
    console : str
        A name of :data:`CONSOLES`: ``none``, ``ring``, ``netconsole``, ``serial-BAUD``, ``threaded-BAUD``.

    Raises
    ------
    KeyError
        With the known names, when `name` or `console` is unknown.

    Examples
    --------
    >>> profile(console="serial-115200").costs["console_first"].ns // 10_000
    1164
    """
    if name not in CPUS:
        raise KeyError(f"costs: expected one of {', '.join(CPUS)}; found {name!r}")
    if console not in CONSOLES:
        raise KeyError(f"console: expected one of {', '.join(CONSOLES)}; found {console!r}")
    return Profile(name, CPUS[name], console, _costs(CPUS[name], console))


def _costs(cpu: Cpu, console: str) -> dict[str, Cost]:
    costs = _latencies(cpu)
    for name, (instructions, what) in INSTRUCTIONS.items():
        costs[name] = cpu.cost(instructions, what)
    return {**costs, **console_costs(cpu, console)}
