"""A sparse matrix, or a graph: power-law rows, half of each near, half anywhere (low columns first)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import cubed, cubed_on_device, mix, mix_on_device

#: How far a near entry lies behind its row, at most.
NEAR = 4096


@dataclass(frozen=True)
class Csr:
    """Compressed rows on the device.

    Attributes
    ----------
    n : int
        Rows and columns.
    pointers : numpy.ndarray of int64, shape (n + 1,)
        The host's copy of where each row begins.
    rows, rows_at, columns, columns_at
        Device arrays and their addresses: int64 of shape (n + 1,), int32 of shape (pointers[n],).
    """

    n: int
    pointers: np.ndarray
    rows: Any
    rows_at: int
    columns: Any
    columns_at: int


def row_lengths(n: int, seed: int, mean: int, longest: int) -> np.ndarray:
    """Draw the entries of each row: a Pareto tail of exponent 2, cut at `longest`.

    Examples
    --------
    >>> lengths = row_lengths(1000, 1, mean=8, longest=64)
    >>> int(lengths.min()), int(lengths.max()) <= 64
    (4, True)
    """
    u = (mix(np.arange(n, dtype=np.int64), seed) >> 8) + 1
    # Pareto with exponent 2 has a mean of twice its least value: lengths are least * sqrt(1 / u).
    least = max(1, mean // 2)
    return np.minimum(longest, (least * np.sqrt((1 << 24) / u)).astype(np.int64))


def column(row: Any, entry: Any, n: Any, seed: Any) -> Any:
    """Return the column of one entry; `entry` is its number among all."""
    h = mix(entry, seed)
    near = (row + (h >> 1) % NEAR) % n
    return np.where(h & 1, near, cubed(h, n))


@cuda.jit
def _fill(rows, columns, n, seed):
    for row in range(cuda.grid(1), n, cuda.gridsize(1)):
        for entry in range(rows[row], rows[row + 1]):
            h = mix_on_device(entry, seed)
            if h & 1:
                columns[entry] = (row + (h >> 1) % NEAR) % n
            else:
                columns[entry] = cubed_on_device(h, n)


def make_csr(card: Card, n: int, seed: int, mean: int, longest: int) -> Csr:
    """Allocate and fill the rows and their columns."""
    # Before the host draws what the device has no room for.
    card.check_room("row pointers and columns", n * (8 + 4 * mean))
    pointers = np.zeros(n + 1, np.int64)
    np.cumsum(row_lengths(n, seed, mean, longest), out=pointers[1:])
    rows, rows_at = card.upload("row pointers", pointers)
    columns, columns_at = card.empty("columns", int(pointers[-1]), np.int32)
    _fill[-(-n // 32) if n < 1 << 16 else 2048, 32 if n < 1 << 16 else 256](rows, columns, n, seed)
    return Csr(n, pointers, rows, rows_at, columns, columns_at)
