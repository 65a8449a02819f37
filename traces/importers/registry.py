"""Which formats can be imported, and how a file's format is told."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from traces.errors import TraceError
from traces.importers.result import Draft, Options
from traces.importers.source import Source

#: Format -> the module that reads it (`traces.importers` says what is in one).
READERS = {
    "qemu": "traces.importers.qemu",
    "ftrace": "traces.importers.ftrace",
    "csv": "traces.importers.csv_table",
    "parquet": "traces.importers.parquet_table",
    "rd": "traces.importers.rd",
    "devcore": "traces.importers.devcore",
    "dmesg": "traces.importers.dmesg",
    "accelsim": "traces.importers.accelsim",
    "uvm": "traces.importers.uvm",
}


class Reader(Protocol):
    """What a reader's module has in it."""

    WHAT: str
    OPTIONS: frozenset[str]

    def sniff(self, head: bytes, name: str) -> bool:
        """Tell whether a file begins like this."""

    def read(self, source: Source, draft: Draft, options: Options) -> Iterator[np.ndarray]:
        """Yield events, and fill in the draft."""

    def draft(self, source: Source) -> Draft:
        """Return the manifest's beginnings."""


def load(name: str) -> Reader:
    """Import a reader's module.

    Parameters
    ----------
    name : str
        A key of `READERS`.

    Returns
    -------
    Reader

    Raises
    ------
    TraceError
        No such format; the message lists those there are.
    """
    if name not in READERS:
        near = difflib.get_close_matches(name, READERS, n=1)
        expected = f"{near[0]}, perhaps" if near else f"one of {', '.join(READERS)}"
        raise TraceError("unknown format", "--format", expected, repr(name))
    return cast(Reader, importlib.import_module(READERS[name]))


def detect(source: Source, path: str | Path) -> str:
    """Tell a file's format from its beginning and its name.

    Parameters
    ----------
    source : Source
    path : str or pathlib.Path
        Named in errors.

    Returns
    -------
    str
        A key of `READERS`.

    Raises
    ------
    TraceError
        No format's reader knows the file, or several do.
    """
    head = source.head()
    if not head:
        raise TraceError("nothing to import", path, found="an empty file")
    known = [name for name in READERS if load(name).sniff(head, source.name)]
    if len(known) == 1:
        return known[0]
    if known:
        raise TraceError("a file of more than one format", path, f"--format {' or '.join(known)}")
    listed = ", ".join(f"{name} ({load(name).WHAT})" for name in READERS)
    raise TraceError("a format that is not known", path, f"{listed}; or --format", repr(head[:40]))
