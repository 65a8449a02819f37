"""Which way of a full set leaves, where no order of use is kept (H2; docs/translation.md 4)."""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel
from smmucore.shapes import ROUND_ROBIN, TREE_PLRU

U0 = np.uint64(0)
U1 = np.uint64(1)
U7 = np.uint64(7)
U13 = np.uint64(13)
U17 = np.uint64(17)
U33 = np.uint64(33)
LOW_51 = np.uint64((1 << 51) - 1)
LOW_47 = np.uint64((1 << 47) - 1)


@kernel
def was_used(bits, ways, way):
    """Return tree-PLRU's bits after a use of `way`: each node on its path points to the other half.

    Node n has children 2n and 2n + 1, node 1 is the root, and bit n of `bits` is node n's.
    """
    node = np.uint64(ways + way)
    while node > U1:
        from_right = node & U1
        node >>= U1
        if from_right != U0:
            bits &= ~(U1 << node)
        else:
            bits |= U1 << node
    return bits


@kernel
def victim(replacement, bits, ways, random):
    """Return (way that leaves, the set's new bits, the generator's new state)."""
    if replacement == ROUND_ROBIN:
        way = np.int64(bits)
        return way, np.uint64((way + 1) % ways), random
    if replacement == TREE_PLRU:
        node = U1
        while node < np.uint64(ways):
            node = (node << U1) | ((bits >> node) & U1)
        return np.int64(node) - ways, bits, random
    # xorshift64; masked, because plain numpy integers warn where compiled ones wrap.
    random ^= (random & LOW_51) << U13
    random ^= random >> U7
    random ^= (random & LOW_47) << U17
    return np.int64(random >> U33) % ways, bits, random
