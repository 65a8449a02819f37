"""A saved run, asked for again: the file of rows says all that a run is made of, but where its trace lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ask
from bench.errors import UsageError
from bench.profiles import Asked
from bench.profiles import find as find_costs
from bench.rows import METADATA_KEY
from smmucore.streams import Group, StreamTable

if TYPE_CHECKING:
    from bench.run import Case


@dataclass(frozen=True)
class Saved:
    """A file of rows.

    Attributes
    ----------
    path : pathlib.Path
    manifest : dict
    rows : list of dict
        Flat, as the file has them.
    """

    path: Path
    manifest: dict[str, Any]
    rows: list[dict[str, Any]]


def read(path: Path) -> Saved | None:
    """Read a file of rows; None where it is another kind of file (a trace, say).

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Saved or None

    Raises
    ------
    UsageError
        Rows that are damaged.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    if METADATA_KEY not in metadata:
        return None
    try:
        manifest = json.loads(metadata[METADATA_KEY])
        rows = pq.read_table(path).to_pylist()
        if not isinstance(manifest, dict) or not {"trace", "sha256", "scenario"} <= set(manifest):
            raise UsageError("not rows of compare or replay", path, "their manifest", "another's")
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("rows that cannot be read", path, found=str(error)) from None
    return Saved(path, manifest, rows)


def row(saved: Saved, policy: str | None, hardware: str | None) -> dict[str, Any]:
    """Return the one row that is meant.

    Raises
    ------
    UsageError
        None, or several: the message says which there are.
    """
    found = [
        each
        for each in saved.rows
        if policy in (None, each["policy"]) and hardware in (None, each["hardware"])
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        cells = ", ".join(f"{each['policy']} on {each['hardware']}" for each in saved.rows[:12])
        raise UsageError("no such row", saved.path, f"one of {cells} ...", f"{policy} on {hardware}")
    expected = "--policy and --hardware of one of them"
    raise UsageError("several rows", saved.path, expected, f"{len(found)} rows")


def case(saved: Saved, trace: Path | None = None) -> Case:
    """Make the case of a saved run again.

    Parameters
    ----------
    saved : Saved
    trace : pathlib.Path, optional
        Where the trace lies, if it is none of the bundled ones.

    Returns
    -------
    Case

    Raises
    ------
    UsageError, TraceError
        The trace is not there, or is another; costs or a stream table that cannot be had again.
    """
    m = saved.manifest
    made = ask.case(
        trace if trace is not None else m["trace"],
        client=m["client"],
        scenario=m["scenario"],
        cpus=",".join(f"{name}={cpu}" for name, cpu in m["cpus"].items()),
        pace=m["pace"],
        tbus=[f"{stream}={tbu}" for stream, tbu in m.get("tbus", {}).items()],
        seed=m["seed"],
    )
    if made.source.trace.sha256 != m["sha256"]:
        raise UsageError(
            "another trace", made.source.trace.path, f"sha256 {m['sha256']}", made.source.trace.sha256
        )
    return _replaced(made, costs=_costs(saved), streams=_streams(m))


def _replaced(made: Case, **changes: Any) -> Case:
    from dataclasses import replace  # noqa: PLC0415

    return replace(made, **changes)


def _costs(saved: Saved) -> Any:
    m = saved.manifest
    cpu = m["cpu"]
    drawn = [f"{name}={how}" for name, how in m.get("costs_drawn", {}).items()]
    made = find_costs(Asked(cpu["name"], m["console"], drawn, cpu["cpi"], cpu["ghz"]))
    other = {
        name: ns
        for name, ns in m["cost_ns"].items()
        if name in made.costs and made.costs[name].ns != ns and name not in m.get("costs_drawn", {})
    }
    made = made.with_values(other)
    if {name: cost.ns for name, cost in made.costs.items()} != m["cost_ns"]:
        raise UsageError("costs that this version has not", saved.path, "the same cost names", "others")
    return made


def _streams(m: dict[str, Any]) -> StreamTable | None:
    if "streams" not in m:
        return None
    table = dict(m["streams"])
    groups = tuple(Group(**group) for group in table.pop("groups"))
    return StreamTable(groups=groups, **table)
