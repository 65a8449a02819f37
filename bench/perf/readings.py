"""Reading: every bundled capture decoded, and every format imported.

The bundled captures are real.  What is imported is written here, line by line, in the form that the tool
writes, and is synthetic: its length is chosen, its content says nothing.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.perf.suite import Benchmark
from traces.catalogue import list_traces
from traces.importers.result import Options
from traces.importers.run import import_trace
from traces.reader import open_trace

#: Lines or rows of what is imported.
LINES = 20_000
PAGE = 4096
#: From an IOVA down to its PA.
GAP = 1 << 31


def benchmarks() -> list[Benchmark]:
    """Return one benchmark a bundled capture, and one a format."""
    made = []
    for entry in list_traces():
        trace = open_trace(entry.path)
        made.append(Benchmark(f"decode: {entry.name}", partial(decoding, entry.path), trace.rows,
                              {entry.name: trace.sha256}))  # fmt: skip
    return [*made, *(Benchmark(f"import: {name}", partial(importing, name), LINES) for name in SAMPLES)]


def decoding(path: Path) -> Callable[[], object]:
    """Return a turn: the file opened, decoded and checked, block by block."""
    return lambda: [block.size for block in open_trace(path).blocks()]


def importing(name: str) -> Callable[[], object]:
    """Write a sample and return a turn: its import, the trace written and all."""
    folder = Path(tempfile.mkdtemp(prefix="smmubench-import-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"sample.{name}"
    options = SAMPLES[name](path)

    def turn() -> int:
        made = import_trace(path, folder / "made.parquet", name, options=options)
        assert made.rows >= LINES // 2, made
        return made.rows

    return turn


def _qemu(path: Path) -> Options:
    """Write translations as QEMU's log backend does."""
    with path.open("w", encoding="ascii") as file:
        for n in range(LINES):
            iova, pa_ = 0x1000_0000 + n % 512 * PAGE, 0x1_4000_0000 + n % 512 * PAGE
            file.write(
                f"4000@1795424684.{n:06d}:smmuv3_translate_success smmuv3-iommu-memory-region-40-2 sid=0x28 "
                f"iova=0x{iova:x} translated=0x{pa_:x} perm=0x3\n"
            )
    return Options()


def _ftrace(path: Path) -> Options:
    """Write MAPs and UNMAPs as the kernel's own trace events have them."""
    with path.open("w", encoding="ascii") as file:
        file.write("# tracer: nop\n#\n")
        for n in range(LINES):
            iova = 0xF000_0000 + n // 2 % 512 * PAGE
            end = iova + PAGE
            if n % 2 == 0:
                what = f"map: IOMMU: iova=0x{iova:016x} - 0x{end:016x} paddr=0x{iova - GAP:016x} size={PAGE}"
            else:
                what = f"unmap: IOMMU: iova=0x{iova:016x} - 0x{end:016x} size={PAGE} unmapped_size={PAGE}"
            file.write(f"           gpu-100     [000] d....     2.{n:06d}: {what}\n")
    return Options()


def _rows() -> dict[str, list[int | str]]:
    return {
        "t_ns": [10 * n for n in range(LINES)],
        "op": ["WRITE" if n % 2 else "READ" for n in range(LINES)],
        "stream": [n % 4 for n in range(LINES)],
        "iova": [0x1000_0000 + n % 512 * PAGE for n in range(LINES)],
        "size": [64] * LINES,
    }


def _csv(path: Path) -> Options:
    """Write a table of accesses."""
    rows = _rows()
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(rows) + "\n")
        for row in zip(*rows.values(), strict=True):
            file.write(",".join(str(value) for value in row) + "\n")
    return Options()


def _parquet(path: Path) -> Options:
    """Write the same table as Parquet."""
    pq.write_table(pa.table(_rows()), path)
    return Options()


#: Format -> how a sample of it is written.
SAMPLES: dict[str, Callable[[Path], Options]] = {
    "qemu": _qemu,
    "ftrace": _ftrace,
    "csv": _csv,
    "parquet": _parquet,
}
