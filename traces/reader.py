"""Reads traces, a block at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from traces.checks import BlockChecker
from traces.columns import Columns
from traces.errors import TraceError
from traces.events import EVENT, EXEC
from traces.manifest import METADATA_KEY, Manifest, parse_manifest

#: The columns of a trace file: `EVENT`'s, in its order.
SCHEMA = pa.schema(
    [pa.field(name, pa.from_numpy_dtype(EVENT[name]), nullable=False) for name in EVENT.names or ()]
)

#: The greatest value of each column, and those that are hardly ever the same throughout a row group.
_MOST = {name: int(np.iinfo(EVENT[name]).max) for name in SCHEMA.names}
_EVER_NEW = ("t_ns", "iova")

#: Rows of a block of columns: a row group of ours.
BLOCK = 1 << 17

#: Both ends of every Parquet file.
_MAGIC = b"PAR1"


class Trace:
    """A trace file, opened.  Made by `open_trace`.

    Attributes
    ----------
    path : pathlib.Path
    manifest : Manifest
    rows : int
        Events in the file.
    """

    def __init__(self, path: Path, manifest: Manifest, rows: int) -> None:
        self.path = path
        self.manifest = manifest
        self.rows = rows
        self._sha256: str | None = None
        #: Row group -> what its statistics say; a replay passes over a trace several times.
        self._said: dict[int, dict[str, tuple[int, int]]] = {}

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in lower-case hex (read once, then kept)."""
        if self._sha256 is None:
            with self.path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sha256

    def blocks(self, rows: int = 65536, *, thorough: bool = False) -> Iterator[np.ndarray]:
        """Stream the events, holding about one row group in memory.

        Parameters
        ----------
        rows : int
            Most rows of one block.
        thorough : bool
            Check every field of every event, not only what a replay relies on.

        Yields
        ------
        numpy.ndarray
            1-D, dtype `traces.events.EVENT`, in the file's order; never empty.

        Raises
        ------
        TraceError
            Damaged data, time running backwards, an unknown op, or a space or stream that the
            manifest does not list; raised before the block that holds it is yielded.
        """
        checker = BlockChecker(self.manifest, self.path, thorough=thorough)
        for columns in self._pieces(SCHEMA.names, rows, trusting=not thorough):
            block = columns.events()
            checker.check(block)
            yield block

    def columns(
        self, fields: Sequence[str] = SCHEMA.names, rows: int = BLOCK, *, of_tables: Sequence[str] = ()
    ) -> Iterator[Columns]:
        """Stream some fields of the events by column, holding about one row group in memory.

        That is several times as fast as `blocks`, where a trace's accesses are alike: what the file's
        statistics say is the same throughout a row group is not decoded.

        Parameters
        ----------
        fields : sequence of str
            Of `traces.events.EVENT`; op, stream and space are read in any case.
        rows : int
            Most rows of one block.
        of_tables : sequence of str
            Fields that are left out (0 throughout) where the statistics say that there are only accesses.

        Yields
        ------
        Columns
            Never of no rows.

        Raises
        ------
        TraceError
            As `blocks`, but that time goes unchecked where it is not asked for.
        """
        checker = BlockChecker(self.manifest, self.path, thorough=False)
        wanted = [name for name in SCHEMA.names if name in fields or name in ("op", "stream", "space")]
        for columns in self._pieces(wanted, rows, trusting=True, of_tables=of_tables):
            checker.check_columns(columns)
            yield columns

    def _pieces(
        self, names: Sequence[str], most: int, *, trusting: bool, of_tables: Sequence[str] = ()
    ) -> Iterator[Columns]:
        """Stream columns unchecked, but for their number and damage.

        Without `trusting`, everything is decoded, and compared with the statistics.
        """
        if most < 1:
            raise ValueError(f"rows must be 1 or more, not {most}")
        row = 0
        with _parquet(self.path) as file:
            for number in range(file.metadata.num_row_groups):
                if number not in self._said:
                    self._said[number] = _statistics(file, number)
                said = self._said[number]
                same = {name: said[name][0] for name in said if said[name][0] == said[name][1]}
                same = {name: value for name, value in same.items() if name in names} if trusting else {}
                if trusting and "op" in said and said["op"][1] <= EXEC:
                    same.update(dict.fromkeys(of_tables, 0))
                # One column at least, for the number of its rows.
                read = [name for name in names if name not in same] or [names[0]]
                batches = file.iter_batches(most, row_groups=[number], columns=read, use_threads=False)
                while True:
                    where = f"{self.path}: row {row} or later"
                    try:
                        batch = next(batches, None)
                    except (pa.ArrowException, OSError) as error:
                        raise TraceError("damaged Parquet data", where, found=str(error)) from None
                    if batch is None:
                        break
                    arrays = _to_arrays(batch, where)
                    if not trusting:
                        _check_statistics(arrays, said, where)
                    if batch.num_rows:
                        unread = {name: value for name, value in same.items() if name not in arrays}
                        yield Columns(batch.num_rows, arrays, unread, said.get("op", (0, 255))[1])
                    row += batch.num_rows
        if row != self.rows:
            raise TraceError("rows are missing", self.path, f"{self.rows} rows", f"{row}")

    def read(self) -> np.ndarray:
        """Read the whole trace.

        Returns
        -------
        numpy.ndarray
            1-D, dtype `traces.events.EVENT`, `rows` long.

        Raises
        ------
        TraceError
            As `blocks`.
        """
        # Not sized by the footer's count: a forged one must not be what memory is taken by.
        return np.concatenate([np.empty(0, EVENT), *self.blocks()])


