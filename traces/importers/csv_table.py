"""Imports a table of text: CSV, with whatever separates the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np

from traces.errors import TraceError
from traces.importers.columns import FIELDS, NAMES, Layout, TableReader, draft_of
from traces.importers.result import Draft, Options
from traces.importers.source import LONGEST_LINE, Source

WHAT = "CSV with a line of column names"
OPTIONS: frozenset[str] = frozenset({"map", "granule"})

#: Rows, and characters of their lines, that are converted at once.
_ROWS, _CHARACTERS = 1 << 15, 1 << 22
_SEPARATORS = ",;\t|"


def sniff(head: bytes, name: str) -> bool:
    """Tell whether a file is called a table, or begins with the names of an address and something else."""
    if head.startswith(b"PAR1"):
        return False
    if name.endswith((".csv", ".tsv")):
        return True
    line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace").lower()
    cells = [cell.strip().strip('"') for cell in line.split(_separator(line))]
    fields = {cell if cell in FIELDS else NAMES.get(cell) for cell in cells} - {None}
    return "iova" in fields and len(fields) > 1


def draft(source: Source) -> Draft:
    """Return the manifest's beginnings."""
    return draft_of(source, "CSV")


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _split(line: str, separator: str) -> list[str] | None:
    """Split a line; None where a quotation does not end on it."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return None


def read(source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
    """Yield the table's events."""
    blocks = source.line_blocks()
    number, heading, lines = _heading(source, blocks)
    separator = _separator(heading)
    names = [name.strip() for name in _split(heading, separator) or []]
    layout = Layout(names, dict(options.map), source.line(number))
    table = TableReader(source, draft, layout, options.granule)
    rows = _Rows(source, table, layout, separator)
    yield from rows.add(lines)
    for first, block in blocks:
        columns = _columns(block, layout, separator)
        if columns is None:
            yield from rows.add(source.lines_of(first, block))
            continue
        yield from rows.rest()
        n = len(next(iter(columns.values())))
        yield table.convert(columns, range(first, first + n), "line")
    yield from rows.rest()
    if not source.ends_with_newline:
        draft.notes.append(
            "The last line has no line end: if the file was cut short there, its last number was too."
        )
    table.conclude()


def _heading(
    source: Source, blocks: Iterator[tuple[int, bytes]]
) -> tuple[int, str, Iterator[tuple[int, str]]]:
    """Return the line of column names with its number, and the lines of its block that follow it."""
    for first, block in blocks:
        lines = source.lines_of(first, block)
        for number, text in lines:
            # Some programs put U+FEFF before the text.
            line = text.removeprefix("\ufeff")
            if line.strip() and not line.startswith("#"):
                return number, line, lines
    raise TraceError("nothing to import", source.path, "a line of column names", "none")


class _Rows:
    """Rows that are taken apart one by one, and converted together."""

    def __init__(self, source: Source, table: TableReader, layout: Layout, separator: str) -> None:
        self.source, self.table, self.layout, self.separator = source, table, layout, separator
        self._cells: list[list[str]] = []
        self._places: list[int] = []
        self._characters = 0

    def add(self, lines: Iterator[tuple[int, str]]) -> Iterator[np.ndarray]:
        """Take lines; yield events when there are many."""
        width = len(self.layout.names)
        for number, line in lines:
            if not line or line.isspace() or line.startswith("#"):
                continue
            cells = _split(line, self.separator)
            if cells is None or len(cells) != width:
                found = "a quotation that does not end" if cells is None else f"{len(cells)}"
                self.source.dropped.refuse(
                    "a row of another length", self.source.line(number), f"{width} cells", found
                )
                continue
            self._cells.append(cells)
            self._places.append(number)
            self._characters += len(line)
            if len(self._cells) >= _ROWS or self._characters >= _CHARACTERS:
                yield from self.rest()

    def rest(self) -> Iterator[np.ndarray]:
        """Yield the events of what is left."""
        import pyarrow as pa  # noqa: PLC0415

        if self._cells:
            columns = {
                field: pa.array([row[at] for row in self._cells], pa.string())
                for field, at in self.layout.columns.items()
            }
            places = self._places
            self._cells, self._places, self._characters = [], [], 0
            yield self.table.convert(columns, places, "line")


def _columns(block: bytes, layout: Layout, separator: str) -> dict[str, Any] | None:
    """Parse whole lines at once; None where anything in them needs a closer look."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv as pa_csv  # noqa: PLC0415

    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    # Quotations, comments, empty lines, U+FEFF, lines that are too long.
    if b'"' in block or b"\r" in block or block.startswith((b"#", b"\n", b"\xef\xbb\xbf")):
        return None
    if b"\n#" in block or b"\n\n" in block:
        return None
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if np.diff(ends, prepend=-1, append=len(block)).max() > LONGEST_LINE:
        return None
    names = [f"{at}" for at in range(len(layout.names))]
    used = [names[at] for at in layout.columns.values()]
    try:
        found = pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pa_csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=False),
            pa_csv.ConvertOptions(include_columns=used, column_types={name: pa.string() for name in used}),
        ).combine_chunks()
    except pa.ArrowException:
        return None
    lines = ends.size + (not block.endswith(b"\n"))
    if found.num_rows != lines or len(names) == 1:
        return None
    return {field: found.column(names[at]).chunk(0) for field, at in layout.columns.items()}
