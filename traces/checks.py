"""The rules that a trace's events keep, checked block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from traces.columns import Columns
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

    def _fail(self, bad: np.ndarray, what: str, expected: str, values: np.ndarray, field: str) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            value = int(values[at])
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
        self._check_time(t)
        self._check_common(op, block["stream"], block["space"])
        if self._thorough:
            self._check_fields(block, op, op <= EXEC)
        self.counts += np.bincount(op, minlength=len(OP_NAMES))
        self.last_ns = int(t[-1])
        self.row += block.size

    def _check_common(self, op: np.ndarray, stream: np.ndarray, space: np.ndarray) -> None:
        self._fail(op > MARK, "unknown op", f"0 to {MARK}", op, "op")
        self._fail(
            (op != MARK) & (space >= self._spaces),
            "a space that the manifest does not list", f"below {self._spaces}", space, "space",
        )  # fmt: skip
        self._fail(
            (op <= EXEC) & ~self._streams[stream],
            "a stream that the manifest does not list", "a listed stream ID", stream, "stream",
        )  # fmt: skip

    def check_columns(self, columns: Columns) -> None:
        """Check the next block, given by column, as `check` does without `thorough`.

        Time counts only where it is there; operations, streams and spaces must be.
        """
        same, arrays = columns.same, columns.arrays
        if "t_ns" in arrays or "t_ns" in same:
            t = arrays["t_ns"] if "t_ns" in arrays else np.array([same["t_ns"]], np.uint64)
            self._check_time(t)
            self.last_ns = int(t[-1])
        op, stream, space = same.get("op", MARK), same.get("stream"), same.get("space", self._spaces)
        # Most blocks are alike, and one event stands for all.
        if op <= EXEC and space < self._spaces and stream is not None and self._streams[stream]:
            self.counts[op] += columns.rows
        else:
            self._check_common(columns.array("op"), columns.array("stream"), columns.array("space"))
            self.counts += np.bincount(columns.array("op"), minlength=len(OP_NAMES))
        self.row += columns.rows

    def _check_time(self, t: np.ndarray) -> None:
        if int(t[0]) >= self.last_ns and not (t[1:] < t[:-1]).any():
            return
        before = np.empty_like(t)
        before[0], before[1:] = self.last_ns, t[:-1]
        at = int(np.argmax(t < before))
        raise TraceError(
            "time runs backwards", f"{self._where}: row {self.row + at}",
            f"t_ns of {int(before[at])} or later", f"{int(t[at])}",
        )  # fmt: skip

    def _check_fields(self, block: np.ndarray, op: np.ndarray, access: np.ndarray) -> None:
        iova, size = block["iova"], block["size"]
        table = (op == MAP) | (op == UNMAP)
        kind = block["prot"] & np.uint16(TLBI_KIND_MASK)
        tlbi = op == TLBI
        self._fail(tlbi & (kind > TLBI_SYNC), "unknown TLBI kind", f"0 to {TLBI_SYNC}", block["prot"], "prot")
        dropped = tlbi & np.isin(kind, TLBI_RANGES)
        ranged = access | table | dropped
        self._fail(ranged & (size == 0), "an event of no size", "1 byte or more", size, "size")
        # MARKs have no space; look them up as space 0 rather than out of range.
        space = np.where(op == MARK, 0, block["space"])
        of_ipas = tlbi & ((kind == TLBI_IPAS2) | (kind == TLBI_IPAS2_LAST))
        mask = np.where(of_ipas, self._reach.ipa_masks(space), self._reach.masks(space, iova))
        for field, rows in (("iova", table | dropped), ("size", table | dropped), ("pa", op == MAP)):
            ragged = rows & ((block[field] & mask) != 0)
            self._fail(
                ragged, "not aligned to the space's granule", f"an aligned {field}", block[field], field
            )
        # Accesses may stray anywhere (that is a fault worth replaying); table entries may not.
        beyond = table & ~self._reach.inside(space, iova, size)
        self._fail(beyond, "beyond the space's input address size", "a range inside it", iova, "iova")
        self._fail(
            (op == MARK) & (iova >= np.uint64(self._marks)),
            "a mark that the manifest does not list", f"below {self._marks}", iova, "iova",
        )  # fmt: skip
