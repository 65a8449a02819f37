"""A pointer chase: nodes in a random ring, each access where the one before it points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ
from traces.synthetic.draws import permute, subkey
from traces.synthetic.parts import PACE, READS, Accesses, Kind, Layout, Parameter, Work, need, u64


def _build(values: Mapping[str, int], seed: int, layout: Layout) -> Work:
    node, read = values["node"], values["read"]
    need(read <= node, "chase", "read", f"at most a node, {node} bytes", read)
    nodes = values["nodes"]
    heap = layout.buffer("nodes", nodes * node, READS)
    key = subkey(seed, 0)

    def at(number: Any) -> Accesses:
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.full(number.size, READ, np.uint64),
            stream=np.zeros(number.size, np.uint64),
            iova=u64(heap.iova) + permute(number % u64(nodes), nodes, key) * u64(node),
            size=np.full(number.size, read, np.uint64),
        )

    return Work(("chase",), (heap,), at)


KIND = Kind(
    "chase",
    "A pointer chase through all nodes of a random ring",
    (
        Parameter("nodes", 65536, 1, 1 << 30, "nodes", "each visited once a round"),
        Parameter("node", 256, 16, 1 << 21, "bytes", "from one node to the next in memory"),
        Parameter("read", 16, 4, 4096, "bytes", "read of a node"),
        PACE,
    ),
    _build,
)
