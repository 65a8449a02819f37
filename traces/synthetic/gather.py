"""A sparse gather: rows of a table by index, few of them popular (Zipf), as an embedding look-up does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic.draws import permute, subkey
from traces.synthetic.parts import LINE, PACE, READS, Accesses, Kind, Layout, Parameter, Work, div, need, u64
from traces.synthetic.zipf import Zipf

INDEX = 4  # bytes


def _build(values: Mapping[str, int], seed: int, layout: Layout) -> Work:
    rows, row, line, batch = (values[name] for name in ("rows", "row", "line", "batch"))
    per_line = line // INDEX
    need(row % line == 0 or row < line, "gather", "row", f"less than a line, or a multiple of {line}", row)
    need(batch % per_line == 0, "gather", "batch", f"a multiple of {per_line}, the indices of a line", batch)
    each, parts = min(row, line), max(row // line, 1)
    table = layout.buffer("table", rows * row, READS)
    indices = layout.buffer("indices", batch * INDEX, READS)
    output = layout.buffer("gathered", batch * row)
    # A line of indices, then for each: its row's parts read, and written.
    of_row = 2 * parts
    of_line = 1 + per_line * of_row
    zipf, key = Zipf(rows, values["exponent"], subkey(seed, 0)), subkey(seed, 1)

    def at(number: Any) -> Accesses:
        group, step = div(number, of_line)
        index = step == u64(0)
        which, part = div(np.maximum(step, u64(1)) - u64(1), of_row)
        nth = group * u64(per_line) + which
        write = (part >= u64(parts)) & ~index
        offset = part % u64(parts) * u64(each)
        # Popular rows are spread over the table.
        taken = permute(zipf.ranks(nth), rows, key)
        place = np.where(write, u64(output.iova) + nth % u64(batch) * u64(row),
                         u64(table.iova) + taken * u64(row))  # fmt: skip
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.where(write, u64(WRITE), u64(READ)),
            stream=np.zeros(number.size, np.uint64),
            iova=np.where(index, u64(indices.iova) + group * u64(line) % u64(batch * INDEX), place + offset),
            size=np.where(index, u64(line), u64(each)),
        )

    return Work(("compute",), (table, indices, output), at)


KIND = Kind(
    "gather",
    "A sparse gather: rows by index, their popularity after Zipf",
    (
        Parameter("rows", 1 << 20, 1, 1 << 30, "rows", "of the table"),
        Parameter("row", 256, 4, 65536, "bytes", "of a row"),
        Parameter("exponent", 99, 0, 400, "hundredths", "Zipf's exponent times 100; 0: all rows alike"),
        Parameter(
            "batch",
            65536,
            4,
            1 << 30,
            "indices",
            "of one gather; the next uses the same buffers",
        ),
        LINE,
        PACE,
    ),
    _build,
)
