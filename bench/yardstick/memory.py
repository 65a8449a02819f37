"""``python -m bench.yardstick.memory``: replay a long trace from its file, and print the memory that takes.

The trace is the yardstick's seq64 or stride4k, written to a temporary folder a row group at a time.  It is
read and replayed as `smmubench replay` does it: one pass to see what is in it, one without and one with the
scenario (none here), a block in memory at a time.  Memory is the process's largest resident set, less what it
was when every library was loaded, every kernel compiled, and a short trace replayed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import ask
from bench.run import Runner
from bench.yardstick import traces
from smmucore.hardware import PRESETS
from smmucore.policies import find
from traces.events import EVENT, MAP, PROT_READ, PROT_WRITE
from traces.manifest import Manifest, Space, Stream, Tool
from traces.writer import ROW_GROUP, TraceWriter

ACCESSES = 200_000_000
SHORT = 1_000_000
LIMIT_MB = 512


def manifest(name: str) -> Manifest:
    """Say what the trace is."""
    return Manifest(
        name=f"yardstick-{name}",
        title=f"{name}, long",
        kind="synthetic",
        source="bench/yardstick/memory.py",
        device="none",
        tool=Tool(name="bench.yardstick", version="1"),
        clock="10 ns an access, made up",
        clock_is_real=False,
        streams=[Stream(stream=1, name="yardstick", space=0)],
        spaces=[Space(space=0, name="yardstick", ias=39)],
        licence="MIT",
        invalidation="explicit",
        direction="all reads",
        not_contained=["anything of a real device"],
    )


def write(path: Path, name: str, accesses: int) -> None:
    """Write the trace: 4 GiB mapped in one piece of 4K pages, then the accesses."""
    step, span = (traces.LINE if name == "seq64" else traces.PAGE), traces.PAGES * traces.PAGE
    with TraceWriter(path, manifest(name)) as writer:
        first = np.zeros(1, EVENT)
        # IOVA and PA a page apart, so that no block fits.
        first["op"], first["size"], first["pa"] = MAP, span, traces.PAGE
        first["prot"] = PROT_READ | PROT_WRITE
        writer.append(first)
        for at in range(0, accesses, ROW_GROUP):
            number = np.arange(at, min(at + ROW_GROUP, accesses), dtype=np.uint64)
            events = np.zeros(number.size, EVENT)
            events["t_ns"] = number * np.uint64(10)
            events["stream"], events["size"] = 1, traces.LINE
            events["iova"] = number * np.uint64(step) % np.uint64(span)
            events["pa"] = events["iova"] + np.uint64(traces.PAGE)
            writer.append(events)


def replay(path: Path) -> Any:
    """Replay as captured; return the row."""
    case = ask.case(str(path), scenario="as-captured", client="none")
    return Runner(case).run(find("P8"), PRESETS["reference-39bit"])


def peak_mb() -> float:
    """Return the largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main(arguments: list[str] | None = None) -> int:
    """Write, replay, print; return 1 if the limit is passed."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.memory", description=__doc__)
    parser.add_argument("--accesses", type=int, default=ACCESSES)
    parser.add_argument("--trace", choices=("seq64", "stride4k"), default="seq64")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="smmubench-memory-") as folder:
        short, long = Path(folder) / "short.parquet", Path(folder) / "long.parquet"
        write(short, asked.trace, SHORT)
        replay(short)
        print(f"perf-memory: writing {asked.accesses:,} accesses", file=sys.stderr, flush=True)
        start = time.perf_counter()
        write(long, asked.trace, asked.accesses)
        written = time.perf_counter()
        before = peak_mb()
        print("perf-memory: replaying them", file=sys.stderr, flush=True)
        row = replay(long)
        done = time.perf_counter()
        more = peak_mb() - before
        print(f"trace     {asked.trace}, {row.counters['accesses']:,} accesses, {traces.KIND}")
        print(f"file      {long.stat().st_size / 1e6:,.0f} MB, written in {written - start:.0f} s")
        print(f"replayed  in {done - written:.0f} s: three passes over the file")
        print(f"memory    {before:,.0f} MB before, {more:,.0f} MB more while replaying (limit {LIMIT_MB})")
    return 0 if more <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
