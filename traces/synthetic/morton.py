"""Morton order: the bits of x and y in turn, x's lowest first, as GPUs lay out textures."""

from __future__ import annotations

from typing import Any

import numpy as np

_STEPS = (
    (16, 0x0000_FFFF_0000_FFFF),
    (8, 0x00FF_00FF_00FF_00FF),
    (4, 0x0F0F_0F0F_0F0F_0F0F),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
)


def _spread(x: Any) -> Any:
    for shift, mask in _STEPS:
        x = (x | (x << np.uint64(shift))) & np.uint64(mask)
    return x


def _gather(n: Any) -> Any:
    n = n & np.uint64(_STEPS[-1][1])
    masks = [mask for _, mask in _STEPS[-2::-1]] + [0xFFFF_FFFF]
    for (shift, _), mask in zip(reversed(_STEPS), masks, strict=True):
        n = (n | (n >> np.uint64(shift))) & np.uint64(mask)
    return n


def encode(x: Any, y: Any) -> Any:
    """Return the number of the cell (x, y); uint64 arrays below 2**32.

    Examples
    --------
    >>> encode(np.array([0, 1, 0, 1, 2], np.uint64), np.array([0, 0, 1, 1, 0], np.uint64)).tolist()
    [0, 1, 2, 3, 4]
    """
    return _spread(x) | (_spread(y) << np.uint64(1))


def decode(number: Any) -> tuple[Any, Any]:
    """Return the cell of each number: the inverse of `encode`.

    Examples
    --------
    >>> [part.tolist() for part in decode(np.array([6], np.uint64))]
    [[2], [1]]
    """
    return _gather(number), _gather(number >> np.uint64(1))
