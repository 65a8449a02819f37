"""``python -m bench.yardstick.decode``: how fast a trace's file is read, beside how fast it is translated.

The trace is the yardstick's seq64 as a file (`bench.yardstick.memory` writes it).  Translating only is the
yardstick's own measure: the kernel and its calls, accesses in memory.  Reading is `traces.reader`'s, in one
thread, the file in the page cache.  Rounds take turns in one process; the ratio says, by the medians, how
many times as fast as translating reading is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.blocks import Recipe, Source, events
from bench.yardstick import memory, ours, traces
from traces.reader import Trace, open_trace

ACCESSES = 20_000_000
TRANSLATE = "translating only"
#: What a translation is of.
NEEDED = ("op", "stream", "space", "iova", "prot")


def readings(trace: Trace) -> dict[str, Callable[[], Iterable[Any]]]:
    """Return the ways of reading a trace, by what they are called."""
    recipe = Recipe(((1, 0),), None)
    return {
        "reading what a translation needs": lambda: trace.columns(NEEDED),
        "reading every field": trace.columns,
        "reading, as events of a replay": lambda: events(Source(trace), recipe),
        "reading, as rows": trace.blocks,
    }


def timed(blocks: Iterable[Any], accesses: int) -> float:
    """Pass over blocks; return ns per access."""
    start = time.perf_counter_ns()
    for _ in blocks:
        pass
    return (time.perf_counter_ns() - start) / accesses


def measure(path: Path, accesses: int, rounds: int) -> dict[str, list[float]]:
    """Return each measure's rounds, ns per access."""
    iova = traces.iovas("seq64", accesses)
    machine = ours.translator(traces.output_addresses())
    ours.translate_only(machine, iova[: ours.BLOCK])  # loads the kernels
    trace = open_trace(path)
    out: dict[str, list[float]] = {}
    for _ in range(rounds):
        out.setdefault(TRANSLATE, []).append(ours.translate_only(machine, iova))
        for name, blocks in readings(trace).items():
            out.setdefault(name, []).append(timed(blocks(), accesses))
    return out


def table(ns: dict[str, list[float]]) -> str:
    """Return medians and bests, and how many times as fast as translating each reading is."""
    rows = [("", "ns, median", "best", "M/s", "ratio")]
    bar = median(ns[TRANSLATE])
    for name, taken in ns.items():
        middle = median(taken)
        ratio = "" if name == TRANSLATE else f"{bar / middle:.2f}"
        rows.append((name, f"{middle:.2f}", f"{min(taken):.2f}", f"{1000 / middle:.0f}", ratio))
    return "\n".join(f"{row[0]:34}{''.join(f'{cell:>11}' for cell in row[1:])}".rstrip() for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(prog="bench.yardstick.decode", description=__doc__)
    parser.add_argument("--accesses", type=int, default=ACCESSES)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    if asked.accesses < 1 or asked.rounds < 1:
        parser.error("--accesses and --rounds: expected a positive number")
    with tempfile.TemporaryDirectory(prefix="smmubench-decode-") as folder:
        path = Path(folder) / "seq64.parquet"
        print(f"perf-decode: writing {asked.accesses:,} accesses", file=sys.stderr, flush=True)
        memory.write(path, "seq64", asked.accesses)
        size = path.stat().st_size
        ns = measure(path, asked.accesses, asked.rounds)
        print(f"seq64, {asked.accesses:,} accesses, {traces.KIND}; file {size / 1e6:,.1f} MB; "
              f"{asked.rounds} rounds in turns; ns per access")  # fmt: skip
        print(table(ns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
