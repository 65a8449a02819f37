"""Makes events of a table's columns, whatever file the table was in."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from traces.errors import TraceError
from traces.events import (
    EVENT,
    EXEC,
    MAP,
    MARK,
    OP_NAMES,
    PA_UNKNOWN,
    PROT_PRIV,
    PROT_READ,
    PROT_WRITE,
    READ,
    TLBI,
    TLBI_ASID,
    TLBI_KIND_MASK,
    TLBI_RANGES,
    TLBI_SYNC,
    UNMAP,
)
from traces.importers.cells import WORDS_OF_OP, WORDS_OF_PROT, Cells, numbers, times
from traces.importers.result import MOST_MARKS, Draft, as_granule
from traces.importers.source import Source

#: Field of time -> nanoseconds of its unit.
UNITS = {"t_ns": 1, "t_us": 1_000, "t_ms": 1_000_000, "t_s": 1_000_000_000}
FIELDS = (*UNITS, "op", "stream", "space", "iova", "size", "pa", "prot")

#: What columns are called elsewhere; a column of a field's own name needs no entry.
NAMES = {
    "time_ns": "t_ns", "timestamp_ns": "t_ns", "time_us": "t_us", "timestamp_us": "t_us", "time_ms": "t_ms",
    "time_s": "t_s", "type": "op", "kind": "op", "rw": "op", "access": "op", "sid": "stream",
    "stream_id": "stream", "streamid": "stream", "asid": "space", "addr": "iova", "address": "iova",
    "va": "iova", "vaddr": "iova", "bytes": "size", "len": "size", "length": "size",
    "paddr": "pa", "phys": "pa", "perm": "prot", "rights": "prot",
}  # fmt: skip

#: Bytes of an access where the table has no size, and what is said of it.
DEFAULT_SIZE = 64
#: Numbers of spaces that a table may use.
MOST_SPACES = 4096


class Layout:
    """Which column holds which field.

    Parameters
    ----------
    names : sequence of str
        The table's columns.
    wanted : dict of str to str
        The user's column -> field, or ``field:hex`` for hexadecimal without ``0x``.
    where : str
        The file, named in errors.

    Attributes
    ----------
    columns : dict of str to int
        Field -> position of its column.
    hexadecimal : set of str
        Fields whose numbers are hexadecimal without saying so.

    Raises
    ------
    TraceError
        No such column or field, two columns for one field, or none for `iova`.
    """

    def __init__(self, names: Sequence[str], wanted: dict[str, str], where: str) -> None:
        self.columns: dict[str, int] = {}
        self.hexadecimal: set[str] = set()
        self.names = list(names)
        for column, said in wanted.items():
            field, _, form = said.partition(":")
            if column not in names:
                raise TraceError(f"--map {column}={said}: no such column", where, _near(column, names), "")
            if field not in FIELDS or form not in ("", "hex"):
                expected = f"one of {', '.join(FIELDS)}, perhaps with :hex"
                raise TraceError(f"--map {column}={said}: no such field", where, expected, repr(said))
            self._take(field, self.names.index(column), where)
            if form:
                self.hexadecimal.add(field)
        for position, name in enumerate(names):
            lower = name.strip().lower()
            field = lower if lower in FIELDS else NAMES.get(lower, "")
            if field and name not in wanted and not self._has(field):
                self._take(field, position, where)
        if "iova" not in self.columns:
            found = ", ".join(names)[:200] or "none"
            raise TraceError("no column for iova", where, "a column iova, or --map COLUMN=iova", found)

    def _has(self, field: str) -> bool:
        return field in self.columns or (field in UNITS and any(unit in self.columns for unit in UNITS))

    def _take(self, field: str, position: int, where: str) -> None:
        if self._has(field) or self.names.count(self.names[position]) > 1:
            raise TraceError(f"two columns for {field}", where, "one", self.names[position])
        self.columns[field] = position

    def describe(self) -> str:
        """Say which column became which field."""
        parts = [
            f"{self.names[at]} as {field}{' (hexadecimal)' if field in self.hexadecimal else ''}"
            for field, at in self.columns.items()
        ]
        return ", ".join(part[:100] for part in parts)


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, list(names)[:200], n=3) or list(names)[:10]
    return f"one of {', '.join(near)}"[:200]


class TableReader:
    """Converts blocks of a table's rows to events.

    Parameters
    ----------
    source : Source
    draft : Draft
    layout : Layout
    granule : int
        Bytes of the tables' smallest pages; 0: 4096.
    """

    def __init__(self, source: Source, draft: Draft, layout: Layout, granule: int = 0) -> None:
        self.source = source
        self.draft = draft
        self.layout = layout
        self.granule = draft.granule = as_granule(granule)
        self.rows = 0
        self.start = self.last = -1
        self.assumed: Counter[str] = Counter()
        self.ops: Counter[int] = Counter()

    def convert(self, columns: dict[str, Any], places: Sequence[int], place: str) -> np.ndarray:
        """Convert a block.

        Parameters
        ----------
        columns : dict of str to pyarrow.Array
            Field -> its cells, text or numbers.
        places : sequence of int
            Number of each row in the file.
        place : str
            What those number: ``line`` or ``row``.

        Returns
        -------
        numpy.ndarray
            1-D, dtype `traces.events.EVENT`: the rows that are whole.
        """
        n = len(places)
        cells = {field: self._cells(field, column) for field, column in columns.items()}
        out = np.zeros(n, EVENT)
        op = self._filled(cells, "op", n, np.uint64(READ))
        problems: list[tuple[np.ndarray, str, str, str]] = [
            (cell.bad, f"a bad {field}", cell.expected, field) for field, cell in cells.items()
        ]
        problems.append((op > MARK, "a bad op", "0 to 6, or a word such as READ or MAP", "op"))
        access, table = op <= EXEC, (op == MAP) | (op == UNMAP)
        stream = self._filled(cells, "stream", n, np.uint64(0))
        space = self._filled(cells, "space", n, np.uint64(0))
        iova = self._filled(cells, "iova", n, None)
        size = self._sizes(cells, n, access)
        pa = self._filled(cells, "pa", n, np.where(access, PA_UNKNOWN, np.uint64(0)))
        tlbi = op == TLBI
        kind_if_none = np.where(tlbi & (size == 0), np.uint64(TLBI_ASID), np.uint64(0))
        prot = self._filled(
            cells, "prot", n, np.where(op == MAP, np.uint64(PROT_READ | PROT_WRITE), kind_if_none)
        )
        kind = prot & np.uint64(TLBI_KIND_MASK)
        ranged = table | tlbi & np.isin(kind, np.array(TLBI_RANGES, np.uint64))
        upper = iova >> np.uint64(48)
        end = iova + (size - np.uint64(1))
        in_page = np.uint64(self.granule - 1)
        page = f"{self.granule >> 10} KiB page"
        missing_pa = (op == MAP) & self._absent(cells, "pa", n)
        problems += [
            (self._absent(cells, "iova", n) & ranged | self._absent(cells, "iova", n) & access, "no iova",
             "an address", "iova"),
            (stream > 0xFFFF, "a bad stream", "0 to 65535", "stream"),
            (space >= MOST_SPACES, "a bad space", f"0 to {MOST_SPACES - 1}", "space"),
            ((access | ranged) & (size == 0), "a bad size", "1 or more", "size"),
            (size > 1 << 48, "a bad size", "48 bits", "size"),
            (missing_pa, "a MAP without pa", "an output address", "pa"),
            (ranged & (((iova | size) & in_page) != 0), "a range of no whole pages", f"{page}s", "iova"),
            ((op == MAP) & ((pa & in_page) != 0), "a bad pa of a MAP", f"the start of a {page}", "pa"),
            ((op == MAP) & (pa >= 1 << 52), "a bad pa of a MAP", "52 bits", "pa"),
            (table & (~np.isin(upper, np.array([0, 1, 0xFFFF], np.uint64)) | (end >> np.uint64(48) != upper)),
             "a range beyond its half", "48 bits, or an Adreno's upper half", "iova"),
            (tlbi & (kind > TLBI_SYNC), "a bad kind of TLBI", f"0 to {TLBI_SYNC}", "prot"),
            (prot > 0xFFFF, "a bad prot", "16 bits", "prot"),
            ((op == MARK) & (iova >= MOST_MARKS), "a bad mark", f"an iova below {MOST_MARKS}", "iova"),
        ]  # fmt: skip
        good = ~np.logical_or.reduce([bad for bad, *_ in problems])
        t, late = self._times(cells, n, good)
        problems.append((late, "time runs backwards", "no earlier than the row before", "time"))
        good &= ~late
        for row in np.flatnonzero(~good).tolist():
            what, expected, field = next(p[1:] for p in problems if p[0][row])
            found = self._found(columns, field, row)
            self.source.dropped.refuse(what, f"{self.source.path}: {place} {places[row]}", expected, found)
        for name, values in (("t_ns", t), ("op", op), ("iova", iova), ("size", size), ("pa", pa)):
            out[name] = values
        marks = op == MARK
        out["stream"] = np.where(access, stream, 0)
        out["space"] = np.where(marks, 0, space)
        # Of rights an access has one: whether it is privileged.
        out["prot"] = np.where(access, prot & np.uint64(PROT_PRIV), prot)
        for name in ("size", "pa", "prot"):
            out[name][marks] = 0
        out["pa"][~(access | (op == MAP))] = 0
        return self._finish(out[good])

    def _cells(self, field: str, column: Any) -> Cells:
        if field in UNITS:
            return times(column, UNITS[field])
        words = WORDS_OF_OP if field == "op" else WORDS_OF_PROT if field == "prot" else {}
        return numbers(column, field in self.layout.hexadecimal, words)

    def _absent(self, cells: dict[str, Cells], field: str, n: int) -> np.ndarray:
        return cells[field].absent if field in cells else np.ones(n, bool)

    def _filled(self, cells: dict[str, Cells], field: str, n: int, default: Any) -> np.ndarray:
        fill = np.uint64(0) if default is None else default
        if field not in cells:
            return np.broadcast_to(fill, n).astype(np.uint64)
        cell = cells[field]
        return np.where(cell.absent, fill, cell.values)

    def _sizes(self, cells: dict[str, Cells], n: int, access: np.ndarray) -> np.ndarray:
        default = np.where(access, np.uint64(DEFAULT_SIZE), np.uint64(0))
        self.assumed["size"] += int((self._absent(cells, "size", n) & access).sum())
        return self._filled(cells, "size", n, default)

    def _times(self, cells: dict[str, Cells], n: int, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's time from the start, and which rows are earlier than one before."""
        field = next((field for field in UNITS if field in cells), None)
        if field is None:
            t = np.arange(self.rows, self.rows + n, dtype=np.int64)
            late = np.zeros(n, bool)
        else:
            t = self._filled(cells, field, n, np.uint64(0)).astype(np.int64)
            # An empty cell has the time of the row before; a bad row's time counts for nothing.
            none = cells[field].absent | ~good
            known = np.where(none, -1, t)
            latest = np.maximum.accumulate(np.concatenate(([self.last], known)))[:-1]
            late = ~none & (t < latest)
            t = np.where(cells[field].absent, np.maximum(latest, 0), t)
            self.last = max(self.last, int(known.max(initial=-1)))
        self.rows += n
        whole = good & ~late
        if self.start < 0 and whole.any():
            self.start = int(t[np.argmax(whole)])
        return np.maximum(t - max(self.start, 0), 0).astype(np.uint64), late

    def _found(self, columns: dict[str, Any], field: str, row: int) -> str:
        if field == "time":
            field = next(unit for unit in UNITS if unit in columns)
        if field not in columns:
            return f"no column {field}"
        return repr(columns[field][row].as_py())[:80]

    def _finish(self, events: np.ndarray) -> np.ndarray:
        ops, n = np.unique(events["op"], return_counts=True)
        self.ops.update(dict(zip(ops.tolist(), n.tolist(), strict=True)))
        table = (events["op"] == MAP) | (events["op"] == UNMAP)
        self.draft.upper.update(
            np.unique(events["space"][table & (events["iova"] >> np.uint64(48) != 0)]).tolist()
        )
        marks = events["iova"][events["op"] == MARK]
        for number in range(len(self.draft.marks), int(marks.max(initial=0)) + 1 if marks.size else 0):
            self.draft.marks.append(f"mark {number}")
        return events

    def conclude(self) -> None:
        """Say in the manifest what was assumed."""
        draft, columns = self.draft, self.layout.columns
        draft.notes.append(f"Columns: {self.layout.describe()}.")
        left = [name for at, name in enumerate(self.layout.names) if at not in columns.values()]
        if left:
            draft.notes.append(f"Columns left out: {', '.join(left)[:400]}.")
        if self.assumed["size"]:
            draft.notes.append(
                f"Sizes: {self.assumed['size']:,} accesses have none and count as {DEFAULT_SIZE} bytes."
            )
        if not any(unit in columns for unit in UNITS):
            draft.clock = "the row's number: the table has no time"
        if "op" not in columns:
            draft.direction = "Unknown: the table does not tell reads from writes, and all are reads here."
        if self.ops[TLBI]:
            draft.invalidation = "explicit"
        draft.not_contained += [
            f"{name} events: the table has none."
            + (" Every access of a replay finds its page unmapped." if name == "MAP" else "")
            for name in (OP_NAMES[op] for op in (MAP, UNMAP, TLBI) if not self.ops[op])
        ]


def draft_of(source: Source, tool: str) -> Draft:
    """Return the beginnings of a table's manifest."""
    return Draft(
        title=f"A table of events, {source.path.name.encode(errors='replace').decode()}",
        kind="derived",
        source="a table that somebody made; it does not say who, how, or from what",
        device="not in the file",
        tool=tool,
        tool_version="",
        clock="the table's time, from its first row; it does not say of what clock",
        direction="The table's word for it.",
    )
