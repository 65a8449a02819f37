"""The captured bytes of buffers, found by address; those that are too many for memory wait in a file."""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from types import TracebackType

#: Bytes that are held in memory.
IN_MEMORY = 64 << 20


class Contents:
    """The bytes of the buffers of one list.  Use it in ``with``."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  (closed by __exit__)
        self._at: dict[
            int, tuple[int, int, int]
        ] = {}  # address -> place in the file, bytes there, and in all
        self._starts: list[int] | None = None
        self._end = 0

    def __enter__(self) -> Contents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def clear(self) -> None:
        """Forget every buffer."""
        self._at.clear()
        self._starts = None
        self._end = 0
        self._file.seek(0)
        self._file.truncate()

    def begin(self, iova: int) -> None:
        """Begin a buffer's bytes; `write` adds them.  An address that was there counts as written anew."""
        self._at.pop(iova, None)
        self._at[iova] = (self._end, 0, 0)
        self._starts = None

    def write(self, data: bytes) -> None:
        """Add bytes to the buffer that was begun last."""
        iova = next(reversed(self._at))
        place, size, _ = self._at[iova]
        self._file.seek(place + size)
        self._file.write(data)
        size += len(data)
        self._at[iova] = (place, size, size)
        self._end = place + size

    def pad(self, size: int) -> None:
        """Say that the buffer that was begun last has `size` bytes: those not written are zeros."""
        iova = next(reversed(self._at))
        place, has, _ = self._at[iova]
        self._at[iova] = (place, has, max(has, size))

    def drop(self) -> None:
        """Forget the buffer that was begun last."""
        self._at.popitem()
        self._starts = None

    def read(self, iova: int, size: int) -> bytes | None:
        """Return bytes; None where not all of them were captured, in one buffer."""
        if self._starts is None:
            self._starts = sorted(self._at)
        at = bisect_right(self._starts, iova) - 1
        if at < 0:
            return None
        start = self._starts[at]
        place, has, whole = self._at[start]
        if iova + size > start + whole:
            return None
        offset = iova - start
        self._file.seek(place + offset)
        return self._file.read(max(0, min(size, has - offset))).ljust(size, b"\0")
