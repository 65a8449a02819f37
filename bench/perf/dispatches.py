"""The fault path: a burst under every policy on the MMU-500, and one interrupt storm.

Runs of a lane and nothing else, so that what is timed is faults and their handlers.  A policy that ends in a
livelock or a hang is cut off by the model, and timed by its interrupts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.perf.suite import Benchmark
from bench.yardstick.faults import storm
from smmucore.clients import CLIENTS
from smmucore.costs import profile
from smmucore.hardware import PRESETS
from smmucore.policies import POLICIES
from smmucore.policy import Policy
from smmucore.simulate import Lane, Outcome, Requester, Setup, simulate
from smmucore.spaces import linux

FAULTS = 5_000
GAP_NS = 50_000
CLIENT = "adreno-worker"
#: Simulated ns of the storm's crash dump: about 20,000 entries.
CAPTURE = 100_000_000
HARDWARE, EVENTS = "mmu500", "gem5-smmuv3"


def benchmarks() -> list[Benchmark]:
    """Return one benchmark a policy, and the storm."""
    made = [
        Benchmark(f"faults: {p.id} {p.name}", partial(prepare, p), partial(per, p), unit="fault or interrupt")
        for p in POLICIES.values()
    ]
    storm_ = Benchmark("storm: P4, an interrupt", lambda: partial(storm, CAPTURE), entries, unit="interrupt")
    return [*made, storm_]


def entries() -> int:
    """Return what the storm is divided by: its interrupts."""
    return storm(CAPTURE)["irq_entries"]


def per(policy: Policy) -> int:
    """Return what a policy's burst is divided by: its faults, or its interrupts where there are more."""
    counters = burst(policy).counters
    return max(FAULTS, counters["irq_entries"])


def prepare(policy: Policy) -> Callable[[], object]:
    """Return a turn: a burst under `policy`."""
    return partial(burst, policy)


def burst(policy: Policy) -> Outcome:
    """Let `FAULTS` accesses to nothing fault, `GAP_NS` apart, told to a client that captures in a worker."""
    chip = PRESETS[HARDWARE if policy.is_about(PRESETS[HARDWARE]) else EVENTS]
    lane = Lane(0, FAULTS, gap=GAP_NS)
    setup = Setup(policy, CLIENTS[CLIENT], chip, profile(), [Requester(1, 0)], linux(39), lanes=[lane])
    return simulate(setup, [])
