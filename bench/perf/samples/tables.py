"""Tables of accesses: CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.perf.samples.sample import LINES, PAGE, PAGES, Sample


def _columns() -> dict[str, list[int | str]]:
    return {
        "t_ns": [10 * n for n in range(LINES)],
        "op": ["WRITE" if n % 2 else "READ" for n in range(LINES)],
        "stream": [n % 4 for n in range(LINES)],
        "iova": [0x1000_0000 + n % PAGES * PAGE for n in range(LINES)],
        "size": [64] * LINES,
    }


def _csv(path: Path) -> None:
    columns = _columns()
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            file.write(",".join(str(value) for value in row) + "\n")


def _parquet(path: Path) -> None:
    pq.write_table(pa.table(_columns()), path)


#: A row is an access.
CSV = Sample("sample.csv", "row", LINES, LINES, _csv)
PARQUET = Sample("sample.parquet", "row", LINES, LINES, _parquet)
