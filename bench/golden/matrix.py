"""The fixed matrix: which runs are kept, and their rows.

`results/golden/matrix.toml` names the blocks; each is a trace and a scenario under every policy.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import ask
from bench.errors import UsageError
from smmucore.clients import CLIENTS
from smmucore.hardware import PRESETS

#: Where golden results are kept in a checkout.
FOLDER = Path(__file__).resolve().parents[2] / "results" / "golden"
MATRIX = "matrix.toml"

#: The speed yardstick has no fault path of its own.
HARDWARE = tuple(name for name in PRESETS if name != "reference-39bit")

#: What names a row within its block.
KEYS = ("client", "hardware", "policy")

Row = dict[str, Any]
Key = tuple[str, ...]


class Block(BaseModel):
    """One file of golden rows: a trace and a scenario, under every policy."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    trace: str
    scenario: str
    client: list[str] = [ask.CLIENT]
    hardware: list[str] = list(HARDWARE)
    policy: list[str] = []  # every one, if none is named


class _Matrix(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    block: Annotated[list[Block], Field(min_length=1)]


@dataclass(frozen=True)
class Made:
    """The rows of a block as they are now, and the trace they were made of."""

    block: Block
    trace_sha256: str
    rows: dict[Key, Row]


def read_matrix(folder: Path) -> list[Block]:
    """Return the blocks of `folder`'s matrix.

    Raises
    ------
    UsageError
        No matrix, or one that cannot be read.
    """
    path = folder / MATRIX
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError("no golden results", path, "a matrix", error.strerror or str(error)) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError("not TOML", path, found=str(error)) from None
    try:
        blocks = _Matrix.model_validate(found).block
    except ValidationError as error:
        problem = error.errors()[0]
        at = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            "not a matrix", f"{path}: {at}", str(problem["msg"]), repr(problem["input"])[:60]
        ) from None
    names = [block.name for block in blocks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("block named twice", path, "each name once", name)
    return blocks


def run_block(block: Block, threads: int, progress: Callable[[int], None] | None = None) -> Made:
    """Run a block: every policy, in the order client, hardware, policy.

    Parameters
    ----------
    block : Block
    threads : int
        The rows do not depend on it.
    progress : callable, optional
        Called with the number of rows done so far.

    Raises
    ------
    UsageError, TraceError
        The matrix names something that there is not.
    """
    from bench import grid  # noqa: PLC0415  (from here on: numba and Parquet)

    chips = ask.presets(block.hardware)
    rows: dict[Key, Row] = {}
    sha256 = ""
    for client in sorted(block.client, key=_place):
        case = ask.case(block.trace, client=client, scenario=block.scenario)
        sha256 = case.source.trace.sha256
        before = len(rows)
        tell = None if progress is None else _further(progress, before)
        for row in grid.compare(case, ask.chosen(block.policy), chips, threads, tell).rows:
            rows[row.client, row.hardware, row.policy] = flat(row.to_json())
    return Made(block, sha256, rows)


def _further(progress: Callable[[int], None], before: int) -> Callable[[int, int], None]:
    return lambda done, _: progress(before + done)


def cells(block: Block) -> int:
    """Return how many rows a block has."""
    chips = ask.presets(block.hardware)
    return len(block.client) * sum(
        policy.is_about(chip) for policy in ask.chosen(block.policy) for chip in chips
    )


def _place(client: str) -> tuple[int, str]:
    known = list(CLIENTS)
    return (known.index(client) if client in CLIENTS else len(known), client)


def flat(row: Row, prefix: str = "") -> Row:
    """Return a row without what its block says of all: counters by their names, the rest as ``name.key``.

    Examples
    --------
    >>> flat({"policy": "P8", "counters": {"walks": 3}, "fault_ns": {"p50": 7}, "heartbeat_ns": None})
    {'policy': 'P8', 'walks': 3, 'fault_ns.p50': 7}
    """
    columns: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            inner = "" if name == "counters" else f"{prefix}{name}."
            columns.update(flat(value, inner))
        elif value is not None and name not in ("scenario", "costs", "seed"):
            columns[f"{prefix}{name}"] = value
    return columns
