"""Puts rows in order of time, however many there are: sorted runs in a nameless file, merged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

#: Rows of a run, and about how many are in memory while runs are merged.
RUN = 1 << 19

#: What is sorted.  `t` and `rank` together must tell any two rows apart.
ROW = np.dtype(
    [("t", "u8"), ("rank", "u8"), ("op", "u1"), ("stream", "u2"), ("iova", "u8"), ("size", "u8")]
)  # fmt: skip


class Ordered:
    """Rows that come in any order and go out by `t`, then by `rank`.  Use it in ``with``.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where the nameless file lies; the system's folder for such files if None.
    run : int
        Rows of a run.

    Attributes
    ----------
    rows : int
        How many were added.
    """

    def __init__(self, folder: Path | None, run: int = RUN) -> None:
        self.rows = 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by __exit__)
        self._run = run
        self._waiting: list[np.ndarray] = []
        self._n_waiting = 0
        self._runs: list[tuple[int, int]] = []

    def __enter__(self) -> Ordered:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, rows: np.ndarray) -> None:
        """Add rows of dtype `ROW`."""
        self._waiting.append(rows)
        self._n_waiting += rows.size
        self.rows += rows.size
        if self._n_waiting >= self._run:
            run = self._sorted()
            self._runs.append((self._file.seek(0, 2), run.size))
            self._file.write(run.tobytes())

    def _sorted(self) -> np.ndarray:
        run = np.concatenate([np.empty(0, ROW), *self._waiting])
        self._waiting, self._n_waiting = [], 0
        return run[np.lexsort((run["rank"], run["t"]))]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all rows in order; only once."""
        last = self._sorted()
        if not self._runs:
            if last.size:
                yield last
            return
        each = max(1 << 8, self._run // (len(self._runs) + 1))
        buffers = [last, *(np.empty(0, ROW) for _ in self._runs)]
        left = [(0, 0), *self._runs]
        while True:
            for k, (at, n) in enumerate(left):
                if not buffers[k].size and n:
                    taken = min(each, n)
                    self._file.seek(at)
                    buffers[k] = np.frombuffer(self._file.read(taken * ROW.itemsize), ROW)
                    left[k] = (at + taken * ROW.itemsize, n - taken)
            # Up to here every run's rows are in memory.
            ends = [buffers[k][-1] for k, (_, n) in enumerate(left) if n]
            if not ends:
                whole = np.concatenate(buffers)
                if whole.size:
                    yield whole[np.lexsort((whole["rank"], whole["t"]))]
                return
            t, rank = min((int(end["t"]), int(end["rank"])) for end in ends)
            parts = []
            for k, rows in enumerate(buffers):
                cut = _until(rows, t, rank)
                parts.append(rows[:cut])
                buffers[k] = rows[cut:]
            whole = np.concatenate(parts)
            yield whole[np.lexsort((whole["rank"], whole["t"]))]


def _until(rows: np.ndarray, t: int, rank: int) -> int:
    """Count the sorted rows that are not behind (t, rank)."""
    first, last = (int(np.searchsorted(rows["t"], np.uint64(t), side)) for side in ("left", "right"))
    return first + int(np.searchsorted(rows["rank"][first:last], np.uint64(rank), "right"))
