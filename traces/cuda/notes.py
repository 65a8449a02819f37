"""What a run noted, and what was allocated: plain data, which needs neither a GPU nor numba."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Bytes of a sector: what an NVIDIA GPU's caches fetch at the least, and what a note stands for.
SECTOR = 32


@dataclass(frozen=True)
class Allocation:
    """A piece of device memory: its name, its first byte's address and its bytes."""

    name: str
    address: int
    nbytes: int


@dataclass(frozen=True)
class Notes:
    """What one run noted, SM by SM, each in the order in which its ring was filled.

    Attributes
    ----------
    sm : numpy.ndarray of uint16, shape (n,)
    since_ns : numpy.ndarray of int64, shape (n,)
        The timer that all SMs share, since the run began.
    cycles : numpy.ndarray of int64, shape (n,)
        The SM's own clock.
    sector : numpy.ndarray of int64, shape (n,)
        Device address / 32.
    warp : numpy.ndarray of uint8, shape (n,)
        Warp slot of the SM.
    write : numpy.ndarray of bool, shape (n,)
    lost : numpy.ndarray of int64, shape (sms,)
        For each SM, what fell into the window and did not fit into its ring.
    """

    sm: np.ndarray
    since_ns: np.ndarray
    cycles: np.ndarray
    sector: np.ndarray
    warp: np.ndarray
    write: np.ndarray
    lost: np.ndarray
