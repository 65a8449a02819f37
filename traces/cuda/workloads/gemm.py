"""Matrix product in tiles: two panels re-read by many blocks, one result written once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "C = A B in float32, tiles through shared memory; rows of A and B read again by every block of "
    "their row or column"
)
FULL = {"m": 16384, "n": 16384, "k": 2048, "tile": 32}
SMALL = {"m": 8, "n": 8, "k": 8, "tile": 4}


def kernels(touch: Any, tile: int) -> Any:
    """Make the product's kernel."""

    @cuda.jit
    def multiply(ring, a, b, c, a_at, b_at, c_at, n, k):
        left = cuda.shared.array((tile, tile), np.float32)
        right = cuda.shared.array((tile, tile), np.float32)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        row, column = cuda.blockIdx.y * tile + y, cuda.blockIdx.x * tile + x
        total = np.float32(0)
        for start in range(0, k, tile):
            i = np.int64(row) * k + start + x
            touch(ring, a_at + i * 4, READ)
            left[y, x] = a[i]
            j = np.int64(start + y) * n + column
            touch(ring, b_at + j * 4, READ)
            right[y, x] = b[j]
            cuda.syncthreads()
            for q in range(tile):
                total += left[y, q] * right[q, x]
            cuda.syncthreads()
        o = np.int64(row) * n + column
        touch(ring, c_at + o * 4, WRITE)
        c[o] = total

    return multiply


@cuda.jit
def _fill(out, seed):
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = mix_on_device(i, seed) % 5 - 2


@cuda.jit
def _apply(matrix, vector, out, columns):
    """Out = matrix vector, in integers: the entries are whole numbers."""
    row = cuda.grid(1)
    if row < out.size:
        total = np.int64(0)
        for j in range(columns):
            total += np.int64(matrix[np.int64(row) * columns + j]) * vector[j]
        out[row] = total


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate and fill the matrices; entries are -2 to 2, so that every sum is exact in float32."""
    m, n, k, tile = sizes["m"], sizes["n"], sizes["k"], sizes["tile"]
    a, a_at = card.empty("A", m * k, np.float32)
    b, b_at = card.empty("B", k * n, np.float32)
    c, c_at = card.empty("C", m * n, np.float32)
    _fill[(m * k + 255) // 256 if m * k < 1 << 16 else 1024, 256 if m * k >= 1 << 16 else 32](a, seed)
    _fill[(k * n + 255) // 256 if k * n < 1 << 16 else 1024, 256 if k * n >= 1 << 16 else 32](b, seed + 1)
    multiply = kernels(touch, tile)

    def run(ring: Any) -> None:
        multiply[(n // tile, m // tile), (tile, tile)](ring, a, b, c, a_at, b_at, c_at, n, k)

    def check() -> str:
        probe = cuda.to_device(np.arange(n, dtype=np.int64) * 7919 % 13 - 6)
        inner, expected, found = (cuda.device_array(size, np.int64) for size in (k, m, m))
        _apply[-(-k // 32), 32](b, probe, inner, n)
        _apply[-(-m // 32), 32](a, inner, expected, k)
        _apply[-(-m // 32), 32](c, probe, found, n)
        wrong = np.count_nonzero(expected.copy_to_host() != found.copy_to_host())
        if wrong:
            raise WrongResultError(f"gemm: {wrong} of {m} rows of C r differ from A (B r)")
        return f"C r = A (B r) in all {m} rows, in integers"

    return Job(run, check)
