"""Text files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UsageError


def write_whole(path: Path, text: str) -> None:
    """Write a file beside `path` and put it in its place.

    Raises
    ------
    UsageError
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError("cannot be written", path, "", error.strerror or str(error)) from None
