"""Runs a workload on a GPU and saves what its kernels noted.  Needs numpy and numba's CUDA target, no more.

Run as ``python -m traces.cuda.record WORKLOAD -o RECORDING``, or as a part of ``smmubench capture cuda``.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card, describe
from traces.cuda.clocks import merge, whole
from traces.cuda.notes import Notes
from traces.cuda.probe import SIMULATED
from traces.cuda.recorder import NEVER, Ring, note, plain
from traces.cuda.recording import Recording, save
from traces.cuda.wanted import Wanted
from traces.cuda.workloads import NAMES
from traces.cuda.workloads.job import Job, WrongResultError, load
from traces.errors import TraceError

#: How often a run is timed; the median counts (the simulator's times say nothing).
TIMED_RUNS = 1 if SIMULATED else 3
#: A window that lies behind the run's end is moved to half its time, this often at most.
TRIES = 4
#: How far an SM's share may exceed the mean before its ring is full and the window ends.
_HEADROOM = 2


@dataclass(frozen=True)
class _Window:
    notes: Notes
    begin_ns: int
    taken_ns: int


def record(workload: str, wanted: Wanted, progress: Callable[[str], object] = print) -> Recording:
    """Run a workload, first plain and then with notes, and keep a window of what it did.

    Parameters
    ----------
    workload : str
        One of `traces.cuda.workloads.NAMES`.
    wanted : Wanted
    progress : callable of str

    Returns
    -------
    Recording

    Raises
    ------
    TraceError
        No such workload or size, no GPU, too little memory on it, or nothing that falls into the window.
    WrongResultError
        The workload's result is wrong, with or without notes.
    """
    module = load(workload)
    sizes = dict(module.SMALL if SIMULATED else module.FULL)
    for name, value in wanted.sizes.items():
        if name not in sizes:
            raise TraceError(
                "no such size", f"capture cuda {workload}", f"one of {', '.join(sizes)}", repr(name)
            )
        sizes[name] = value
    if not SIMULATED and not cuda.is_available():
        raise TraceError(
            "no GPU to record on", "capture cuda", "an NVIDIA GPU with its driver, and numba-cuda",
            "none (NUMBA_ENABLE_CUDASIM=1 runs the kernels in numba's simulator)",
        )  # fmt: skip
    facts = describe()
    sms = int(facts["sms"])
    progress(
        f"{workload} on {facts['device']}, {sms} SMs: " + ", ".join(f"{k}={v}" for k, v in sizes.items())
    )

    plain_ns = _time_plain(module, wanted, sizes, progress)
    card = Card()
    job = module.make(card, note, wanted.seed, sizes)
    total = sum(part.nbytes for part in card.allocations)
    progress(f"{len(card.allocations)} allocations, {total:,} bytes")
    ring = Ring(sms, max(64, int(wanted.window * _HEADROOM / sms)))
    ring.open(NEVER)
    job.run(ring.device)  # compiles
    closed_ns = int(statistics.median(_timed(job, ring) for _ in range(TIMED_RUNS)))
    ring.open(0, wanted.sample, 0)
    counting_ns = _timed(job, ring)
    accesses = int(ring.counted().sum())
    progress(f"{accesses:,} sector accesses; {closed_ns / 1e6:,.1f} ms with notes that nobody takes")
    if not accesses:
        raise TraceError(
            "nothing to record", f"capture cuda {workload}", "accesses in sampled blocks", "none"
        )
    window = _window(job, ring, wanted, closed_ns, progress)
    checked = job.check()
    progress(f"{workload}: {checked}")
    return Recording(
        notes=window.notes,
        allocations=card.allocations,
        facts={
            **facts, **versions(), "workload": workload, "what": module.WHAT, "seed": wanted.seed,
            "sample": wanted.sample, "begin_ns": window.begin_ns, "accesses_of_the_run": accesses,
            "plain_ns": plain_ns, "closed_ns": closed_ns, "counting_ns": counting_ns,
            "recording_ns": window.taken_ns, "ring_bytes": ring.nbytes, "checked": checked,
            "recorded": time.strftime("%Y-%m-%d", time.gmtime()),
            **{f"size:{name}": value for name, value in sizes.items()},
        },
    )  # fmt: skip


def _time_plain(module: Any, wanted: Wanted, sizes: dict[str, int], progress: Callable[[str], object]) -> int:
    """Time the workload without notes, and check it; its memory is free again afterwards."""
    ring = Ring(1, 1)
    ring.open(NEVER)
    job = module.make(Card(), plain, wanted.seed, sizes)
    job.run(ring.device)
    taken = int(statistics.median(_timed(job, ring) for _ in range(TIMED_RUNS)))
    progress(f"{taken / 1e6:,.1f} ms without notes: {job.check()}")
    del job
    gc.collect()
    return taken


def _timed(job: Job, ring: Ring) -> int:
    ring.begin()
    cuda.synchronize()
    start = time.perf_counter_ns()
    job.run(ring.device)
    cuda.synchronize()
    return time.perf_counter_ns() - start


def _window(
    job: Job, ring: Ring, wanted: Wanted, closed_ns: int, progress: Callable[[str], object]
) -> _Window:
    """Record from a point of the run on, until an SM's ring is full or there is enough."""
    begin = 0 if SIMULATED else int(closed_ns * wanted.at)  # the simulator's timer is no clock
    for _ in range(TRIES):
        ring.open(begin, wanted.sample)
        taken = _timed(job, ring)
        notes = ring.read()
        if notes.sm.size:
            break
        begin //= 2
    else:
        raise TraceError("nothing to record", "the window", "accesses", f"none from {begin:,} ns on")
    order, t_ns, clocks = merge(notes)
    kept = min(whole(notes, order), wanted.window)
    progress(
        f"window: {kept:,} accesses in {t_ns[kept - 1] / 1e3:,.1f} us from {begin / 1e6:.3f} ms on; {clocks}"
    )
    chosen = np.sort(order[:kept])
    fields = {
        name: getattr(notes, name)[chosen] for name in ("sm", "since_ns", "cycles", "sector", "warp", "write")
    }
    return _Window(Notes(**fields, lost=notes.lost), begin, taken)


