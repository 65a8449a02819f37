"""Pictures as files: which kinds there are, and how one is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bench.errors import UsageError

SUFFIXES = (".png", ".svg")


def check_target(out: Path | None) -> None:
    """Refuse a file that no picture can be written to, before anything is computed.

    Raises
    ------
    UsageError
    """
    if out is None:
        return
    from bench import rows  # noqa: PLC0415

    if out.suffix.lower() not in SUFFIXES:
        raise UsageError("not a picture", f"--out {out}", f"a name in {' or '.join(SUFFIXES)}", out.name)
    rows.check_target(out)


def save(figure: Any, target: Path) -> Path:
    """Write a figure to a PNG or SVG file that appears whole or not at all; return its path.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415

    kind = target.suffix.lower().removeprefix(".")
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        # The same result gives the same bytes: no date, no random names inside an SVG.
        with mpl.rc_context({"svg.hashsalt": "smmubench"}):
            figure.savefig(beside, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else None)
        beside.replace(target)
    except OSError as error:
        raise UsageError("cannot be written", target, found=error.strerror or str(error)) from None
    finally:
        beside.unlink(missing_ok=True)
    return target
