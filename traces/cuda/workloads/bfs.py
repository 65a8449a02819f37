"""Breadth-first search by levels: frontiers read in order, neighbours' distances looked up anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.graph import make_csr
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "breadth-first search of a power-law graph, one kernel a level, a thread a vertex; distances "
    "are claimed by CAS"
)
FULL = {"n": 1 << 25, "mean": 8, "longest": 4096, "threads": 256}
SMALL = {"n": 96, "mean": 4, "longest": 16, "threads": 16}


def kernels(touch: Any) -> Any:
    """Make the kernel of one level."""

    @cuda.jit
    def visit(ring, rows, columns, distance, parent, frontier, found, count, at, size, level):
        i = cuda.grid(1)
        if i >= size:
            return
        touch(ring, at[4] + np.int64(i) * 4, READ)
        vertex = np.int64(frontier[i])
        touch(ring, at[0] + vertex * 8, READ)
        begin = rows[vertex]
        touch(ring, at[0] + vertex * 8 + 8, READ)
        end = rows[vertex + 1]
        for entry in range(begin, end):
            touch(ring, at[1] + entry * 4, READ)
            other = np.int64(columns[entry])
            touch(ring, at[2] + other * 4, READ)
            if distance[other] < 0:
                touch(ring, at[2] + other * 4, WRITE)
                if cuda.atomic.cas(distance, other, -1, level) == -1:
                    touch(ring, at[3] + other * 4, WRITE)
                    parent[other] = vertex
                    place = cuda.atomic.add(count, 0, 1)
                    touch(ring, at[5] + np.int64(place) * 4, WRITE)
                    found[place] = other

    return visit


@cuda.jit
def _reset(distance, parent, frontier, count):
    for i in range(cuda.grid(1), distance.size, cuda.gridsize(1)):
        distance[i] = 0 if i == 0 else -1
        parent[i] = -1
    if cuda.grid(1) == 0:
        frontier[0] = 0
        count[0] = 0


@cuda.jit
def _faults(rows, columns, distance, parent, wrong):
    """Count the edges and vertices that break a rule of breadth-first distances from vertex 0."""
    for vertex in range(cuda.grid(1), distance.size, cuda.gridsize(1)):
        mine = distance[vertex]
        if (mine == 0) != (vertex == 0):
            cuda.atomic.add(wrong, 0, 1)
        if mine >= 0:
            for entry in range(rows[vertex], rows[vertex + 1]):
                other = distance[columns[entry]]
                if other < 0 or other > mine + 1:
                    cuda.atomic.add(wrong, 1, 1)
        if mine > 0:
            up = parent[vertex]
            linked = False
            if up >= 0 and distance[up] == mine - 1:
                for entry in range(rows[up], rows[up + 1]):
                    linked = linked or columns[entry] == vertex
            if not linked:
                cuda.atomic.add(wrong, 2, 1)


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate the graph, the distances and two frontiers."""
    n, threads = sizes["n"], sizes["threads"]
    csr = make_csr(card, n, seed, sizes["mean"], sizes["longest"])
    distance, distance_at = card.empty("distance", n, np.int32)
    parent, parent_at = card.empty("parent", n, np.int32)
    first, first_at = card.empty("frontier 0", n, np.int32)
    second, second_at = card.empty("frontier 1", n, np.int32)
    count = cuda.to_device(np.zeros(1, np.int32))
    shared = [csr.rows_at, csr.columns_at, distance_at, parent_at]
    # Where each level reads and writes: the two frontiers change places.
    tables = [
        cuda.to_device(np.array([*shared, *pair], np.int64))
        for pair in ((first_at, second_at), (second_at, first_at))
    ]
    fronts = ((first, second), (second, first))
    visit = kernels(touch)
    grid = (2048, 256) if n >= 1 << 16 else (2, 32)
    reached = [0, 0]

    def run(ring: Any) -> None:
        _reset[grid](distance, parent, first, count)
        size, level = 1, 1
        reached[:] = [1, 0]
        while size:
            frontier, found = fronts[level - 1 & 1]
            visit[-(-size // threads), threads](
                ring, csr.rows, csr.columns, distance, parent, frontier, found, count,
                tables[level - 1 & 1], size, level,
            )  # fmt: skip
            size, level = int(count.copy_to_host()[0]), level + 1
            reached[:] = [reached[0] + size, level - 2]
            count.copy_to_device(np.zeros(1, np.int32))

    def check() -> str:
        wrong = cuda.to_device(np.zeros(3, np.int32))
        _faults[grid](csr.rows, csr.columns, distance, parent, wrong)
        sources, edges, orphans = wrong.copy_to_host().tolist()
        if sources or edges or orphans:
            raise WrongResultError(
                f"bfs: {sources} wrong sources, {edges} edges too long, {orphans} without a parent"
            )
        return (
            f"distances proved by every edge and every parent: {reached[0]:,} of {n:,} vertices in "
            f"{reached[1]} levels"
        )

    return Job(run, check)
