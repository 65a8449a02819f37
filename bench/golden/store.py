"""Golden rows on disk: one CSV file a block, and `manifest.json`, which says what they were made of.

CSV, so that a change of the model is read in the change that makes it: a line a row, a column a counter.
"""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.golden.matrix import KEYS, Block, Key, Made, Row

MANIFEST = "manifest.json"
FORMAT = 1

#: Columns of words; all others are integers.
WORDS = (*KEYS, "verdict")


@dataclass(frozen=True)
class Manifest:
    """What the kept rows were made of, and the "Model changes" lines that account for them."""

    smmubench: str = ""
    kernels: str = ""
    traces: dict[str, str] = field(default_factory=dict)
    model_changes: tuple[str, ...] = ()


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of `folder`; None where nothing has been kept yet.

    Raises
    ------
    UsageError
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise UsageError("other format", path, f"format {FORMAT}", str(found["format"]))
        return Manifest(
            found["smmubench"], found["kernels"], dict(found["traces"]), tuple(found["model_changes"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("not a manifest of golden results", path, found=str(error)) from None


def read_rows(folder: Path, block: Block) -> dict[Key, Row]:
    """Return the kept rows of a block, none where there is no file.

    Raises
    ------
    UsageError
        A file that is no table of golden rows, with its line.
    """
    path = folder / f"{block.name}.csv"
    rows: dict[Key, Row] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for name in WORDS:
                if name not in (reader.fieldnames or ()):
                    raise UsageError("not golden rows", path, f"a column {name}", "none")
            for row in reader:
                where = f"{path}: line {reader.line_num}"
                read = _row(row, where)
                key = tuple(read[name] for name in KEYS)
                if key in rows:
                    raise UsageError("row twice", where, "each once", " ".join(key))
                rows[key] = read
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError("not golden rows", path, found=str(error)) from None
    return rows


def _row(row: dict[str | Any, Any], where: str) -> Row:
    made: Row = {}
    for name, text in row.items():
        if name is None or text is None:
            raise UsageError("not golden rows", where, "as many values as columns", "others")
        if name in WORDS:
            made[name] = text
        elif text:
            try:
                made[name] = int(text)
            except ValueError:
                raise UsageError("not golden rows", f"{where}: {name}", "an integer", repr(text)) from None
    return made


def as_csv(rows: dict[Key, Row]) -> str:
    """Return rows as text: equal rows give equal bytes."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    columns = [*KEYS, *(name for name in columns if name not in KEYS)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue()


def write(folder: Path, made: list[Made], manifest: Manifest) -> list[Path]:
    """Write the rows, then the manifest; each file appears whole or not at all.

    Files of blocks that the matrix no longer has are removed.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UsageError
        The folder cannot be written to.
    """
    names = {f"{one.block.name}.csv" for one in made}
    written = [folder / MANIFEST]
    try:
        for one in made:
            path = folder / f"{one.block.name}.csv"
            text = as_csv(one.rows)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                _replace(path, text)
                written.append(path)
        for path in sorted(folder.glob("*.csv")):
            if path.name not in names:
                path.unlink()
        data = {
            "format": FORMAT,
            "kind": "simulated",
            "made_by": "smmubench regress --accept",
            "smmubench": manifest.smmubench,
            "kernels": manifest.kernels,
            "traces": dict(sorted(manifest.traces.items())),
            "model_changes": list(manifest.model_changes),
        }
        _replace(folder / MANIFEST, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UsageError("cannot be written", folder, found=error.strerror or str(error)) from None
    return written


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
