"""Draws of wake-up times (K3), which only the run's seed decides.

Draw n of a run is the quantile that the top bits of splitmix64's output n name.
"""

from __future__ import annotations

import numpy as np

from smmucore.kernel import kernel

U1 = np.uint64(1)
U27 = np.uint64(27)
U30 = np.uint64(30)
U31 = np.uint64(31)
U32 = np.uint64(32)
TOP_TEN = np.uint64(54)
LOW_HALF = np.uint64(0xFFFF_FFFF)
GAMMA = np.uint64(0x9E37_79B9_7F4A_7C15)
MIX_1 = np.uint64(0xBF58_476D_1CE4_E5B9)
MIX_2 = np.uint64(0x94D0_49BB_1331_11EB)


@kernel
def product(a, b):
    """Return the low 64 bits of a product, from halves: plain Python warns where compiled code wraps."""
    low = (a & LOW_HALF) * (b & LOW_HALF)
    crossed = ((a >> U32) * (b & LOW_HALF) & LOW_HALF) + ((a & LOW_HALF) * (b >> U32) & LOW_HALF)
    high = ((low >> U32) + crossed) & LOW_HALF
    return (high << U32) | (low & LOW_HALF)


@kernel
def total(a, b):
    """Return the low 64 bits of a sum."""
    low = (a & LOW_HALF) + (b & LOW_HALF)
    high = ((a >> U32) + (b >> U32) + (low >> U32)) & LOW_HALF
    return (high << U32) | (low & LOW_HALF)


@kernel
def splitmix64(seed, n):
    """Return output `n`, from 0, of splitmix64 (Steele, Lea, Flood 2014) started at `seed`."""
    z = total(seed, product(n + U1, GAMMA))
    z = product(z ^ (z >> U30), MIX_1)
    z = product(z ^ (z >> U27), MIX_2)
    return z ^ (z >> U31)


@kernel
def draw(quantiles, kind, seed, n):
    """Return how long wake-up `n` of the run takes: of a thread or of a worker."""
    if quantiles.shape[1] == 1:
        return quantiles[kind, 0]
    return quantiles[kind, np.int64(splitmix64(seed, np.uint64(n)) >> TOP_TEN)]


@kernel
def time_to_wake(host, kind):
    """Draw how long the machine's next wake-up takes."""
    n = host.clock.wakes
    host.clock.wakes += 1
    return draw(host.wakes, kind, host.plan.seed, n)