def open_trace(path: str | Path) -> Trace:
    """Open a trace: read its manifest and check its columns.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    Trace

    Raises
    ------
    TraceError
        No such file, a directory, not a (whole) Parquet file, no or a bad manifest, a newer format,
        or other columns than a trace has.
    """
    path = Path(path)
    with _parquet(path) as file:
        raw = (file.metadata.metadata or {}).get(METADATA_KEY)
        if raw is None:
            raise TraceError("no manifest", path, f"metadata key {METADATA_KEY.decode()}", "none")
        manifest = parse_manifest(raw, path)
        try:
            found = file.schema_arrow
            names = found.names
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise TraceError("damaged Parquet footer", path, found=str(error)) from None
        if names != SCHEMA.names:
            raise TraceError("not a trace's columns", path, ", ".join(SCHEMA.names), ", ".join(names))
        for want, have in zip(SCHEMA, found, strict=True):
            if want.type != have.type:
                what = f"column {want.name} has the wrong type"
                raise TraceError(what, path, str(want.type), str(have.type))
        return Trace(path, manifest, file.metadata.num_rows)


def _parquet(path: Path) -> pq.ParquetFile:
    if path.is_dir():
        raise TraceError("not a trace", path, "a Parquet file", "a directory")
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0, 2)
            length = file.tell()
            file.seek(max(0, length - 4))
            tail = file.read(4)
    except FileNotFoundError:
        raise TraceError("no such file", path) from None
    except OSError as error:
        raise TraceError("cannot be read", path, found=error.strerror or str(error)) from None
    if not length:
        raise TraceError("not a trace", path, "a Parquet file", "an empty file")
    if head != _MAGIC:
        raise TraceError("not a trace", path, "a Parquet file", f"a file that starts with {head!r}")
    if tail != _MAGIC:
        raise TraceError("the file is cut short", path, f"{_MAGIC!r} at its end", repr(tail))
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    # A damaged column name is no UTF-8.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TraceError("damaged Parquet footer", path, found=str(error)) from None


def _statistics(file: pq.ParquetFile, number: int) -> dict[str, tuple[int, int]]:
    """Return the least and the greatest value of a row group's columns, of those that tell."""
    found = {}
    group = file.metadata.row_group(number)
    for at, name in enumerate(SCHEMA.names):
        if name in _EVER_NEW:
            continue
        try:
            statistics = group.column(at).statistics
            if statistics is None or not statistics.has_min_max or statistics.null_count:
                continue
            low, high = statistics.min, statistics.max
        except (pa.ArrowException, OSError, ValueError):
            continue  # a damaged footer: the data are looked at
        if isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= _MOST[name]:
            found[name] = (low, high)
    return found


def _check_statistics(arrays: dict[str, np.ndarray], said: dict[str, tuple[int, int]], where: str) -> None:
    for name, (low, high) in said.items():
        values = arrays[name]
        if values.size and (values.min() < low or values.max() > high):
            found = f"{values.min()} to {values.max()}"
            raise TraceError(f"column {name} is not as its statistics say", where, f"{low} to {high}", found)


def _to_arrays(batch: pa.RecordBatch, where: str) -> dict[str, np.ndarray]:
    out = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            raise TraceError(f"column {name} holds nulls", where, "numbers")
        out[name] = column.to_numpy(zero_copy_only=False)
    return out
