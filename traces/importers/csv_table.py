"""Imports a table of text: CSV, with whatever separates the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import numpy as np

from traces.errors import TraceError
from traces.importers.columns import FIELDS, NAMES, Layout, TableReader, draft_of
from traces.importers.result import Draft, Options
from traces.importers.source import Source

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
    import pyarrow as pa  # noqa: PLC0415

    lines = source.lines()
    # Some programs put U+FEFF before the text.
    begun = ((number, line.removeprefix("\ufeff")) for number, line in lines)
    first = next(
        ((number, line) for number, line in begun if line.strip() and not line.startswith("#")), None
    )
    if first is None:
        raise TraceError("nothing to import", source.path, "a line of column names", "none")
    heading = first[1]
    separator = _separator(heading)
    names = [name.strip() for name in _split(heading, separator) or []]
    layout = Layout(names, dict(options.map), source.line(first[0]))
    table = TableReader(source, draft, layout, options.granule)
    rows: list[list[str]] = []
    places: list[int] = []
    characters = 0

    def convert() -> np.ndarray:
        picked = {
            field: pa.array([row[at] for row in rows], pa.string()) for field, at in layout.columns.items()
        }
        return table.convert(picked, places, "line")

    for number, line in lines:
        if not line or line.isspace() or line.startswith("#"):
            continue
        cells = _split(line, separator)
        if cells is None or len(cells) != len(names):
            found = "a quotation that does not end" if cells is None else f"{len(cells)}"
            source.dropped.refuse(
                "a row of another length", source.line(number), f"{len(names)} cells", found
            )
            continue
        rows.append(cells)
        places.append(number)
        characters += len(line)
        if len(rows) >= _ROWS or characters >= _CHARACTERS:
            yield convert()
            rows, places, characters = [], [], 0
    if rows:
        yield convert()
    if not source.ends_with_newline:
        draft.notes.append(
            "The last line has no line end: if the file was cut short there, its last number was too."
        )
    table.conclude()
