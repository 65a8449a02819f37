"""Rows on disk: one Parquet file a comparison, a column a field, the manifest in its metadata."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.grid import Result

#: The key of a result's manifest among the file's metadata.
METADATA_KEY = b"smmubench.result"

#: Where rows go unless told otherwise.
FOLDER = Path("runs")


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as columns: dictionaries inside it become ``name.key``."""
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and name != "streams":
            columns.update({f"{name}.{key}": inner for key, inner in value.items()})
        elif name == "streams":
            columns[name] = json.dumps(value)
        elif value is not None:
            columns[name] = value
    return columns


def file_name(result: Result) -> str:
    """Derive a file name from the axes: the same question has the same name.

    Everything that may change the answer is in the hash.
    """
    m = result.manifest
    digest = hashlib.sha256(json.dumps(m, sort_keys=True).encode()).hexdigest()[:8]
    scenario = re.sub(r"[^A-Za-z0-9.]+", "-", m["scenario"]).strip("-")[:40]
    return f"{m['trace']}-{scenario}-{m['client']}-{digest}.parquet"


def check_target(path: Path | None) -> None:
    """Refuse a file that cannot be written, before hours are spent on what should go there.

    Raises
    ------
    UsageError
    """
    target = path if path is not None else FOLDER / "any.parquet"
    if path is None:
        try:
            FOLDER.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError("cannot be made", FOLDER, "a folder", error.strerror or str(error)) from None
    folder = target.parent
    if target.is_dir():
        raise UsageError("cannot be written", target, "a file", "a directory")
    if target.exists() and not target.is_file():
        # A rename would put a plain file in a device's place.
        raise UsageError("cannot be written", target, "a plain file", "a device or a pipe")
    if not folder.is_dir():
        raise UsageError("cannot be written", target, "an existing folder", f"no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError("cannot be written", target, "a folder that can be written to", "no permission")


def write(result: Result, path: Path | None = None) -> Path:
    """Write the rows; the file appears whole or not at all, and equal results give equal bytes.

    Parameters
    ----------
    result : Result
    path : Path, optional
        Otherwise a name derived from the axes, in `FOLDER`.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    target = path if path is not None else FOLDER / file_name(result)
    return save([flat(row.to_json()) for row in result.rows], result.manifest, target)


def save(rows: list[dict[str, Any]], manifest: dict[str, Any], target: Path) -> Path:
    """Write a table and its manifest to a file that appears whole or not at all; return its path."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    check_target(target)
    table = pa.Table.from_pylist(rows)
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(manifest).encode()})
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        pq.write_table(table, beside, compression="zstd", version="2.6")
        beside.replace(target)
    except OSError as error:
        raise UsageError("cannot be written", target, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)
    return target
