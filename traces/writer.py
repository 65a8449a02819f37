"""Writes traces: whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

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

_BYTES = "BYTE_STREAM_SPLIT"


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
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> TraceWriter:
        if self.path.exists() and not self.path.is_file():
            # The rename at the end would put a plain file in a device's place.
            found = "a directory" if self.path.is_dir() else "a device or a pipe"
            raise TraceError("cannot be written", self.path, "a plain file", found)
        # Each choice below was measured on the bundled captures; see docs/traces.md.
        try:
            self._writer = pq.ParquetWriter(
                self._beside, SCHEMA, version="2.6", compression="zstd", compression_level=self._level,
                use_dictionary=["op", "stream", "space", "size", "prot"],
                column_encoding={"t_ns": "DELTA_BINARY_PACKED", "iova": _BYTES, "pa": _BYTES},
                write_page_checksum=True, data_page_size=1 << 20,
            )  # fmt: skip
        except OSError as error:
            raise TraceError("cannot be written", self.path, found=error.strerror or str(error)) from None
        return self

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
            self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROW_GROUP)
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
