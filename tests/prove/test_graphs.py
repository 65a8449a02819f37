"""Components, longest ways and what reaches what, against the definitions, on random graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smmucore import graphs

MOST = 12


@st.composite
def drawn(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int, bool]]]:
    """Nodes, and edges (from, to, weight, kept) in order of where they begin."""
    nodes = draw(st.integers(1, MOST))
    node = st.integers(0, nodes - 1)
    edges = draw(st.lists(st.tuples(node, node, st.integers(0, 1), st.booleans()), max_size=30))
    return nodes, sorted(edges, key=lambda edge: edge[0])


def arrays(nodes: int, edges: list[tuple[int, int, int, bool]]) -> tuple[Any, Any, Any, Any, Any]:
    source = np.array([e[0] for e in edges], np.int32)
    target = np.array([e[1] for e in edges], np.int32)
    first = np.searchsorted(source, np.arange(nodes + 1)).astype(np.int64)
    return (
        first,
        source,
        target,
        np.array([e[2] for e in edges], np.int64),
        np.array([e[3] for e in edges], bool),
    )


def closure(nodes: int, edges: list[tuple[int, int]]) -> list[list[bool]]:
    """Which reaches which, itself included (Warshall)."""
    reach = [[a == b for b in range(nodes)] for a in range(nodes)]
    for a, b in edges:
        reach[a][b] = True
    for k in range(nodes):
        for a in range(nodes):
            for b in range(nodes):
                reach[a][b] |= reach[a][k] and reach[k][b]
    return reach


@given(drawn())
def test_two_nodes_share_a_component_if_each_reaches_the_other(made: Any) -> None:
    nodes, edges = made
    first, _, target, _, keep = arrays(nodes, edges)
    component, count = graphs.components(first, target, keep)
    reach = closure(nodes, [(a, b) for a, b, _, kept in edges if kept])
    for a in range(nodes):
        for b in range(nodes):
            assert (component[a] == component[b]) == (reach[a][b] and reach[b][a])
            if reach[a][b]:
                assert component[a] >= component[b]
    assert set(component) == set(range(count))


@given(drawn())
def test_the_longest_way_is_the_greatest_weight_or_there_is_none(made: Any) -> None:
    nodes, edges = made
    first, source, target, weight, _ = arrays(nodes, edges)
    component, count = graphs.components(first, target, np.ones(len(edges), bool))
    reach = closure(nodes, [(a, b) for a, b, _, _ in edges])
    best: int | None = 0
    ways = {0: 0}
    for _ in range(nodes + 1):  # Bellman: a way of more edges than nodes repeats one
        for a, b, w, _ in edges:
            if a in ways:
                ways[b] = max(ways.get(b, 0), ways[a] + w)
    best = max(ways.values())
    if any(w and reach[b][a] for a, b, w, _ in edges):
        best = graphs.NONE
    assert graphs.longest(source, target, component, count, weight) == best or not any(
        reach[0][a] for a, b, w, _ in edges if w and reach[b][a]
    )


@given(drawn(), st.data())
def test_reaching_is_what_the_definition_says(made: Any, data: st.DataObject) -> None:
    nodes, edges = made
    _, source, target, _, keep = arrays(nodes, edges)
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes)))
    reach = closure(nodes, [(a, b) for a, b, _, kept in edges if kept])
    found = graphs.reaching(source, target, keep, wanted)
    assert list(found) == [any(reach[a][b] and wanted[b] for b in range(nodes)) for a in range(nodes)]


@pytest.mark.nojit
def test_a_ring_with_a_tail_has_one_component_for_the_ring() -> None:
    first, _, target, _, keep = arrays(
        4, [(0, 1, 0, True), (1, 2, 0, True), (2, 1, 0, True), (2, 3, 0, True)]
    )
    component, count = graphs.components(first, target, keep)
    assert (list(component), count) == ([2, 1, 1, 0], 3)


@pytest.mark.nojit
def test_a_way_through_a_ring_without_weight_has_a_greatest_weight() -> None:
    first, source, target, weight, keep = arrays(
        4, [(0, 1, 1, True), (1, 2, 0, True), (2, 1, 0, True), (2, 3, 1, True)]
    )
    component, count = graphs.components(first, target, keep)
    assert graphs.longest(source, target, component, count, weight) == 2
    assert list(graphs.reaching(source, target, keep, np.array([False, False, False, True]))) == [True] * 4
