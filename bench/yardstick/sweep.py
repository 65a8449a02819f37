"""``python -m bench.yardstick.sweep``: sweeps of 200 cells in one thread and in two, in turn, side by side.

One is over every bundled capture, the other over QEMU's two, whose cells are short.  A round is a sweep of
own in a folder, rows written and all; the first, which loads kernels and traces, does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.sweeps.dataset import Dataset
from bench.sweeps.drive import drive
from bench.sweeps.live import Live
from bench.sweeps.local import Threads
from bench.sweeps.spec import from_text

QEMU = ("qemu-virtio-gpu", "qemu-dma-tiles")
GPU = ("h200-raster", "h200-paged-attention", "h200-hash-join")

#: Traces (kind captured), and how many gaps of a burst, by the sweep's name: 200 cells each.
SWEEPS = {"every capture": ((*QEMU, *GPU), 2), "QEMU's alone": (QEMU, 5)}
#: 10 policies that end, on two parts.
SPEC = """
name = "yardstick"

[axes]
trace = {traces}
policy = ["P1", "P2", "P2b", "P3", "P5", "P7", "P8", "P9", "P11", "P12"]
hardware = ["mmu500", "qcom-smmu-v2"]
scenario = {{each = "burst:n=40,gap={{}}us", from = 10, to = {last}, step = 10}}
"""
CELLS = 200


class Silent(Live):
    """Tells nothing: each round is a line."""

    def tell(self, done: int, failed: int) -> None:
        """Say nothing."""


def spec(name: str) -> str:
    """Return the text of a sweep."""
    traces, gaps = SWEEPS[name]
    return SPEC.format(traces=json.dumps(traces), last=10 * gaps)


def measure(name: str, threads: int) -> float:
    """Run a sweep once; return its seconds."""
    with tempfile.TemporaryDirectory(prefix="smmubench-sweep-") as folder:
        plan = from_text(spec(name), Path(folder) / "spec.toml")
        with Dataset(Path(folder) / "out", plan) as dataset:
            done = drive(dataset, Threads(threads), Silent())
        assert (done.computed, done.failed) == (CELLS, 0), done
        return done.seconds


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.sweep", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    if asked.rounds < 1:
        parser.error("--rounds: expected a positive number")
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        print("perf-sweep: one CPU, so nothing to compare: not run")
        return 0
    print(f"sweeps of {CELLS} cells, seconds, {asked.rounds} rounds in turn, {cpus} CPUs", flush=True)
    print(f"{'traces':<16}{'threads':<10}{'median':>8}{'least':>8}{'most':>8}{'cells/s':>9}", flush=True)
    for name in SWEEPS:
        measure(name, 2)
        took: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(asked.rounds):
            for threads in (1, 2) if turn % 2 == 0 else (2, 1):
                took[threads].append(measure(name, threads))
                print(f"perf-sweep: {threads} thread(s), {took[threads][-1]:.2f} s", file=sys.stderr)
        for threads, seconds in took.items():
            middle = median(seconds)
            spread = f"{middle:>8.2f}{min(seconds):>8.2f}{max(seconds):>8.2f}{CELLS / middle:>9.0f}"
            print(f"{name:<16}{threads:<10}{spread}")
        ratio, best = median(took[1]) / median(took[2]), min(took[1]) / min(took[2])
        print(
            f"two threads: {ratio:.2f} times one by medians, {best:.2f} by the least (target 1.9)", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
