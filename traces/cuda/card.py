"""The device: its memory, with a book of what was allocated, and what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.notes import Allocation
from traces.cuda.probe import SIMULATED, SIMULATED_SMS
from traces.errors import TraceError

#: Where the simulator's memory begins, and how allocations are spaced there.
_SIMULATED_BASE = 0x7F00_0000_0000
_SIMULATED_STEP = 2 << 20


@dataclass
class Card:
    """The device in use.

    Attributes
    ----------
    allocations : list of Allocation
        In the order they were made.
    """

    allocations: list[Allocation] = field(default_factory=list)
    _next: int = _SIMULATED_BASE

    def empty(self, name: str, n: int, dtype: Any) -> tuple[Any, int]:
        """Allocate an array.

        Parameters
        ----------
        name : str
        n : int
            Elements.
        dtype : numpy dtype

        Returns
        -------
        (device array of shape (n,), int)
            The array and its address.

        Raises
        ------
        TraceError
            The device has not so much memory left.
        """
        nbytes = n * np.dtype(dtype).itemsize
        self.check_room(name, nbytes)
        array = cuda.device_array(n, dtype)
        if SIMULATED:
            address = self._next
            self._next += -(-nbytes // _SIMULATED_STEP) * _SIMULATED_STEP
        else:
            address = int(array.__cuda_array_interface__["data"][0])
        self.allocations.append(Allocation(name, address, nbytes))
        return array, address

    def check_room(self, name: str, nbytes: int) -> None:
        """Raise a `TraceError` where the device has not so much memory left."""
        if SIMULATED:
            return
        free, _ = cuda.current_context().get_memory_info()
        # Never the last gigabyte: the driver needs some, and others may share the card.
        if nbytes + (1 << 30) > free:
            expected = f"{nbytes:,} bytes and 1 GiB to spare"
            raise TraceError("too little device memory", name, expected, f"{free:,} bytes")

    def upload(self, name: str, values: np.ndarray) -> tuple[Any, int]:
        """Allocate an array and fill it from the host; as `empty` otherwise."""
        array, address = self.empty(name, values.size, values.dtype)
        array.copy_to_device(np.ascontiguousarray(values))
        return array, address


def describe() -> dict[str, str | int]:
    """Say what device this is: name, SMs, driver and runtime, as far as numba tells."""
    if SIMULATED:
        return {"device": "numba's CUDA simulator", "sms": SIMULATED_SMS, "driver": "none", "simulated": 1}
    device = cuda.get_current_device()
    name = device.name
    _, total = cuda.current_context().get_memory_info()
    return {
        "granularity": _granularity(),
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "sms": int(device.MULTIPROCESSOR_COUNT),
        "driver": _driver(),
        "compute_capability": ".".join(str(part) for part in device.compute_capability),
        "memory_bytes": int(total),
        "simulated": 0,
    }


def _driver() -> str:
    """Name the driver's version, as the kernel module or else CUDA tells it."""
    try:
        first = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
        return re.findall(r"\d+\.\d+(?:\.\d+)?", first)[0]
    except (OSError, IndexError):
        try:
            return "CUDA {}.{}".format(*cuda.cudadrv.driver.driver.get_version())
        except (AttributeError, TypeError, RuntimeError):
            return "unknown"


def _granularity() -> int:
    """Ask the driver in what pieces it backs memory; 0 where it cannot be asked."""
    try:
        from cuda.bindings import driver  # noqa: PLC0415

        wanted = driver.CUmemAllocationProp()
        wanted.type = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        wanted.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        wanted.location.id = 0
        least = driver.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
        error, size = driver.cuMemGetAllocationGranularity(wanted, least)
        return int(size) if int(error) == 0 else 0
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return 0
