"""A second explorer, in plain Python, written from docs/decisions/0010 over the plain fault model.

It knows nothing of the compiled one.  Programs of the plain model are generators and cannot be copied, so a
state is what its shortest sequence of moves leads to, and each move runs that sequence again.  That is slow,
and enough for a few hundred states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .explorer_walk import OPTIONAL, Cell, Move, Walk

__all__ = ["OPTIONAL", "Cell", "Edge", "Found", "explore"]


@dataclass
class Edge:
    source: int
    target: int
    move: Move
    what: frozenset[str]


@dataclass
class Found:
    """The graph: states by number, 0 being the start."""

    paths: list[list[Move]] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)  #: what `project` makes of each
    can: list[set[Move]] = field(default_factory=list)  #: obliged moves
    about: list[frozenset[str]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def explore(cell: Cell, most: int = 5_000) -> Found:
    """Visit every state of a cell."""
    found = Found()
    numbers: dict[Any, int] = {}

    def enter(walk: Walk, path: list[Move]) -> int:
        key = walk.key()
        if key not in numbers:
            if len(numbers) >= most:
                raise RuntimeError(f"more than {most} states")
            numbers[key] = len(found.paths)
            found.paths.append(path)
            found.shown.append(walk.project())
            found.can.append(set(walk.obliged()))
            found.about.append(walk.about())
        return numbers[key]

    enter(Walk(cell), [])
    done = 0
    while done < len(found.paths):
        path = found.paths[done]
        walk = _again(cell, path)
        for move in [*walk.obliged(), *walk.free()]:
            other = _again(cell, path)
            what = other.do(move)
            # Where the machine is down there is no further state.
            target = done if "crash" in what else enter(other, [*path, move])
            found.edges.append(Edge(done, target, move, what))
        done += 1
    return found


def _again(cell: Cell, path: list[Move]) -> Walk:
    walk = Walk(cell)
    for move in path:
        walk.do(move)
    return walk
