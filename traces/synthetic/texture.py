"""Texture sampling: patches of textures in Morton order, at mip levels, as triangles would touch them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ
from traces.synthetic import morton
from traces.synthetic.draws import below, draw, subkey
from traces.synthetic.parts import PACE, READS, Accesses, Kind, Layout, Parameter, Work, bases, div, u64

#: An access is a block of 4 x 4 texels of 4 bytes.
BLOCK, LINE = 4, 64
#: Four blocks of a level, then the block of the next level over them.
_GROUP = 5


def mip_blocks(side: int) -> list[int]:
    """Return the blocks along each mip level's side, down to one block.

    >>> mip_blocks(32)
    [8, 4, 2, 1]
    """
    blocks = side // BLOCK
    return [blocks >> level for level in range(blocks.bit_length())]


def _build(values: Mapping[str, int], seed: int, layout: Layout) -> Work:
    sides = mip_blocks(values["texture"])
    deepest = min(values["levels"], len(sides)) - 1
    starts = np.cumsum([0, *(side * side * LINE for side in sides[:-1])]).astype(np.uint64)
    size = sum(side * side * LINE for side in sides)
    textures = [layout.buffer(f"texture {k}", size, READS) for k in range(values["textures"])]
    base, side_of = bases(textures), np.array(sides, np.uint64)
    fine = values["patch"] ** 2
    trilinear = values["trilinear"]
    group = _GROUP if trilinear else 4
    per_patch = fine // 4 * group
    keys = [subkey(seed, k) for k in range(4)]

    def at(number: Any) -> Accesses:
        patch, step = div(number, per_patch)
        quad, tap = div(step, group)
        # Half of the patches are at level 0, a quarter at level 1 ...: the trailing ones of a draw.
        coin = draw(keys[0], patch)
        lowest = ~coin & (coin + u64(1))
        level = np.minimum(np.bitwise_count(lowest - u64(1)).astype(np.uint64), u64(deepest))
        side = side_of[level]
        left, top = draw(keys[1], patch) % side, draw(keys[2], patch) % side
        # The last tap of a group, if there is one, takes the next level, at half the coordinates.
        dx, dy = morton.decode(quad * u64(4) + np.minimum(tap, u64(3)))
        x, y = (left + dx) % side, (top + dy) % side
        if trilinear:
            up = (tap == u64(4)) & (level < u64(len(sides) - 1))
            x, y, level = np.where(up, x >> u64(1), x), np.where(up, y >> u64(1), y), level + up
        texture = base[below(draw(keys[3], patch), base.size)]
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.full(number.size, READ, np.uint64),
            stream=np.zeros(number.size, np.uint64),
            iova=texture + starts[level] + morton.encode(x, y) * u64(LINE),
            size=np.full(number.size, LINE, np.uint64),
        )

    return Work(("sampler",), tuple(textures), at)


KIND = Kind(
    "texture",
    "Texture sampling: patches in Morton order, with mip levels",
    (
        Parameter("texture", 2048, 16, 32768, "texels", "width and height, 4 bytes a texel", power=True),
        Parameter("textures", 8, 1, 256, "buffers", "textures, each with all its mip levels"),
        Parameter(
            "levels", 16, 1, 16, "levels", "level k has half as many patches as level k - 1; 1: no mips"
        ),
        Parameter("patch", 16, 2, 256, "blocks", "side of a patch, in blocks of 4 x 4 texels", power=True),
        Parameter("trilinear", 1, 0, 1, "flag", "1: every four blocks also read the next level's"),
        PACE,
    ),
    _build,
)
