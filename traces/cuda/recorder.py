"""The ring in device memory that kernels note their accesses in, and the host's side of it.

The ring is one int64 array: a header, a cursor for each SM (32 bytes apart, so that SMs do not share a
sector), and for each SM as many records of three words as fit. A cursor goes on counting when its SM's
records are full: what did not fit is known, and never silently gone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from traces.cuda.notes import Notes
from traces.cuda.probe import claim, cycles, sm_number, timer_ns, warp_number

#: Words of the header: the timer when the run began; ns after that from which notes are taken; records for
#: each SM; one block in how many takes notes; SMs.
EPOCH, BEGIN, CAPACITY, SAMPLE, SMS = range(5)
HEADER = 16
#: Words between cursors.
STRIDE = 4
#: Words of a record: ns since the epoch; the SM's cycles; the sector, the warp slot, and 1 for a write.
WORDS = 3
_WARP_BITS = 7

READ, WRITE = 0, 1

#: A time that no run reaches.
NEVER = 1 << 60


@cuda.jit(device=True)
def note(ring: Any, address: Any, kind: Any) -> None:
    """Note an access of this thread: `kind` is `READ` or `WRITE`, `address` a byte address."""
    # Both clocks first, with nothing between them: a load of the ring's header can take microseconds.
    timer = timer_ns()
    now = cycles()
    since = timer - ring[EPOCH]
    if since >= ring[BEGIN]:
        block = cuda.blockIdx.x + cuda.blockIdx.y * cuda.gridDim.x
        if block % ring[SAMPLE] == 0:
            sm = np.int64(sm_number())
            sector = np.int64(address) >> 5  # of SECTOR bytes
            place = claim(ring, HEADER + sm * STRIDE, sector * 2 + kind)
            if 0 <= place < ring[CAPACITY]:
                at = HEADER + ring[SMS] * STRIDE + (sm * ring[CAPACITY] + place) * WORDS
                ring[at] = since
                ring[at + 1] = now
                ring[at + 2] = ((sector << _WARP_BITS) | np.int64(warp_number())) * 2 + kind


@cuda.jit(device=True)
def plain(ring: Any, address: Any, kind: Any) -> None:
    """Note nothing: kernels made with it are the ones to compare run times with."""


@cuda.jit
def _begin(ring: Any) -> None:
    """Empty the ring and start its clock; one thread."""
    for sm in range(ring[SMS]):
        ring[HEADER + sm * STRIDE] = 0
    ring[EPOCH] = timer_ns()


class Ring:
    """A ring, seen from the host.

    Parameters
    ----------
    sms : int
        SMs of the device.
    capacity : int
        Records for each SM.
    """

    def __init__(self, sms: int, capacity: int) -> None:
        self.sms, self.capacity = sms, capacity
        self._host = np.zeros(HEADER + sms * (STRIDE + capacity * WORDS), np.int64)
        self.device = cuda.to_device(self._host)

    @property
    def nbytes(self) -> int:
        """Bytes of device memory."""
        return int(self._host.nbytes)

    def open(self, begin_ns: int, sample: int = 1, capacity: int | None = None) -> None:
        """Choose what is noted.

        Parameters
        ----------
        begin_ns : int
            Notes are taken from then on, after the run's start; `NEVER` for none.
        sample : int
            Only every so many-th thread block takes notes.
        capacity : int, optional
            Records for each SM; 0 counts and keeps nothing. As many as there are if not given.
        """
        header = np.zeros(HEADER, np.int64)
        header[[BEGIN, CAPACITY, SAMPLE, SMS]] = (
            begin_ns, self.capacity if capacity is None else min(capacity, self.capacity), sample, self.sms,
        )  # fmt: skip
        self.device[:HEADER].copy_to_device(header)

    def begin(self) -> None:
        """Empty the ring, and start its clock: the next kernel's accesses are the first."""
        _begin[1, 1](self.device)

    def counted(self) -> np.ndarray:
        """Return how many accesses each SM would have noted, room or not: int64 of shape (sms,)."""
        stop = HEADER + self.sms * STRIDE
        return self.device[:stop].copy_to_host()[HEADER::STRIDE].copy()

    def read(self) -> Notes:
        """Copy the notes to the host."""
        words = self.device.copy_to_host()
        counted = words[HEADER : HEADER + self.sms * STRIDE : STRIDE]
        kept = np.minimum(counted, words[CAPACITY])
        records = words[HEADER + self.sms * STRIDE :]
        if words[CAPACITY]:
            size = int(words[CAPACITY]) * WORDS
            parts = [records[sm * size : sm * size + int(n) * WORDS] for sm, n in enumerate(kept)]
            rows = np.concatenate(parts).reshape(-1, WORDS)
        else:
            rows = np.empty((0, WORDS), np.int64)
        packed = rows[:, 2]
        return Notes(
            sm=np.repeat(np.arange(self.sms, dtype=np.uint16), kept if words[CAPACITY] else 0),
            since_ns=rows[:, 0].copy(),
            cycles=rows[:, 1].copy(),
            sector=packed >> (_WARP_BITS + 1),
            warp=(packed >> 1 & ((1 << _WARP_BITS) - 1)).astype(np.uint8),
            write=(packed & 1).astype(bool),
            lost=counted - kept,
        )
