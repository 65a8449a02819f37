"""Attention over a paged key-value cache: pages of a few kilobytes in an order that a block table gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix, mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "one decoding step of attention: a block per sequence and head gathers keys and values page by "
    "page through a block table"
)
FULL = {"sequences": 64, "tokens": 8192, "heads": 8, "dim": 128, "page": 16}
SMALL = {"sequences": 2, "tokens": 8, "heads": 1, "dim": 8, "page": 4}
#: Results that the check works out again, and how far they may be off: sums of thousands of float32.
CHECKED = 6
TOLERANCE = 1e-3
_ODD = 0x2545_F491


def kernels(touch: Any, dim: int, page: int) -> Any:
    """Make the kernel: `dim` threads a block, softmax worked out page by page."""

    @cuda.jit
    def attend(
        ring, query, keys, values, table, out, query_at, keys_at, values_at, table_at, out_at, pages, heads
    ):
        products = cuda.shared.array((page, dim), np.float32)
        scores = cuda.shared.array(page, np.float32)
        lane = cuda.threadIdx.x
        sequence, head = cuda.blockIdx.x, cuda.blockIdx.y
        mine = (np.int64(sequence) * heads + head) * dim + lane
        touch(ring, query_at + mine * 4, READ)
        asked = query[mine]
        highest = np.float32(-1e30)
        weight = np.float32(0)
        total = np.float32(0)
        for number in range(pages):
            entry = np.int64(sequence) * pages + number
            touch(ring, table_at + entry * 4, READ)
            first = (np.int64(table[entry]) * heads + head) * page * dim + lane
            for token in range(page):
                at = first + token * dim
                touch(ring, keys_at + at * 4, READ)
                products[token, lane] = asked * keys[at]
            cuda.syncthreads()
            if lane < page:
                score = np.float32(0)
                for i in range(dim):
                    score += products[lane, i]
                scores[lane] = score
            cuda.syncthreads()
            top = highest
            for token in range(page):
                top = max(top, scores[token])
            shrink = math.exp(highest - top)
            weight *= shrink
            total *= shrink
            for token in range(page):
                share = math.exp(scores[token] - top)
                weight += share
                at = first + token * dim
                touch(ring, values_at + at * 4, READ)
                total += share * values[at]
            highest = top
            cuda.syncthreads()
        touch(ring, out_at + mine * 4, WRITE)
        out[mine] = total / weight

    return attend


@cuda.jit
def _fill(out, seed, scale):
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = (mix_on_device(i, seed) % 255 - 127) / scale


def _drawn(index: np.ndarray, seed: int, scale: float) -> np.ndarray:
    return ((mix(index, seed) % 255 - 127) / scale).astype(np.float32).astype(np.float64)


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate queries, two pools, and the block table that scatters each sequence's pages over them."""
    sequences, heads, dim, page = (sizes[name] for name in ("sequences", "heads", "dim", "page"))
    pages = sizes["tokens"] // page
    pool = sequences * pages
    query, query_at = card.empty("queries", sequences * heads * dim, np.float32)
    keys, keys_at = card.empty("key pages", pool * heads * page * dim, np.float32)
    values, values_at = card.empty("value pages", pool * heads * page * dim, np.float32)
    places = (np.arange(pool, dtype=np.int64) * _ODD + seed) & (pool - 1)
    table, table_at = card.upload("block table", places.astype(np.int32))
    out, out_at = card.empty("attended", sequences * heads * dim, np.float32)
    grid = (2048, 256) if keys.size >= 1 << 16 else (2, 32)
    _fill[grid](query, seed, 127.0 * math.sqrt(dim))
    _fill[grid](keys, seed + 1, 32.0)
    _fill[grid](values, seed + 2, 127.0)
    attend = kernels(touch, dim, page)

    def run(ring: Any) -> None:
        attend[(sequences, heads), dim](
            ring,
            query,
            keys,
            values,
            table,
            out,
            query_at,
            keys_at,
            values_at,
            table_at,
            out_at,
            pages,
            heads,
        )

    def check() -> str:
        found = out.copy_to_host().reshape(sequences, heads, dim)
        worst = 0.0
        lanes = np.arange(dim)
        chosen = np.linspace(0, sequences * heads - 1, CHECKED).astype(int).tolist()
        for sequence, head in (divmod(number, heads) for number in chosen):
            asked = _drawn((sequence * heads + head) * dim + lanes, seed, 127.0 * math.sqrt(dim))
            mine = places[sequence * pages : (sequence + 1) * pages]
            first = (mine * heads + head) * page * dim
            at = (first[:, None] + np.arange(page) * dim).reshape(-1, 1) + lanes
            scores = _drawn(at, seed + 1, 32.0) @ asked
            share = np.exp(scores - scores.max())
            expected = share @ _drawn(at, seed + 2, 127.0) / share.sum()
            worst = max(worst, float(np.abs(found[sequence, head] - expected).max()))
        if not worst < TOLERANCE:
            raise WrongResultError(f"paged-attention: off by {worst:.2g}, more than {TOLERANCE:g}")
        return (
            f"{len(set(chosen))} of {sequences * heads} results worked out again in float64, off by "
            f"{worst:.1g} at most"
        )

    return Job(run, check)
