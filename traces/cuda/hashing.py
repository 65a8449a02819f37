"""One integer hash, the same on the host and on the device, from which workloads draw their data.

Every product stays below 2**63, so plain Python integers, numpy's int64 and the device's agree.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

_MASK = 0xFFFF_FFFF
_FIRST = 0x7FEB_352D
_SECOND = 0x6B4F_1D35


def mix(x: Any, seed: Any) -> Any:
    """Hash 32 bits to 32 bits, one to one for each seed.

    Parameters
    ----------
    x : int or numpy.ndarray of int64
        Only the low 32 bits count.
    seed : int

    Returns
    -------
    int or numpy.ndarray of int64
        In [0, 2**32).

    Examples
    --------
    >>> len({mix(x, 7) for x in range(1000)})
    1000
    >>> 0 <= mix(12345, 1) < 2**32
    True
    """
    x = (x + seed * 0x9E37) & _MASK
    x = (x ^ (x >> 16)) * _FIRST & _MASK
    x = (x ^ (x >> 15)) * _SECOND & _MASK
    return x ^ (x >> 16)


def cubed(h: Any, n: Any) -> Any:
    """Turn a hash into an index below `n` that is small more often than not (the cube of a uniform draw).

    Examples
    --------
    >>> cubed(0, 100), cubed(2**32 - 1, 100)
    (0, 99)
    """
    q = h >> 1
    return ((q * q >> 31) * q >> 31) * n >> 31


#: The same two on the device.
mix_on_device = cuda.jit(device=True)(mix)
cubed_on_device = cuda.jit(device=True)(cubed)
