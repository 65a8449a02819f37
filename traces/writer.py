"""Writes traces: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from traces.checks import BlockChecker
from traces.errors import TraceError
from traces.events import OP_NAMES
from traces.manifest import METADATA_KEY, Manifest
from traces.reader import SCHEMA

#: Rows of a row group: what a reader holds in memory, 41 bytes a row.
ROW_GROUP = 1 << 17

_BYTES, _DELTA = "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"
#: Columns of 8 bytes an event that differ from one event to the next.
_LARGE = ("t_ns", "iova", "pa")
#: Bytes an event that a column may take more to be quicker to read.
_MORE = 0.08


class TraceWriter:
    """A context manager that writes one trace.

    The file appears, complete, when the ``with`` block ends without an error; otherwise nothing is
    left behind, and a file that was there before stays as it was.

    Parameters
    ----------
    path : str or pathlib.Path
        The file to write (``.parquet`` by custom).
    manifest : Manifest
        Its `counts` are filled by the writer.
    level : int
        Of zstd's compression.

    Raises
    ------
    TraceError
        From `append`, for events that `traces.validate` would refuse; from ``with``, where the file
        cannot be written.
    """

    def __init__(self, path: str | Path, manifest: Manifest, level: int = 19) -> None:
        self.path = Path(path)
        self._level = level
        self.manifest = manifest
        self._beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._checker = BlockChecker(manifest, self.path, thorough=True)
        self._waiting: list[np.ndarray] = []
        self._n_waiting = 0
        self._first = True
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> TraceWriter:
        if self.path.exists() and not self.path.is_file():
            # The rename at the end would put a plain file in a device's place.
            found = "a directory" if self.path.is_dir() else "a device or a pipe"
            raise TraceError("cannot be written", self.path, "a plain file", found)
        try:
            self._writer = self._open(self._beside)
        except OSError as error:
            raise TraceError("cannot be written", self.path, found=error.strerror or str(error)) from None
        return self

    def _open(self, where: Any, quick: Sequence[str] = ()) -> pq.ParquetWriter:
        """Open a file whose `quick` columns are quicker to read."""
        # Each choice was measured on the bundled captures; see docs/traces.md.
        encodings = {"t_ns": _DELTA, "iova": _BYTES, "pa": _BYTES, **dict.fromkeys(quick, _DELTA)}
        return pq.ParquetWriter(
            where, SCHEMA, version="2.6",
            compression={name: "lz4" if name in quick else "zstd" for name in SCHEMA.names},
            compression_level={name: self._level for name in SCHEMA.names if name not in quick},
            use_dictionary=["op", "stream", "space", "size", "prot"], column_encoding=encodings,
            write_page_checksum=True, data_page_size=1 << 20,
        )  # fmt: skip

    def _quick(self, group: pa.Table) -> list[str]:
        """Name the columns that a row group has hardly longer where they are quicker to read."""
        sizes = []
        for quick in ((), _LARGE):
            out = pa.BufferOutputStream()
            with self._open(out, quick) as writer:
                writer.write_table(group, row_group_size=ROW_GROUP)
            found = pq.ParquetFile(pa.BufferReader(out.getvalue())).metadata.row_group(0)
            sizes.append(
                {name: found.column(SCHEMA.names.index(name)).total_compressed_size for name in _LARGE}
            )
        small, large = sizes
        return [name for name in _LARGE if large[name] <= small[name] + _MORE * group.num_rows]

    def append(self, events: np.ndarray) -> None:
        """Add events.

        Parameters
        ----------
        events : numpy.ndarray
            1-D, dtype `traces.events.EVENT`, not earlier than what was appended before.

        Raises
        ------
        TraceError
            Naming the first row that breaks a rule.
        """
        if self._writer is None:
            raise ValueError("append() works inside the writer's with block only")
        self._checker.check(events)
        self._waiting.append(events.copy())
        self._n_waiting += events.size
        if self._n_waiting >= ROW_GROUP:
            self._flush(keep_partial=True)

    def _flush(self, *, keep_partial: bool) -> None:
        if self._writer is None or not self._n_waiting:
            return
        events = np.concatenate(self._waiting)
        whole = events.size // ROW_GROUP * ROW_GROUP if keep_partial else events.size
        for start in range(0, whole, ROW_GROUP):
            part = events[start : min(start + ROW_GROUP, whole)]
            columns = [pa.array(np.ascontiguousarray(part[name])) for name in SCHEMA.names]
            table = pa.Table.from_arrays(columns, schema=SCHEMA)
            if self._first and part.size == ROW_GROUP and (quick := self._quick(table)):
                self._writer.close()
                self._writer = self._open(self._beside, quick)
            self._first = False
            self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._waiting = [events[whole:]]
        self._n_waiting = events.size - whole

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer = self._writer
        try:
            if kind is None and writer is not None:
                self._flush(keep_partial=False)
                counts = {name: int(n) for name, n in zip(OP_NAMES, self._checker.counts, strict=True)}
                self.manifest = self.manifest.model_copy(update={"counts": counts})
                writer.add_key_value_metadata({METADATA_KEY: self.manifest.to_json()})
            self._writer = None
            if writer is not None:
                writer.close()
            if kind is None:
                self._beside.replace(self.path)
        finally:
            self._beside.unlink(missing_ok=True)
