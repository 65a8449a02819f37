"""Sparse matrix times vector: two streams of entries, and a gather wherever their columns point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix, mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.graph import column, make_csr
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "y = M x, compressed rows of power-law length, a warp a row; x is gathered, half near the row "
    "and half anywhere"
)
FULL = {"n": 1 << 25, "mean": 8, "longest": 4096, "rows_a_block": 8, "lanes": 32}
SMALL = {"n": 24, "mean": 4, "longest": 16, "rows_a_block": 2, "lanes": 8}
#: Rows that the check works out again.
CHECKED = 20_000


def kernels(touch: Any, rows_a_block: int, lanes: int) -> Any:
    """Make the product's kernel: `lanes` threads share a row."""
    threads = rows_a_block * lanes

    @cuda.jit
    def multiply(ring, rows, columns, values, x, y, rows_at, columns_at, values_at, x_at, y_at, n):
        partial = cuda.shared.array(threads, np.float32)
        thread = cuda.threadIdx.x
        lane = thread % lanes
        row = np.int64(cuda.blockIdx.x) * rows_a_block + thread // lanes
        total = np.float32(0)
        if row < n:
            touch(ring, rows_at + row * 8, READ)
            begin = rows[row]
            touch(ring, rows_at + row * 8 + 8, READ)
            end = rows[row + 1]
            for entry in range(begin + lane, end, lanes):
                touch(ring, columns_at + entry * 4, READ)
                at = columns[entry]
                touch(ring, values_at + entry * 4, READ)
                value = values[entry]
                touch(ring, x_at + np.int64(at) * 4, READ)
                total += value * x[at]
        partial[thread] = total
        cuda.syncthreads()
        if lane == 0 and row < n:
            for other in range(1, lanes):
                total += partial[thread + other]
            touch(ring, y_at + row * 4, WRITE)
            y[row] = total

    return multiply


@cuda.jit
def _fill(out, seed, least, kinds):
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = mix_on_device(i, seed) % kinds + least


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate the matrix and the vectors; values are 1 to 7 and x is 0 to 8, so that sums are exact."""
    n, lanes, rows_a_block = sizes["n"], sizes["lanes"], sizes["rows_a_block"]
    csr = make_csr(card, n, seed, sizes["mean"], sizes["longest"])
    values, values_at = card.empty("values", int(csr.pointers[-1]), np.float32)
    x, x_at = card.empty("x", n, np.float32)
    y, y_at = card.empty("y", n, np.float32)
    grid = (2048, 256) if n >= 1 << 16 else (2, 32)
    _fill[grid](values, seed + 1, 1, 7)
    _fill[grid](x, seed + 2, 0, 9)
    multiply = kernels(touch, rows_a_block, lanes)

    def run(ring: Any) -> None:
        multiply[-(-n // rows_a_block), rows_a_block * lanes](
            ring, csr.rows, csr.columns, values, x, y, csr.rows_at, csr.columns_at, values_at, x_at, y_at, n
        )

    def check() -> str:
        found = y.copy_to_host()
        chosen = np.arange(n) if n <= CHECKED else np.linspace(0, n - 1, CHECKED).astype(np.int64)
        for row in chosen.tolist():
            entries = np.arange(csr.pointers[row], csr.pointers[row + 1])
            at = column(row, entries, n, seed)
            expected = int(((mix(entries, seed + 1) % 7 + 1) * (mix(at, seed + 2) % 9)).sum())
            if found[row] != expected:
                raise WrongResultError(f"spmv: y[{row}] is {found[row]}, not {expected}")
        return f"y worked out again in {chosen.size:,} of {n:,} rows, in integers"

    return Job(run, check)
