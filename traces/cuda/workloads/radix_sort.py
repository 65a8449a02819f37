"""A stable radix sort of pairs: eight passes that read in order and scatter to sixteen moving places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "stable radix sort of key-value pairs, four bits a pass: each pass counts, scans (on the host) "
    "and scatters"
)
FULL = {"n": 1 << 27, "threads": 128, "each": 8, "passes": 8}
SMALL = {"n": 32, "threads": 4, "each": 4, "passes": 8}
_DIGITS = 16


def kernels(touch: Any, threads: int, each: int) -> Any:
    """Make the kernels that count and scatter; a thread has `each` neighbouring pairs."""
    block = threads * each
    slots = _DIGITS * threads

    @cuda.jit
    def count(ring, keys, counts, keys_at, counts_at, shift, blocks):
        seen = cuda.shared.array(slots, np.int32)
        thread = cuda.threadIdx.x
        for digit in range(_DIGITS):
            seen[digit * threads + thread] = 0
        first = np.int64(cuda.blockIdx.x) * block
        # Whole lines: neighbouring threads read neighbouring keys, whoever has them for the order.
        for i in range(each):
            at = first + i * threads + thread
            touch(ring, keys_at + at * 4, READ)
            digit = keys[at] >> shift & (_DIGITS - 1)
            seen[digit * threads + thread] += 1
        cuda.syncthreads()
        if thread < _DIGITS or threads < _DIGITS:
            for digit in range(thread, _DIGITS, threads if threads < _DIGITS else _DIGITS):
                total = 0
                for other in range(threads):
                    total += seen[digit * threads + other]
                place = np.int64(digit) * blocks + cuda.blockIdx.x
                touch(ring, counts_at + place * 8, WRITE)
                counts[place] = total

    @cuda.jit
    def scatter(ring, keys, values, keys_out, values_out, starts, at, shift, blocks):
        seen = cuda.shared.array(slots, np.int32)
        held = cuda.shared.array(block, np.int32)
        carried = cuda.shared.array(block, np.int32)
        thread = cuda.threadIdx.x
        first = np.int64(cuda.blockIdx.x) * block
        for i in range(each):
            from_here = first + i * threads + thread
            touch(ring, at[0] + from_here * 4, READ)
            held[i * threads + thread] = keys[from_here]
            touch(ring, at[1] + from_here * 4, READ)
            carried[i * threads + thread] = values[from_here]
        for digit in range(_DIGITS):
            seen[digit * threads + thread] = 0
        cuda.syncthreads()
        for i in range(each):
            digit = held[thread * each + i] >> shift & (_DIGITS - 1)
            seen[digit * threads + thread] += 1
        cuda.syncthreads()
        if thread < _DIGITS or threads < _DIGITS:
            for digit in range(thread, _DIGITS, threads if threads < _DIGITS else _DIGITS):
                before = 0
                for other in range(threads):
                    mine = seen[digit * threads + other]
                    seen[digit * threads + other] = before
                    before += mine
        cuda.syncthreads()
        for i in range(each):
            key = held[thread * each + i]
            digit = key >> shift & (_DIGITS - 1)
            place = np.int64(digit) * blocks + cuda.blockIdx.x
            touch(ring, at[4] + place * 8, READ)
            to = starts[place] + seen[digit * threads + thread]
            seen[digit * threads + thread] += 1
            touch(ring, at[2] + to * 4, WRITE)
            keys_out[to] = key
            touch(ring, at[3] + to * 4, WRITE)
            values_out[to] = carried[thread * each + i]

    return count, scatter


@cuda.jit
def _fill(keys, values, seed):
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        keys[i] = mix_on_device(i, seed) >> 1
        values[i] = i


@cuda.jit
def _faults(keys, values, seed, wrong):
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        if (
            values[i] < 0
            or values[i] >= keys.size
            or keys[i] != mix_on_device(np.int64(values[i]), seed) >> 1
        ) or (i and (keys[i - 1] > keys[i] or (keys[i - 1] == keys[i] and values[i - 1] >= values[i]))):
            cuda.atomic.add(wrong, 0, 1)


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate two sets of pairs, the counts and the starts; a value is the number of its pair."""
    n, threads, each = sizes["n"], sizes["threads"], sizes["each"]
    blocks = n // (threads * each)
    pairs = [card.empty(f"{what} {i}", n, np.int32) for i in (0, 1) for what in ("keys", "values")]
    (keys, keys_at), (values, values_at), (keys_b, keys_b_at), (values_b, values_b_at) = pairs
    counts, counts_at = card.empty("counts", _DIGITS * blocks, np.int64)
    starts, starts_at = card.empty("starts", _DIGITS * blocks, np.int64)
    there = [keys_at, values_at, keys_b_at, values_b_at]
    tables = [
        cuda.to_device(np.array([*order, starts_at], np.int64)) for order in (there, there[2:] + there[:2])
    ]
    sets = [(keys, values, keys_b, values_b), (keys_b, values_b, keys, values)]
    grid = (4096, 256) if n >= 1 << 16 else (2, 16)
    count, scatter = kernels(touch, threads, each)

    def run(ring: Any) -> None:
        _fill[grid](keys, values, seed)
        for number in range(sizes["passes"]):
            source, values_from, target, values_to = sets[number & 1]
            count[blocks, threads](
                ring, source, counts, there[2 * (number & 1)], counts_at, 4 * number, blocks
            )
            every = counts.copy_to_host()
            starts.copy_to_device(np.cumsum(every) - every)
            scatter[blocks, threads](
                ring, source, values_from, target, values_to, starts, tables[number & 1], 4 * number, blocks
            )

    def check() -> str:
        wrong = cuda.to_device(np.zeros(1, np.int32))
        _faults[grid](keys, values, seed, wrong)
        if bad := int(wrong.copy_to_host()[0]):
            raise WrongResultError(f"radix-sort: {bad} of {n} pairs are out of order or not their own")
        return f"all {n:,} pairs in order, equal keys in their first order, every value with its own key"

    return Job(run, check)
