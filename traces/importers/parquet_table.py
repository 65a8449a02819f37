"""Imports a table from an Apache Parquet file that is no trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from traces.errors import TraceError
from traces.importers.columns import Layout, TableReader, draft_of
from traces.importers.result import Draft, Options
from traces.importers.source import Source
from traces.manifest import METADATA_KEY

WHAT = "a Parquet table"
OPTIONS: frozenset[str] = frozenset({"map", "granule"})

#: Rows that are converted at once.
_ROWS = 1 << 15


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file begins like Parquet."""
    return head.startswith(b"PAR1")


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return draft_of(source, "Parquet")


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the table's events."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if source.compression:
        expected = "the Parquet file itself: it is compressed within"
        raise TraceError("Parquet that is compressed once more", source.path, expected, source.compression)
    damaged = (pa.ArrowException, OSError, UnicodeDecodeError)
    try:
        file = pq.ParquetFile(source.path, page_checksum_verification=True)
        names, metadata = file.schema_arrow.names, file.metadata.metadata or {}
    except damaged as error:
        raise TraceError("no whole Parquet file", source.path, found=str(error)) from None
    with file:
        if METADATA_KEY in metadata:
            raise TraceError("nothing to import", source.path, "a table", "a trace already")
        layout = Layout(names, dict(options.map), str(source.path))
        table = TableReader(source, draft, layout, options.granule)
        batches = file.iter_batches(
            _ROWS, columns=[names[at] for at in layout.columns.values()], use_threads=False
        )
        row = 0
        while True:
            try:
                batch = next(batches, None)
                columns = {} if batch is None else _columns(batch, layout)
            except damaged as error:
                source.dropped.refuse(
                    "damaged Parquet data", f"{source.path}: row {row} or later", found=str(error)
                )
                break
            if batch is None:
                break
            if batch.num_rows:
                yield table.convert(columns, range(row, row + batch.num_rows), "row")
            row += batch.num_rows
    table.conclude()


def _columns(batch: Any, layout: Layout) -> dict[str, Any]:
    import pyarrow as pa  # noqa: PLC0415

    columns = {field: batch.column(layout.names[at]) for field, at in layout.columns.items()}
    return {
        field: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for field, column in columns.items()
    }
