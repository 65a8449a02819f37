"""What things cost in simulated time, each part with its tag, range and source (K3, K4, K6, K8).

A cost profile is built from instructions counted on an unmodified arm64 Linux 6.1 (measured), a
clock and a CPI (assumed), and latencies that instructions do not contain: register accesses, the
wire from the SMMU to the CPU, memory (cited or assumed).  Time = instructions x CPI / clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from smmucore.records import one

Tag = Literal["measured", "cited", "derived", "assumed"]


@dataclass(frozen=True)
class Cost:
    """One cost in ns: default, the range a sweep should cover, and where it comes from."""

    ns: int
    low: int
    high: int
    tag: Tag
    source: str


@dataclass(frozen=True)
class Cpu:
    """The CPU that runs the handler: clock and cycles per instruction, both assumptions."""

    name: str
    ghz: float
    ghz_range: tuple[float, float]
    cpi: float
    cpi_range: tuple[float, float]

    def time(self, instructions: int) -> int:
        """Return ns for `instructions`, rounded to the nearest.

        >>> CPUS["mobile-big"].time(351)
        319
        """
        return _ns(instructions, self.cpi, self.ghz)

    def cost(self, instructions: int, what: str) -> Cost:
        """Return the cost of `instructions`, with the range that CPI and clock span."""
        return Cost(
            self.time(instructions),
            _ns(instructions, self.cpi_range[0], self.ghz_range[1]),
            _ns(instructions, self.cpi_range[1], self.ghz_range[0]),
            "measured",
            f"{instructions} instructions ({what}), arm64 Linux 6.1.192; "
            f"CPI {self.cpi:g} and {self.ghz:g} GHz are assumed",
        )


def _ns(instructions: int, cpi: float, ghz: float) -> int:
    return int(instructions * cpi / ghz + 0.5)


CPUS = {"mobile-big": Cpu("mobile-big", 2.2, (1.5, 3.2), 2.0, (1.0, 3.0))}

#: Characters of the lines printed, from real bug reports (8N1, CR counted).
LINE_CHARACTERS = {"first": 134, "second": 85, "third": 79, "gpu": 127, "summary": 60}
_CONSOLE_BAUD = {"serial-115200": 115_200, "serial-921600": 921_600, "serial-1500000": 1_500_000}
CONSOLES = ("none", "ring", *_CONSOLE_BAUD)

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
_RING_EXTRA = (1059, "console registered but silent: 9,588 - 8,529")
_SERIAL_EXTRA = (8909, "pl011 console: 17,438 - 8,529")

NAMES = (
    "utlb_hit",
    "tlb_hit",
    "walk_cache_hit",
    "walk_mem",
    "mmio_read",
    "mmio_write",
    "irq_delivery",
    *INSTRUCTIONS,
    "console_first",
    "console_second",
    "console_third",
    "console_gpu",
    "console_summary",
    "capture",
    "map_page",
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
}


@dataclass(frozen=True)
class Profile:
    """A full set of costs, by name; `console` and `cpu` say what it was built for."""

    name: str
    cpu: Cpu
    console: str
    costs: Mapping[str, Cost]

    def record(self) -> Any:
        """Return the defaults as the kernels see them: an array of one COSTS record."""
        return one(COSTS, **{name: self.costs[name].ns for name in NAMES})

    def with_values(self, values: Mapping[str, int]) -> Profile:
        """Return this profile with some costs set by the user, in ns.

        Raises
        ------
        KeyError
            When a name is no cost.
        ValueError
            When a value is negative.
        """
        changed = dict(self.costs)
        for name, ns in values.items():
            if name not in changed:
                raise KeyError(f"cost: expected one of {', '.join(NAMES)}; found {name!r}")
            if ns < 0:
                raise ValueError(f"cost {name}: expected ns >= 0; found {ns}")
            changed[name] = Cost(ns, ns, ns, "assumed", "set on the command line")
        return Profile(self.name, self.cpu, self.console, changed)


def profile(name: str = "mobile-big", console: str = "ring") -> Profile:
    """Build the profile `name` for a console.

    Parameters
    ----------
    name : str
        A CPU of :data:`CPUS`.
    console : str
        ``none``, ``ring`` (the ring buffer only) or ``serial-BAUD``.

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
    cpu = CPUS[name]
    costs = dict(_LATENCIES)
    for cost_name, (instructions, what) in INSTRUCTIONS.items():
        costs[cost_name] = cpu.cost(instructions, what)
    for line, characters in LINE_CHARACTERS.items():
        costs[f"console_{line}"] = _console(cpu, console, characters)
    return Profile(name, cpu, console, costs)


def _console(cpu: Cpu, console: str, characters: int) -> Cost:
    if console == "none":
        return Cost(0, 0, 0, "measured", "no console registered")
    if console == "ring":
        return cpu.cost(*_RING_EXTRA)
    baud = _CONSOLE_BAUD[console]
    base = cpu.cost(*_SERIAL_EXTRA)
    wire = characters * 10 * 1_000_000_000 // baud
    return Cost(
        base.ns + wire,
        base.low + wire,
        base.high + wire,
        "derived",
        f"{characters} characters x 10 bits at {baud} baud, and {base.source}",
    )
