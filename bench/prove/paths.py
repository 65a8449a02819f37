"""Ways through a graph: the shortest to a breach, and round a cycle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from bench.prove.properties import Breach, actors
from smmucore import moves as m
from smmucore.explore import Graph


def way_to(graph: Graph, state: int) -> list[int]:
    """Return the edges of a shortest way from the start to a state."""
    made: list[int] = []
    while graph.came_from[state] >= 0:
        edge = int(graph.came_from[state])
        made.append(edge)
        state = int(graph.source[edge])
    return made[::-1]


def way_between(graph: Graph, begin: int, is_end: Callable[[int], bool], inside: Any) -> list[int]:
    """Return the edges of a shortest way from `begin` to an edge that `is_end` accepts, with that edge."""
    before: dict[int, int] = {begin: -1}
    waiting = deque([begin])
    while waiting:
        state = waiting.popleft()
        for edge in range(graph.first[state], graph.first[state + 1]):
            if not inside[edge]:
                continue
            if is_end(edge):
                made = [edge]
                while before[state] >= 0:
                    made.append(before[state])
                    state = int(graph.source[before[state]])
                return made[::-1]
            target = int(graph.target[edge])
            if target not in before:
                before[target] = edge
                waiting.append(target)
    raise ValueError("no such edge in the component")


def counterexample(graph: Graph, name: str, breach: Breach) -> tuple[list[int], list[int]]:
    """Return the edges that lead to a breach, and those of a cycle that goes on from there (or none)."""
    if name == "unrepaired":
        return _with_tail(graph, breach.edge), []
    if breach.inside is None:
        if breach.edge >= 0:
            return [*way_to(graph, int(graph.source[breach.edge])), breach.edge], []
        return way_to(graph, breach.state), []
    kept = breach.inside[graph.source] & breach.inside[graph.target]
    if name == "livelock":
        kept &= graph.flags & m.RESUMED == 0
    begin = int(np.flatnonzero(breach.inside)[0])
    return way_to(graph, begin), _round(graph, begin, kept, name)


def _round(graph: Graph, begin: int, kept: Any, name: str) -> list[int]:
    """Return a cycle from `begin` through an entry, and where it has to be fair through everyone's turn."""
    wanted: list[Any] = [graph.flags & (m.RETRIED if name == "retry" else m.ENTERED) != 0]
    if name != "unbounded":
        acts = actors(graph)
        bits = np.bitwise_or.reduce(acts[kept])
        wanted += [acts == 1 << k for k in range(17) if bits >> k & 1]
    made: list[int] = []
    at = begin
    for edges in wanted:
        if any(edges[edge] for edge in made) or not (edges & kept).any():
            continue
        made += way_between(graph, at, lambda edge, edges=edges: bool(edges[edge]), kept)  # type: ignore[misc]
        at = int(graph.target[made[-1]])
    if at != begin:
        made += way_between(graph, at, lambda edge: int(graph.target[edge]) == begin, kept)
    return made


def _with_tail(graph: Graph, edge: int) -> list[int]:
    """Return the way to an ignored RESUME and on to where it is clear that nothing repairs it."""
    made = [*way_to(graph, int(graph.source[edge])), edge]
    state = int(graph.target[edge])
    quiet = graph.about & m.ACTORS == 0
    if quiet[state]:
        return made
    kept = graph.flags & m.RESUMED == 0
    try:
        return made + way_between(graph, state, lambda e: bool(quiet[graph.target[e]]), kept)
    except ValueError:
        return made  # into a livelock, which is told by itself


def moves_of(graph: Graph, edges: Iterable[int]) -> list[int]:
    """Return the moves of edges."""
    return [int(graph.move[edge]) for edge in edges]