def versions() -> dict[str, str]:
    """Name the versions of what compiled the kernels."""
    import numba  # noqa: PLC0415

    found = {"numba": numba.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
    try:
        import numba_cuda  # noqa: PLC0415

        found["numba-cuda"] = numba_cuda.__version__
    except ImportError:
        found["numba-cuda"] = "numba's own target"
    return found


def main(argv: list[str] | None = None) -> int:
    """Record from the command line; see ``--help``.

    Returns
    -------
    int
        0; 2 where nothing could be recorded; 1 where a workload's result was wrong.
    """
    parser = argparse.ArgumentParser(description="Record a CUDA workload's own loads and stores.")
    parser.add_argument("workload", choices=NAMES)
    parser.add_argument("-o", "--out", type=Path, required=True, help="the recording to write (.npz)")
    parser.add_argument("--window", type=int, default=1_000_000, help="accesses to keep, at most")
    parser.add_argument("--at", type=float, default=0.5, help="where in the run, 0 to 1")
    parser.add_argument("--sample", type=int, default=1, help="one thread block in how many takes notes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", action="append", default=[], metavar="NAME=N", help="change a size")
    args = parser.parse_args(argv)
    sizes = {}
    for text in args.size:
        name, _, value = text.partition("=")
        if not value.isdigit():
            parser.error(f"--size {text}: expected NAME=N")
        sizes[name] = int(value)
    wanted = Wanted(args.window, args.at, args.sample, args.seed, sizes)
    try:
        save(args.out, record(args.workload, wanted, lambda text: print(text, file=sys.stderr, flush=True)))
    except TraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except WrongResultError as error:
        print(f"error: {error}: nothing is kept", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
