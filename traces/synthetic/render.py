"""A tiled render pass: tile after tile, texture reads, then colour and depth written out line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from traces.events import READ, WRITE
from traces.synthetic import morton
from traces.synthetic.draws import below, draw, subkey
from traces.synthetic.parts import (
    LINE,
    PACE,
    READS,
    Accesses,
    Kind,
    Layout,
    Parameter,
    Work,
    bases,
    deal,
    div,
    need,
    u64,
)

#: A line of a texture in Morton order holds a block of so many by so many texels.
BLOCK = 4


def _build(values: Mapping[str, int], seed: int, layout: Layout) -> Work:
    tile, line, side = values["tile"], values["line"], values["texture"]
    need(line <= tile * 4, "tiled-render", "line", f"at most a line of a tile, {tile * 4} bytes", line)
    across, down = -(-values["width"] // tile), -(-values["height"] // tile)
    pitch = across * tile * 4
    surface = pitch * down * tile
    colour = [layout.buffer(f"colour {k}", surface) for k in range(values["frames"])]
    depth = [layout.buffer("depth", surface)] if values["depth"] else []
    textures = [layout.buffer(f"texture {k}", side * side * 4, READS) for k in range(values["textures"])]
    # One tile, step by step: perhaps load, fetch from a texture, store.
    per_row = tile * 4 // line
    rows = tile * per_row
    targets = 1 + len(depth)
    load = rows * targets * values["load"]
    fetches = values["fetches"]
    steps = load + fetches + rows * targets
    colours, textured = bases(colour), bases(textures)
    depths = bases(depth or colour)
    blocks = side // BLOCK
    key = subkey(seed, 0)

    def at(number: Any) -> Accesses:
        turn, which, step, unit = deal(number, values["streams"], across * down, steps)
        row, column = div(which, across)
        loads, stores = step < u64(load), step >= u64(load + fetches)
        fetch = ~loads & ~stores
        # Loads and stores go through the same rows: of the colour, then of the depth.
        part, k = div(np.where(stores, step - u64(load + fetches), step) * ~fetch, rows)
        y, x = div(k, per_row)
        base = np.where(part == 0, colours[turn % u64(colours.size)], depths[0])
        offset = (row * u64(tile) + y) * u64(pitch) + column * u64(tile * 4) + x * u64(line)
        # A tile's fetches: the blocks under it, in Morton order, of a texture that its tile draws.
        fx, fy = morton.decode(step - u64(load))
        bx = (column * u64(tile // BLOCK) + fx) % u64(blocks)
        by = (row * u64(tile // BLOCK) + fy) % u64(blocks)
        texture = textured[below(draw(key, which), textured.size)]
        texel = texture + morton.encode(bx, by) * u64(BLOCK * BLOCK * 4)
        return Accesses(
            t_ns=number * u64(values["pace"]),
            op=np.where(stores, u64(WRITE), u64(READ)),
            stream=unit,
            iova=np.where(fetch, texel, base + offset),
            size=np.where(fetch, u64(BLOCK * BLOCK * 4), u64(line)),
        )

    names = tuple(f"core {k}" for k in range(values["streams"])) if values["streams"] > 1 else ("gpu",)
    return Work(names, (*colour, *depth, *textures), at)


KIND = Kind(
    "tiled-render",
    "A tiled render pass: texture reads, then colour and depth written tile by tile",
    (
        Parameter("width", 1920, 16, 16384, "pixels", "of the frame, rounded up to whole tiles"),
        Parameter("height", 1080, 16, 16384, "pixels", "of the frame, rounded up to whole tiles"),
        Parameter("tile", 32, 16, 1024, "pixels", "width and height of a tile", power=True),
        Parameter("depth", 1, 0, 1, "buffers", "1: depth of 4 bytes a pixel is stored too"),
        Parameter("load", 0, 0, 1, "flag", "1: colour and depth are read before a tile begins"),
        Parameter("fetches", 64, 0, 65536, "accesses", "texture reads of a tile, 64 bytes each"),
        Parameter("textures", 4, 1, 256, "buffers", "textures; each tile uses one"),
        Parameter(
            "texture", 1024, 16, 16384, "texels", "width and height of each, 4 bytes a texel", power=True
        ),
        Parameter("frames", 2, 1, 8, "buffers", "colour buffers, used in turn"),
        Parameter("streams", 1, 1, 64, "streams", "cores, each its own stream, on neighbouring tiles"),
        LINE,
        PACE,
    ),
    _build,
)
