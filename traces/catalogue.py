"""The traces that come with the project."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from traces.errors import TraceError
from traces.manifest import Manifest

#: Where the bundled captures lie.
CAPTURED = Path(__file__).parent / "captured"


@dataclass(frozen=True)
class Entry:
    """One bundled trace."""

    name: str
    path: Path
    manifest: Manifest


def list_traces() -> list[Entry]:
    """List the bundled traces by name.

    Returns
    -------
    list of Entry

    Raises
    ------
    TraceError
        One of them cannot be read.
    """
    # Here, because a name can be looked up without loading Parquet.
    from traces.reader import open_trace  # noqa: PLC0415

    return [Entry(path.stem, path, open_trace(path).manifest) for path in sorted(CAPTURED.glob("*.parquet"))]


def find(name_or_path: str | Path) -> Path:
    """Find a trace by path, or by the name of a bundled one.

    Parameters
    ----------
    name_or_path : str or pathlib.Path

    Returns
    -------
    pathlib.Path
        An existing path.

    Raises
    ------
    TraceError
        Neither; the message lists near names.
    """
    path = Path(name_or_path)
    if path.exists():
        return path
    names = {entry.stem: entry for entry in sorted(CAPTURED.glob("*.parquet"))}
    if str(name_or_path) in names:
        return names[str(name_or_path)]
    near = difflib.get_close_matches(str(name_or_path), names, n=3, cutoff=0.4) or list(names)
    hint = f"a file, or a bundled trace such as {', '.join(near)}" if near else "a file"
    raise TraceError("no such trace", str(name_or_path), hint)
