"""The properties of docs/decisions/0010, decided by what reaches what, on the second explorer's graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from .explorer import OPTIONAL, Edge, Found


def reached(start: Iterable[int], edges: Iterable[Edge]) -> set[int]:
    """Every state that `start` reaches."""
    follow = defaultdict(list)
    for edge in edges:
        follow[edge.source].append(edge.target)
    seen = set(start)
    waiting = list(seen)
    while waiting:
        for target in follow[waiting.pop()]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def knots(found: Found, counts: Callable[[Edge], bool]) -> list[list[Edge]]:
    """The edges of each set of states that all reach each other, along edges that count; no empty sets."""
    edges = [edge for edge in found.edges if counts(edge) and "crash" not in edge.what]
    back = [Edge(edge.target, edge.source, edge.move, edge.what) for edge in edges]
    free = set(range(len(found.paths)))
    made = []
    while free:
        one = min(free)
        together = reached([one], edges) & reached([one], back)
        inside = [edge for edge in edges if edge.source in together and edge.target in together]
        if inside:
            made.append(inside)
        free -= together
    return made


def is_fair(found: Found, knot: list[Edge]) -> bool:
    """Whether nobody who could always act never does."""
    states = {edge.source for edge in knot}
    everywhere = set.intersection(*({_actor(move) for move in found.can[state]} for state in states))
    return everywhere <= {_actor(edge.move) for edge in knot if edge.move[0] not in OPTIONAL}


def _actor(move: tuple[str, int, int]) -> tuple[str, int, int]:
    """Faults on their way are one actor: that one of them arrives is what has to come."""
    return ("flight", 0, 0) if move[0] == "flight" else move


def most(found: Found, what: str) -> int:
    """The greatest number of such edges on a way from the start; -1: there is none."""
    best = {0: 0}
    for _ in range(len(found.paths) + 1):
        changed = False
        for edge in found.edges:
            if edge.source in best:
                value = best[edge.source] + (what in edge.what)
                if value > best.get(edge.target, -1):
                    best[edge.target] = value
                    changed = True
        if not changed:
            return max(best.values())
    return -1


def broken(found: Found) -> set[str]:
    """The properties that do not hold."""
    edges = found.edges
    at_once = {"crash", "stray", "lost", "stale", "ignored", "folded", "spurious"}
    made = {name for edge in edges for name in edge.what} & at_once
    loops = [k for k in knots(found, lambda edge: "resumed" not in edge.what) if is_fair(found, k)]
    if loops:
        made.add("livelock")
    every = knots(found, lambda edge: True)
    if any(is_fair(found, knot) and any("retried" in edge.what for edge in knot) for knot in every):
        made.add("retry")
    if any("entered" in edge.what for knot in every for edge in knot):
        made.add("unbounded")
    ends = {state for state, can in enumerate(found.can) if not can}
    stuck = {state for state in ends if found.about[state] & {"stalled", "waiting", "busy"}}
    if stuck:
        made.add("hang")
    if any(found.about[state] & {"masked", "no CFIE"} for state in ends - stuck):
        made.add("masked")
    bad = {state for state in stuck if "stalled" in found.about[state]}
    bad |= {edge.source for knot in loops for edge in knot}
    still = [edge for edge in edges if "resumed" not in edge.what]
    for edge in edges:
        if "ignored" in edge.what and reached([edge.target], still) & bad:
            made.add("unrepaired")
            break
    return made
