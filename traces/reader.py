"""Reads traces, a block at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from traces.checks import BlockChecker
from traces.errors import TraceError
from traces.events import EVENT
from traces.manifest import METADATA_KEY, Manifest, parse_manifest

#: The columns of a trace file: `EVENT`'s, in its order.
SCHEMA = pa.schema(
    [pa.field(name, pa.from_numpy_dtype(EVENT[name]), nullable=False) for name in EVENT.names or ()]
)

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
        if rows < 1:
            raise ValueError(f"rows must be 1 or more, not {rows}")
        checker = BlockChecker(self.manifest, self.path, thorough=thorough)
        with _parquet(self.path) as file:
            batches = file.iter_batches(batch_size=rows, use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    where = f"{self.path}: row {checker.row} or later"
                    raise TraceError("damaged Parquet data", where, found=str(error)) from None
                if batch is None:
                    break
                block = _to_events(batch, self.path, checker.row)
                checker.check(block)
                if block.size:
                    yield block
        if checker.row != self.rows:
            raise TraceError("rows are missing", self.path, f"{self.rows} rows", f"{checker.row}")

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


def _to_events(batch: pa.RecordBatch, path: Path, row: int) -> np.ndarray:
    out = np.empty(batch.num_rows, EVENT)
    for name, column in zip(SCHEMA.names, batch.columns, strict=True):
        if column.null_count:
            raise TraceError(f"column {name} holds nulls", f"{path}: row {row} or later", "numbers")
        out[name] = column.to_numpy(zero_copy_only=False)
    return out
