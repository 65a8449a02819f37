"""GEMM by tiles: C = A B, several units each on a tile of C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic.parts import (
    LINE,
    PACE,
    READS,
    Accesses,
    Kind,
    Layout,
    Parameter,
    Work,
    deal,
    div,
    need,
    u64,
)


def _build(values: Mapping[str, int], _seed: int, layout: Layout) -> Work:
    m, n, k, tile, each = (values[name] for name in ("m", "n", "k", "tile", "bytes"))
    for name in ("m", "n", "k"):
        need(values[name] % tile == 0, "gemm", name, f"a multiple of tile, {tile}", values[name])
    line = values["line"]
    need(line <= tile * each, "gemm", "line", f"at most a row of a tile, {tile * each} bytes", line)
    a = layout.buffer("A", m * k * each, READS)
    b = layout.buffer("B", k * n * each, READS)
    c = layout.buffer("C", m * n * each)
    per_row = tile * each // line
    lines = tile * per_row  # of a tile
    inner = k // tile
    steps = 2 * lines * inner + lines
    across = n // tile

    def at(number: Any) -> Accesses:
        _, which, step, _ = deal(number, values["units"], across * (m // tile), steps)
        row, column = div(which, across)
        store = step >= u64(2 * lines * inner)
        depth, rest = div(step, 2 * lines)
        of_b = (rest >= u64(lines)) & ~store
        y, x = div(rest % u64(lines), per_row)
        # First row and column of the tile, the matrix's row in bytes, and where it lies.
        first = np.where(of_b, depth, row) * u64(tile) + y
        left = np.where(of_b | store, column, depth) * u64(tile * each) + x * u64(line)
        pitch = np.where(of_b | store, u64(n * each), u64(k * each))
        base = np.where(store, u64(c.iova), np.where(of_b, u64(b.iova), u64(a.iova)))
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.where(store, u64(WRITE), u64(READ)),
            stream=np.zeros(number.size, np.uint64),
            iova=base + first * pitch + left,
            size=np.full(number.size, line, np.uint64),
        )

    return Work(("compute",), (a, b, c), at)


KIND = Kind(
    "gemm",
    "Matrix product by tiles: tiles of A and B read, tiles of C written",
    (
        Parameter("m", 1024, 16, 1 << 17, "rows", "of A and C"),
        Parameter("n", 1024, 16, 1 << 17, "columns", "of B and C"),
        Parameter("k", 1024, 16, 1 << 17, "columns", "of A, rows of B"),
        Parameter("tile", 64, 16, 1024, "elements", "side of a tile", power=True),
        Parameter("bytes", 2, 1, 8, "bytes", "of an element", power=True),
        Parameter("units", 8, 1, 1024, "units", "tiles of C in work at a time, one access each in turn"),
        LINE,
        PACE,
    ),
    _build,
)
