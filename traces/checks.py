"""The rules that a trace's events keep, checked block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from traces.errors import TraceError
from traces.events import (
    EVENT,
    EXEC,
    MAP,
    MARK,
    OP_NAMES,
    TLBI,
    TLBI_IPAS2,
    TLBI_IPAS2_LAST,
    TLBI_KIND_MASK,
    TLBI_RANGES,
    TLBI_SYNC,
    UNMAP,
)
from traces.formats import Reach
from traces.manifest import Manifest


class BlockChecker:
    """Checks a trace's blocks in their order.

    Parameters
    ----------
    manifest : Manifest
        Which spaces, streams and marks there are.
    where : str or pathlib.Path
        The file, named in errors.
    thorough : bool
        Also check each event's own fields (sizes, alignment, ranges).  Without it only what a replay
        cannot do without: time, ops, spaces and streams.

    Attributes
    ----------
    row : int
        Rows checked so far.
    counts : numpy.ndarray
        int64, events by op.
    last_ns : int
        Time of the last row; 0 before the first.
    """

    def __init__(self, manifest: Manifest, where: str | Path, *, thorough: bool) -> None:
        self.row = 0
        self.last_ns = 0
        self.counts = np.zeros(len(OP_NAMES), np.int64)
        self._where = where
        self._thorough = thorough
        self._marks = len(manifest.marks)
        self._spaces = len(manifest.spaces)
        self._streams = np.zeros(1 << 16, bool)
        self._streams[[stream.stream for stream in manifest.streams]] = True
        self._reach = Reach(manifest.spaces)

    def _fail(self, bad: np.ndarray, what: str, expected: str, block: np.ndarray, field: str) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            value = int(block[field][at])
            found = f"{value:#x}" if field in ("iova", "size", "pa", "prot") else str(value)
            raise TraceError(what, f"{self._where}: row {self.row + at}", expected, f"{field} {found}")

    def check(self, block: np.ndarray) -> None:
        """Check the next block.

        Parameters
        ----------
        block : numpy.ndarray
            1-D, dtype `traces.events.EVENT`.

        Raises
        ------
        TraceError
            Naming the first row that breaks a rule (rows count from 0).
        """
        if block.dtype != EVENT or block.ndim != 1:
            found = f"{block.ndim}-D {block.dtype}"
            raise TraceError("events of the wrong type", self._where, "1-D traces.events.EVENT", found)
        if not block.size:
            return
        t, op = block["t_ns"], block["op"]
        before = np.empty_like(t)
        before[0], before[1:] = self.last_ns, t[:-1]
        back = t < before
        if back.any():
            at = int(np.argmax(back))
            raise TraceError(
                "time runs backwards", f"{self._where}: row {self.row + at}",
                f"t_ns of {int(before[at])} or later", f"{int(t[at])}",
            )  # fmt: skip
        self._fail(op > MARK, "unknown op", f"0 to {MARK}", block, "op")
        spaced = op != MARK
        self._fail(
            spaced & (block["space"] >= self._spaces),
            "a space that the manifest does not list", f"below {self._spaces}", block, "space",
        )  # fmt: skip
        access = op <= EXEC
        self._fail(
            access & ~self._streams[block["stream"]],
            "a stream that the manifest does not list", "a listed stream ID", block, "stream",
        )  # fmt: skip
        if self._thorough:
            self._check_fields(block, op, access)
        self.counts += np.bincount(op, minlength=len(OP_NAMES))
        self.last_ns = int(t[-1])
        self.row += block.size

    def _check_fields(self, block: np.ndarray, op: np.ndarray, access: np.ndarray) -> None:
        iova, size = block["iova"], block["size"]
        table = (op == MAP) | (op == UNMAP)
        kind = block["prot"] & np.uint16(TLBI_KIND_MASK)
        tlbi = op == TLBI
        self._fail(tlbi & (kind > TLBI_SYNC), "unknown TLBI kind", f"0 to {TLBI_SYNC}", block, "prot")
        dropped = tlbi & np.isin(kind, TLBI_RANGES)
        ranged = access | table | dropped
        self._fail(ranged & (size == 0), "an event of no size", "1 byte or more", block, "size")
        # MARKs have no space; look them up as space 0 rather than out of range.
        space = np.where(op == MARK, 0, block["space"])
        of_ipas = tlbi & ((kind == TLBI_IPAS2) | (kind == TLBI_IPAS2_LAST))
        mask = np.where(of_ipas, self._reach.ipa_masks(space), self._reach.masks(space, iova))
        for field, rows in (("iova", table | dropped), ("size", table | dropped), ("pa", op == MAP)):
            ragged = rows & ((block[field] & mask) != 0)
            self._fail(ragged, "not aligned to the space's granule", f"an aligned {field}", block, field)
        # Accesses may stray anywhere (that is a fault worth replaying); table entries may not.
        beyond = table & ~self._reach.inside(space, iova, size)
        self._fail(beyond, "beyond the space's input address size", "a range inside it", block, "iova")
        self._fail(
            (op == MARK) & (iova >= np.uint64(self._marks)),
            "a mark that the manifest does not list", f"below {self._marks}", block, "iova",
        )  # fmt: skip
