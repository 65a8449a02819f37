"""What a history takes in: pyperf files (wall); comparisons, sweeps and golden rows (simulated)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import UsageError
from bench.history.store import SIMULATED, WALL, Line, insert
from bench.rows import METADATA_KEY

#: Columns of a row that say what it is of, and are no values.
_AXES = {"policy", "hardware", "client", "scenario", "costs", "seed", "cost", "trace", "cell", "status",
         "error", "model", "trace_sha256", "streams"}  # fmt: skip
#: Values that are words; every other value that people follow is an exact integer.
_WORDS = {"verdict", "proved"}


def add(db: Any, path: Path, commit: str, at: datetime | None = None) -> tuple[str, int, int]:
    """Take a file in; what is there already is not taken twice.

    Parameters
    ----------
    db : duckdb.DuckDBPyConnection
    path : pathlib.Path
        A pyperf file, a Parquet file that `compare` or a sweep made, a sweep's folder, or golden results.
    commit : str
        The revision that it is of.
    at : datetime, optional
        When that was.

    Returns
    -------
    clock : str
    new, all : int
        Lines.

    Raises
    ------
    UsageError
    """
    if path.is_dir():
        clock, lines = SIMULATED, list(_folder(path, commit, at))
    elif _begins(path) == b"PAR1":
        clock, lines = SIMULATED, list(_simulated(path, commit, at))
    else:
        clock, lines = WALL, list(_wall(path, commit, at))
    return clock, insert(db, clock, lines), len(lines)


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        expected = "pyperf's JSON, Parquet rows, a sweep's folder, or golden results"
        raise UsageError("cannot be read", path, expected, error.strerror or str(error)) from None


def _folder(path: Path, commit: str, at: datetime | None) -> Iterator[Line]:
    """Yield the lines of a sweep, or of golden results."""
    if (path / "plan.json").is_file():
        for file in sorted((path / "rows").glob("*.parquet")):
            yield from _simulated(file, commit, at)
    elif (path / "matrix.toml").is_file():
        yield from _golden(path, commit, at)
    else:
        raise UsageError("nothing to add", path, "a sweep's folder, or golden results", "neither")


def _golden(path: Path, commit: str, at: datetime | None) -> Iterator[Line]:
    from bench.golden import matrix, store  # noqa: PLC0415

    manifest = store.read_manifest(path)
    if manifest is None:
        raise UsageError("nothing to add", path, "golden results that `regress --accept` made", "none")
    for block in matrix.read_matrix(path):
        fixed = {"kernels": manifest.kernels, "sha256": manifest.traces.get(block.trace, "")}
        for row in store.read_rows(path, block).values():
            yield from _values({**row, "scenario": block.scenario, "seed": 0}, fixed, commit, at)


def _wall(path: Path, commit: str, at: datetime | None) -> Iterator[Line]:
    """Yield a line a benchmark of a pyperf file, of this suite or of any other."""
    from bench.perf.files import load  # noqa: PLC0415

    for benchmark in load(path):
        told = benchmark.get_metadata()
        medians = [median(run.values) for run in benchmark.get_runs() if run.values]
        if not medians:
            continue
        dates = benchmark.get_dates()
        when = at or (dates[0] if dates else None)
        traces = sorted(str(value) for key, value in told.items() if key.startswith("trace_"))
        keys = {"commit_id": commit, "kernels": str(told.get("kernels", "")), "trace": ",".join(traces),
                "host": str(told.get("hostname", ""))}  # fmt: skip
        yield Line(when, keys, benchmark.get_name(), median(medians), tuple(medians))


def _simulated(path: Path, commit: str, at: datetime | None) -> Iterator[Line]:
    """Yield a line a value of every row of a Parquet file that we wrote."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise UsageError("cannot be read", path, "Parquet rows", str(error).splitlines()[0]) from None
    manifest = _manifest(table, path)
    for row in table.to_pylist():
        if row.get("status") != "failed":
            yield from _values(row, manifest, commit, at)


def _values(
    row: dict[str, Any], manifest: dict[str, Any], commit: str, at: datetime | None
) -> Iterator[Line]:
    keys = {
        "commit_id": commit,
        "kernels": row.get("model") or manifest.get("kernels", ""),
        "trace": row.get("trace_sha256") or manifest.get("sha256", ""),
        "policy": _policy(row["policy"], manifest),
        "hardware": row["hardware"],
        "costs": row.get("cost") or _costs(row, manifest),
        "scenario": row["scenario"],
        "client": row["client"],
        "seed": str(row["seed"]),
    }
    for name, value in row.items():
        if name in _AXES or name.startswith("streams.") or value is None:
            continue
        plain = name.removeprefix("counters.")
        yield Line(at, keys, plain, value if plain in _WORDS else int(value))


def _manifest(table: Any, path: Path) -> dict[str, Any]:
    """Return what a file of `compare` says of itself; a sweep's rows say it each."""
    names = set(table.column_names)
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    needed = {"policy", "hardware", "client", "scenario", "seed", "verdict"}
    if not needed <= names or (raw is None and "model" not in names):
        raise UsageError("not simulated rows", path, "a file of `compare` or of a sweep", "other columns")
    try:
        found = json.loads(raw) if raw is not None else {}
    except ValueError as error:
        raise UsageError("not simulated rows", path, "a manifest in JSON", str(error)) from None
    made: dict[str, Any] = found
    return made


def _policy(name: str, manifest: dict[str, Any]) -> str:
    """Return a policy's id with a hash of all that it says: a policy may keep its name and change."""
    from bench.run import hash_of  # noqa: PLC0415
    from bench.sweeps.plan import policy_digest  # noqa: PLC0415
    from smmucore.policies import POLICIES  # noqa: PLC0415

    own = manifest.get("own_policies", {})
    if name in own:
        return f"{name}@{hash_of(own[name])[:12]}"
    return f"{name}@{policy_digest(POLICIES[name])[:12]}" if name in POLICIES else name


def _costs(row: dict[str, Any], manifest: dict[str, Any]) -> str:
    from bench.run import hash_of  # noqa: PLC0415

    values = sorted(manifest.get("cost_ns", {}).items())
    if not values:
        return "default"
    return f"{row['costs']}@{hash_of(values, manifest.get('costs_drawn'), manifest.get('console'))[:12]}"


def head(root: Path) -> tuple[str, datetime | None]:
    """Return the commit of a checkout and when it was made; with ``+`` if the checkout differs from it.

    Raises
    ------
    UsageError
        No git repository.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit, stamp = git("log", "-1", "--format=%H %ct").split()
        dirty = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError, ValueError):
        raise UsageError(
            "no commit", "--commit", "a revision, where there is no git checkout", "none"
        ) from None
    return commit + ("+" if dirty else ""), datetime.fromtimestamp(int(stamp))
