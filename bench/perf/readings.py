"""Reading: every bundled capture decoded, and every format imported.

The bundled captures are real.  What is imported is written by `bench.perf.samples`.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.perf.samples.registry import SAMPLES
from bench.perf.suite import Benchmark
from traces.catalogue import list_traces
from traces.importers.run import import_trace
from traces.reader import open_trace


def benchmarks() -> list[Benchmark]:
    """Return one benchmark a bundled capture, and one a format."""
    made = []
    for entry in list_traces():
        trace = open_trace(entry.path)
        made.append(Benchmark(f"decode: {entry.name}", partial(decoding, entry.path), trace.rows,
                              {entry.name: trace.sha256}, unit="event"))  # fmt: skip
    return [
        *made,
        *(Benchmark(f"import: {name}", partial(importing, name), sample.units, unit=sample.unit)
          for name, sample in SAMPLES.items()),
    ]  # fmt: skip


def decoding(path: Path) -> Callable[[], object]:
    """Return a turn: the file opened, decoded and checked, block by block."""
    return lambda: [block.size for block in open_trace(path).blocks()]


def importing(name: str) -> Callable[[], int]:
    """Write a format's sample and return a turn: its import, the trace written and all."""
    folder = Path(tempfile.mkdtemp(prefix="smmubench-import-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sample = SAMPLES[name]
    path = folder / sample.file
    sample.write(path)

    def turn() -> int:
        made = import_trace(path, folder / "made.parquet", name)
        assert made.rows == sample.rows, made
        return made.rows

    return turn
