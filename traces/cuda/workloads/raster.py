"""A tiled rasteriser: binned quads, Morton-ordered mip levels, colour and depth written once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix, mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = "textured quads binned into tiles, a block a tile; four texels a sample from Morton-ordered mip levels"
FULL = {"side": 4096, "tile": 16, "quads": 6000, "textures": 16, "texture_bits": 13, "longest": 512}
SMALL = {"side": 8, "tile": 4, "quads": 6, "textures": 2, "texture_bits": 4, "longest": 6}
#: Pixels that the check works out again.
CHECKED = 4000
#: Fields of a quad: corners, depth, texture, and the texture coordinates' start and steps in 1/256 texels.
X0, Y0, X1, Y1, DEPTH, BASE, BITS, U, V, DU_DX, DV_DX, DU_DY, DV_DY = range(13)
_FIELDS = 16


def _spread(x: Any) -> Any:
    """Put a zero bit behind each of the low 16 bits."""
    x = x & 0xFFFF
    x = (x | x << 8) & 0x00FF_00FF
    x = (x | x << 4) & 0x0F0F_0F0F
    x = (x | x << 2) & 0x3333_3333
    return (x | x << 1) & 0x5555_5555


_spread_on_device = cuda.jit(device=True)(_spread)


def kernels(touch: Any, tile: int) -> Any:
    """Make the kernel that draws one tile a block."""

    @cuda.jit
    def draw(ring, quads, starts, bins, heap, colour, depth, at, side):
        x = cuda.blockIdx.x * tile + cuda.threadIdx.x
        y = cuda.blockIdx.y * tile + cuda.threadIdx.y
        bin_number = np.int64(cuda.blockIdx.y) * cuda.gridDim.x + cuda.blockIdx.x
        touch(ring, at[1] + bin_number * 4, READ)
        touch(ring, at[1] + bin_number * 4 + 4, READ)
        nearest = np.int64(1 << 30)
        shade = np.int64(0)
        for i in range(starts[bin_number], starts[bin_number + 1]):
            touch(ring, at[2] + np.int64(i) * 4, READ)
            first = np.int64(bins[i]) * _FIELDS
            touch(ring, at[0] + first * 4, READ)
            inside = quads[first + X0] <= x < quads[first + X1] and quads[first + Y0] <= y < quads[first + Y1]
            if inside and quads[first + DEPTH] < nearest:
                touch(ring, at[0] + first * 4 + 32, READ)
                nearest = np.int64(quads[first + DEPTH])
                dx, dy = x - quads[first + X0], y - quads[first + Y0]
                u = np.int64(quads[first + U]) + dx * quads[first + DU_DX] + dy * quads[first + DU_DY]
                v = np.int64(quads[first + V]) + dx * quads[first + DV_DX] + dy * quads[first + DV_DY]
                mask = (np.int64(1) << quads[first + BITS]) - 1
                base = np.int64(quads[first + BASE])
                shade = np.int64(0)
                for corner in range(4):
                    right, down = corner & 1, corner >> 1
                    texel = base + (
                        _spread_on_device((u >> 8) + right & mask)
                        | _spread_on_device((v >> 8) + down & mask) << 1
                    )
                    touch(ring, at[3] + texel * 4, READ)
                    across = (u & 255) if right else 256 - (u & 255)
                    along = (v & 255) if down else 256 - (v & 255)
                    shade += np.int64(heap[texel]) * across * along
        pixel = np.int64(y) * side + x
        touch(ring, at[4] + pixel * 4, WRITE)
        colour[pixel] = shade >> 16
        touch(ring, at[5] + pixel * 4, WRITE)
        depth[pixel] = nearest

    return draw


@cuda.jit
def _fill(heap, seed):
    for i in range(cuda.grid(1), heap.size, cuda.gridsize(1)):
        heap[i] = mix_on_device(i, seed) & 0xFF


def _scene(seed: int, sizes: dict[str, int]) -> tuple[np.ndarray, int]:
    """Draw the quads: int32 of shape (quads, 16); and the texels of all textures with their mip levels."""
    n, side, bits = sizes["quads"], sizes["side"], sizes["texture_bits"]
    draws = [mix(np.arange(n, dtype=np.int64), seed + 10 + i) for i in range(10)]
    levels = np.cumsum([0, *(1 << 2 * (bits - level) for level in range(bits))])
    whole = int(levels[-1])
    width, height = (2 + draws[i] % (sizes["longest"] - 1) for i in (0, 1))
    quads = np.zeros((n, _FIELDS), np.int64)
    quads[:, X0], quads[:, Y0] = draws[2] % side, draws[3] % side
    quads[:, X1], quads[:, Y1] = quads[:, X0] + width, quads[:, Y0] + height
    quads[:, DEPTH] = draws[4] & 0x3FFF_FFFF
    # A level that fits the step: level k has a step of about 1 texel where the finest would have 2**k.
    level = draws[5] % min(4, bits)
    quads[:, BASE] = draws[6] % sizes["textures"] * whole + levels[level]
    quads[:, BITS] = bits - level
    quads[:, U], quads[:, V] = draws[7] & 0xF_FFFF, draws[8] & 0xF_FFFF
    # Steps of about a texel, turned by one of eight angles.
    turn = draws[9] % 8 * np.pi / 4
    step = 200 + draws[9] // 8 % 100
    for field, part in (
        (DU_DX, np.cos(turn)),
        (DV_DX, np.sin(turn)),
        (DU_DY, -np.sin(turn)),
        (DV_DY, np.cos(turn)),
    ):
        quads[:, field] = np.rint(step * part).astype(np.int64)
    return quads.astype(np.int32), whole * sizes["textures"]


def _binned(quads: np.ndarray, side: int, tile: int) -> tuple[np.ndarray, np.ndarray]:
    """List each tile's quads in their order: int32 starts (tiles + 1,), int32 quad numbers."""
    tiles = side // tile
    low = quads[:, [X0, Y0]] // tile
    high = np.minimum((quads[:, [X1, Y1]] - 1) // tile, tiles - 1)
    pairs = []
    for number, ((x0, y0), (x1, y1)) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        where = (np.arange(y0, y1 + 1)[:, None] * tiles + np.arange(x0, x1 + 1)).ravel()
        pairs.append(np.stack([where, np.full(where.size, number)]))
    every = np.concatenate(pairs, axis=1)
    order = np.argsort(every[0], kind="stable")
    starts = np.searchsorted(every[0][order], np.arange(tiles * tiles + 1))
    return starts.astype(np.int32), every[1][order].astype(np.int32)


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate the scene, the texture heap and the two targets."""
    side, tile = sizes["side"], sizes["tile"]
    scene, texels = _scene(seed, sizes)
    starts, bins = _binned(scene, side, tile)
    quads, quads_at = card.upload("quads", scene.ravel())
    starts_device, starts_at = card.upload("bin starts", starts)
    bins_device, bins_at = card.upload("bins", bins)
    heap, heap_at = card.empty("textures", texels, np.int32)
    colour, colour_at = card.empty("colour", side * side, np.int32)
    depth, depth_at = card.empty("depth", side * side, np.int32)
    at = cuda.to_device(np.array([quads_at, starts_at, bins_at, heap_at, colour_at, depth_at], np.int64))
    _fill[(4096, 256) if texels >= 1 << 16 else (2, 32)](heap, seed)
    draw = kernels(touch, tile)

    def run(ring: Any) -> None:
        draw[(side // tile, side // tile), (tile, tile)](
            ring, quads, starts_device, bins_device, heap, colour, depth, at, side
        )

    def check() -> str:
        found, found_depth = colour.copy_to_host(), depth.copy_to_host()
        pixels = (
            np.arange(side * side) if side * side <= CHECKED else np.linspace(0, side * side - 1, CHECKED)
        )
        for pixel in pixels.astype(int).tolist():
            y, x = divmod(pixel, side)
            expected = _pixel(scene.astype(np.int64), x, y, seed)
            if (int(found[pixel]), int(found_depth[pixel])) != expected:
                got = int(found[pixel]), int(found_depth[pixel])
                raise WrongResultError(f"raster: pixel {x}, {y} is {got}, not {expected}")
        return f"{pixels.size:,} of {side * side:,} pixels worked out again from all quads, in integers"

    return Job(run, check)


def _pixel(quads: np.ndarray, x: int, y: int, seed: int) -> tuple[int, int]:
    """Work out one pixel from the whole scene: its colour and depth."""
    over = (quads[:, X0] <= x) & (x < quads[:, X1]) & (quads[:, Y0] <= y) & (y < quads[:, Y1])
    if not over.any():
        return 0, 1 << 30
    chosen = np.flatnonzero(over)
    q = quads[chosen[np.argmin(quads[chosen, DEPTH])]].tolist()
    dx, dy = x - q[X0], y - q[Y0]
    u = q[U] + dx * q[DU_DX] + dy * q[DU_DY]
    v = q[V] + dx * q[DV_DX] + dy * q[DV_DY]
    mask = (1 << q[BITS]) - 1
    total = 0
    for right in (0, 1):
        for down in (0, 1):
            column, row = (u >> 8) + right & mask, (v >> 8) + down & mask
            texel = sum((column >> bit & 1) << 2 * bit | (row >> bit & 1) << 2 * bit + 1 for bit in range(16))
            across = u & 255 if right else 256 - (u & 255)
            along = v & 255 if down else 256 - (v & 255)
            total += (mix(q[BASE] + texel, seed) & 0xFF) * across * along
    return total >> 16, q[DEPTH]
