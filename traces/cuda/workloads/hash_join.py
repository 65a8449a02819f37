"""A hash join: a table built by CAS and probed, both at addresses that a hash draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.card import Card
from traces.cuda.hashing import mix_on_device
from traces.cuda.recorder import READ, WRITE
from traces.cuda.workloads.job import Job, WrongResultError

WHAT = (
    "hash join: build an open-addressing table (linear probing, half full), then probe it with "
    "twice as many keys"
)
FULL = {"n": 1 << 26, "threads": 256}
SMALL = {"n": 32, "threads": 16}
#: Odd, so that multiplying by it shuffles the numbers below a power of two.
_ODD = 0x2545_F491


def kernels(touch: Any) -> Any:
    """Make the kernels that build and probe."""

    @cuda.jit
    def build(ring, given, keys, payloads, given_at, keys_at, payloads_at, seed):
        for i in range(cuda.grid(1), given.size, cuda.gridsize(1)):
            touch(ring, given_at + np.int64(i) * 8, READ)
            key = given[i]
            slot = np.int64(mix_on_device(key, seed + 1)) & (keys.size - 1)
            touch(ring, keys_at + slot * 8, WRITE)
            while cuda.atomic.cas(keys, slot, -1, key) != -1:
                slot = (slot + 1) & (keys.size - 1)
                touch(ring, keys_at + slot * 8, WRITE)
            touch(ring, payloads_at + slot * 8, WRITE)
            payloads[slot] = i

    @cuda.jit
    def probe(ring, sought, keys, payloads, out, sought_at, keys_at, payloads_at, out_at, seed):
        for i in range(cuda.grid(1), sought.size, cuda.gridsize(1)):
            touch(ring, sought_at + np.int64(i) * 8, READ)
            key = sought[i]
            slot = np.int64(mix_on_device(key, seed + 1)) & (keys.size - 1)
            touch(ring, keys_at + slot * 8, READ)
            there = keys[slot]
            while there != key and there != -1:  # noqa: PLR1714 (a tuple would be built on the device)
                slot = (slot + 1) & (keys.size - 1)
                touch(ring, keys_at + slot * 8, READ)
                there = keys[slot]
            result = np.int64(-1)
            if there == key:
                touch(ring, payloads_at + slot * 8, READ)
                result = payloads[slot]
            touch(ring, out_at + np.int64(i) * 8, WRITE)
            out[i] = result

    return build, probe


@cuda.jit
def _fill(given, sought, seed):
    for i in range(cuda.grid(1), sought.size, cuda.gridsize(1)):
        if i < given.size:
            given[i] = mix_on_device(i, seed)
        sought[i] = mix_on_device(i * _ODD & (sought.size - 1), seed)


@cuda.jit
def _empty(keys, out):
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        keys[i] = -1
        out[i] = -2


@cuda.jit
def _faults(given, out, wrong):
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        number = i * _ODD & (out.size - 1)
        if out[i] != (number if number < given.size else -1):
            cuda.atomic.add(wrong, 0, 1)


def make(card: Card, touch: Any, seed: int, sizes: dict[str, int]) -> Job:
    """Allocate `n` keys, the table of 2 n slots and 2 n sought keys; keys are distinct (one-to-one)."""
    n, threads = sizes["n"], sizes["threads"]
    given, given_at = card.empty("build keys", n, np.int64)
    sought, sought_at = card.empty("probe keys", 2 * n, np.int64)
    keys, keys_at = card.empty("table keys", 2 * n, np.int64)
    payloads, payloads_at = card.empty("table payloads", 2 * n, np.int64)
    out, out_at = card.empty("joined", 2 * n, np.int64)
    grid = (4096, threads) if n >= 1 << 16 else (2, threads)
    _fill[grid](given, sought, seed)
    build, probe = kernels(touch)

    def run(ring: Any) -> None:
        _empty[grid](keys, out)
        build[grid](ring, given, keys, payloads, given_at, keys_at, payloads_at, seed)
        probe[grid](ring, sought, keys, payloads, out, sought_at, keys_at, payloads_at, out_at, seed)

    def check() -> str:
        wrong = cuda.to_device(np.zeros(1, np.int32))
        _faults[grid](given, out, wrong)
        if bad := int(wrong.copy_to_host()[0]):
            raise WrongResultError(f"hash-join: {bad} of {2 * n} probes found the wrong row")
        return f"all {2 * n:,} probes found their row, or rightly none"

    return Job(run, check)
