"""What can be asked of a graph: its components, its longest ways, and from where something is reached.

A graph is given by `first` and `target` (the edges from node k are ``first[k]`` to ``first[k + 1]``), and
`keep` says of each edge whether it counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from smmucore.kernel import kernel

NONE = -1


@kernel
def number_components(first, target, keep, component, low, order, stack, path, at):
    """Number the strongly connected components: an edge between two goes to the lower number (Tarjan 1972).

    Parameters
    ----------
    first : ndarray of int64, shape (nodes + 1,)
    target, keep : ndarrays of int32 and uint8, shape (edges,)
    component : ndarray of int32, shape (nodes,)
        Filled.
    low, order, stack, path : ndarrays of int32, shape (nodes,)
        Room to work in.
    at : ndarray of int64, shape (nodes,)
        Room to work in.

    Returns
    -------
    int64
        How many there are.
    """
    nodes = component.size
    for k in range(nodes):
        component[k] = NONE
        order[k] = NONE
    count = 0
    numbered = 0
    held = 0
    for root in range(nodes):
        if order[root] != NONE:
            continue
        depth = 0
        path[0] = root
        at[root] = first[root]
        order[root] = numbered
        low[root] = numbered
        numbered += 1
        stack[held] = root
        held += 1
        while depth >= 0:
            node = path[depth]
            e = at[node]
            if e < first[node + 1]:
                at[node] = e + 1
                if keep[e] == 0:
                    continue
                other = target[e]
                if order[other] == NONE:
                    order[other] = numbered
                    low[other] = numbered
                    numbered += 1
                    stack[held] = other
                    held += 1
                    at[other] = first[other]
                    depth += 1
                    path[depth] = other
                elif component[other] == NONE:
                    low[node] = min(low[node], order[other])
                continue
            if low[node] == order[node]:
                while True:
                    held -= 1
                    component[stack[held]] = count
                    if stack[held] == node:
                        break
                count += 1
            depth -= 1
            if depth >= 0:
                low[path[depth]] = min(low[path[depth]], low[node])
    return np.int64(count)


def components(first: Any, target: Any, keep: Any) -> tuple[Any, int]:
    """Return each node's strongly connected component, and how many there are."""
    nodes = len(first) - 1
    component, low, order, stack, path = (np.zeros(nodes, np.int32) for _ in range(5))
    at = np.zeros(nodes, np.int64)
    keep = keep.astype(np.uint8)
    count = number_components(first, target, keep, component, low, order, stack, path, at)
    return component, int(count)


def longest(source: Any, target: Any, component: Any, count: int, weight: Any) -> int:
    """Return the greatest weight of a way from node 0; NONE: there is no greatest.

    `component` must be of the whole graph: then every way comes to ever lower components.
    """
    inside = component[source] == component[target]
    if bool((weight[inside] > 0).any()):
        return NONE
    best = np.zeros(count, np.int64)
    begins, ends, weights = component[source[~inside]], component[target[~inside]], weight[~inside]
    by_begin = np.argsort(begins, kind="stable")
    begins, ends, weights = begins[by_begin], ends[by_begin], weights[by_begin]
    edges = np.searchsorted(begins, np.arange(count + 1))
    longest_ways(edges, ends, weights.astype(np.int64), best)
    return int(best[component[0]])


@kernel
def longest_ways(edges, ends, weights, best):
    """Fill `best` with the greatest weight of a way from each component, the lower ones first."""
    for k in range(best.size):
        for e in range(edges[k], edges[k + 1]):
            best[k] = max(best[k], best[ends[e]] + weights[e])


@kernel
def spread(first, target, keep, reached, queue, queued):
    """Mark in `reached` all that the first `queued` nodes of `queue` reach."""
    done = 0
    while done < queued:
        node = queue[done]
        done += 1
        for e in range(first[node], first[node + 1]):
            if keep[e] != 0 and reached[target[e]] == 0:
                reached[target[e]] = 1
                queue[queued] = target[e]
                queued += 1


def reaching(source: Any, target: Any, keep: Any, wanted: Any) -> Any:
    """Return, for each node, whether it reaches one of the `wanted` (a mask) by edges that are kept."""
    nodes = len(wanted)
    back = np.argsort(target, kind="stable")
    first = np.searchsorted(target[back], np.arange(nodes + 1)).astype(np.int64)
    reached = wanted.astype(np.uint8)
    queue = np.zeros(nodes, np.int32)
    begin = np.flatnonzero(wanted)
    queue[: len(begin)] = begin
    spread(first, source[back], keep[back].astype(np.uint8), reached, queue, len(begin))
    return reached.astype(bool)
