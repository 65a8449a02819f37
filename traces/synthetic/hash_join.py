"""A hash join: a table is built from one relation's rows, then probed with another's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic.draws import below, draw, subkey
from traces.synthetic.parts import LINE, PACE, READS, Accesses, Kind, Layout, Parameter, Work, need, u64


def _build(values: Mapping[str, int], seed: int, layout: Layout) -> Work:
    line, row, bucket = values["line"], values["row"], values["bucket"]
    need(row <= line, "hash-join", "row", f"at most a line, {line} bytes", row)
    need(bucket <= 1 << 16, "hash-join", "bucket", "at most 64K", bucket)
    rows = line // row  # of one line
    built, probed = (-(-values[name] // rows) for name in ("build", "probe"))  # in lines
    buckets, output = values["buckets"], values["output"]
    left = layout.buffer("build rows", built * line, READS)
    right = layout.buffer("probe rows", probed * line, READS)
    table = layout.buffer("hash table", buckets * bucket)
    joined = layout.buffer("joined rows", probed * max(output, 1) * line)
    of_build, of_probe = 1 + rows, 1 + rows + output
    first = built * of_build
    keys = [subkey(seed, 0), subkey(seed, 1)]

    def at(number: Any) -> Accesses:
        rest = number % u64(first + probed * of_probe)
        probing = rest >= u64(first)
        rest = np.where(probing, rest - u64(first), rest)
        group = np.where(probing, rest // u64(of_probe), rest // u64(of_build))
        step = np.where(probing, rest % u64(of_probe), rest % u64(of_build))
        scan, out = step == u64(0), step > u64(rows)
        # Which bucket a row has depends on the row alone: the same in each round.
        of_row = group * u64(rows) + step
        bits = np.where(probing, draw(keys[1], of_row), draw(keys[0], of_row))
        written = u64(joined.iova) + (group * u64(output) + step - u64(1 + rows)) * u64(line)
        source = np.where(probing, u64(right.iova), u64(left.iova)) + group * u64(line)
        hashed = u64(table.iova) + below(bits, buckets) * u64(bucket)
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.where(~scan & (~probing | out), u64(WRITE), u64(READ)),
            stream=np.zeros(number.size, np.uint64),
            iova=np.where(scan, source, np.where(out, written, hashed)),
            size=np.where(scan | out, u64(line), u64(min(bucket, line))),
        )

    return Work(("compute",), (left, right, table, joined), at)


KIND = Kind(
    "hash-join",
    "A hash join: build a table in random places, then probe it",
    (
        Parameter("build", 65536, 1, 1 << 30, "rows", "that the table is built from"),
        Parameter("probe", 262144, 1, 1 << 30, "rows", "that it is probed with"),
        Parameter("row", 16, 4, 4096, "bytes", "of a row", power=True),
        Parameter("buckets", 131072, 1, 1 << 30, "buckets", "of the table; a row takes one at random"),
        Parameter("bucket", 32, 4, 65536, "bytes", "from one bucket to the next"),
        Parameter("output", 1, 0, 8, "lines", "written for each line of rows that probes"),
        LINE,
        PACE,
    ),
    _build,
)
