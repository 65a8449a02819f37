"""What a sample is, and the sizes that samples share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Lines, rows or instructions of a sample that is made of them.
LINES = 20_000
PAGE = 4096
#: Pages that a sample's accesses go round in.
PAGES = 512


@dataclass(frozen=True)
class Sample:
    """A file to import.

    Attributes
    ----------
    file : str
        Its name; a writer may put further files beside it.
    unit : str
        What an import is divided by: "line", "row", "packet", "instruction".
    units : int
        How many of them the file has.
    rows : int
        Events that its import gives.
    write : callable
        Writes it to a path.
    """

    file: str
    unit: str
    units: int
    rows: int
    write: Callable[[Path], None]
