"""Timed replays of the bundled captures: one cell each, as `smmubench replay` runs it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench import ask
from bench.perf.suite import Benchmark
from bench.run import Runner
from smmucore.policies import find
from traces.catalogue import list_traces
from traces.reader import open_trace

POLICY = "P8"
HARDWARE = "mmu500"


def benchmarks() -> list[Benchmark]:
    """Return one benchmark a bundled capture."""
    made = []
    for entry in list_traces():
        counted = entry.manifest.counts
        accesses = sum(counted.get(op, 0) for op in ("READ", "WRITE", "EXEC"))
        hashes = {entry.name: open_trace(entry.path).sha256}
        made.append(
            Benchmark(f"replay: {entry.name}", partial(prepare, entry.name), accesses, hashes, "access")
        )
    return made


def prepare(name: str) -> Callable[[], object]:
    """Read a capture and return its replay; the fault-free makespan, found once, is no part of a turn."""
    case = ask.case(name, scenario="as-captured")
    runner = Runner(case)
    chip = ask.preset(HARDWARE)
    runner.faultfree(chip)
    return partial(runner.run, find(POLICY), chip)
