"""Reading saved rows back: what `compare -o` writes, a folder of those, or a sweep's folder.

A sweep's files have a counter's bare name and `cost`; a comparison's have ``counters.`` before it, and
`costs`.  What is read here has the comparison's names, whichever it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import UsageError
from bench.rows import METADATA_KEY
from smmucore.counters import MEANINGS

#: Columns that `load_runs` adds; the others are those of `bench.compare`.
RUN_COLUMNS = {
    "run": "file name, or the name of the sweep",
    "trace": "name of the trace",
    "kind": "captured, derived or synthetic",
    "sha256": "of the trace file",
    "policy": "id of the policy",
    "hardware": "preset, with its changes",
    "client": "name of the client",
    "scenario": "verbatim",
    "costs": "name of the cost profile",
    "seed": "of the run",
    "verdict": "see `smmucore.verdict.VERDICTS`",
    "end_ns": "when the last transaction and the last context ended, simulated ns",
    "streams": "latencies of each stream, JSON, ns",
    **{f"counters.{name}": meaning for name, meaning in MEANINGS.items()},
}

_FIRST = ("run", "trace", "kind", "sha256")
_PLAN = "plan.json"


def load_runs(path: str | Path = "runs") -> pd.DataFrame:
    """Read saved runs into one frame, a row a run.

    Parameters
    ----------
    path : str or Path
        A Parquet file that ``smmubench compare`` or ``replay`` wrote, a folder of them, or the folder of a
        sweep.

    Returns
    -------
    pandas.DataFrame
        The columns of `bench.compare`, and those of `RUN_COLUMNS`; times are simulated ns.  Files of a
        folder that are no runs' (curves of ``reach``, traces) are left out.  ``attrs["manifests"]`` has each
        run's manifest, or the sweep's plan, by the name in ``run``.

    Raises
    ------
    bench.errors.UsageError
        Nothing is there, or a file is no table of runs.

    Examples
    --------
    >>> import tempfile
    >>> from bench import grid, ask, rows
    >>> made = grid.compare(ask.case(scenario="as-captured"), [ask.policy("P1")], [ask.preset("mmu500")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = rows.write(made, Path(folder) / "one.parquet")
    ...     found = load_runs(folder)
    >>> found[["run", "trace", "kind", "policy", "verdict"]].iloc[0].tolist()
    ['one', 'qemu-virtio-gpu', 'captured', 'P1', 'safe']
    """
    place = Path(path)
    if place.is_file():
        return _joined([_file(place)], place)
    if (place / _PLAN).is_file():
        return _joined([_sweep(place)], place)
    if not place.is_dir():
        raise UsageError("no runs", place, "a Parquet file of runs, a folder of them, or a sweep", "nothing")
    files = [file for file in sorted(place.glob("*.parquet")) if _is_run(file)]
    return _joined([_file(file) for file in files], place)


def _joined(parts: list[tuple[str, pd.DataFrame, Any]], place: Path) -> pd.DataFrame:
    if not parts:
        raise UsageError("no runs", place, "Parquet files of runs", "none")
    frames = []
    for name, frame, _ in parts:
        frame.insert(0, "run", name)
        frames.append(frame)
    joined = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    first = [name for name in _FIRST if name in joined]
    joined = joined[[*first, *(name for name in joined if name not in first)]]
    joined.attrs["manifests"] = {name: manifest for name, _, manifest in parts}
    return joined


def _is_run(path: Path) -> bool:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return False
    return METADATA_KEY in (schema.metadata or {}) and {"policy", "verdict"} <= set(schema.names)


def _file(path: Path) -> tuple[str, pd.DataFrame, Any]:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise UsageError("not a table", path, "Parquet rows of runs", str(error).splitlines()[0]) from None
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None or not {"policy", "verdict"} <= set(table.column_names):
        found = f"a table of {', '.join(table.column_names[:4])} ..."
        raise UsageError("not rows of runs", path, "what compare -o or replay -o wrote", found)
    manifest = json.loads(raw)
    frame = table.to_pandas().assign(**{name: manifest[name] for name in _FIRST if name in manifest})
    return path.stem, frame, manifest


def _sweep(folder: Path) -> tuple[str, pd.DataFrame, Any]:
    try:
        plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        traces = plan["traces"]
        files = sorted((folder / "rows").glob("*.parquet"))
        table = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError("not a sweep", folder, "plan.json and rows/*.parquet", str(error)) from None
    frame = table.to_pandas()
    # What failed has no result; the sweep's own summary tells of it.
    frame = frame[frame["status"] != "failed"] if "status" in frame else frame
    renamed = {name: f"counters.{name}" for name in MEANINGS} | {"cost": "costs", "trace_sha256": "sha256"}
    frame = frame.rename(columns=renamed).reset_index(drop=True)
    kinds = {name: about["kind"] for name, about in traces.items()}
    return str(plan.get("name") or folder.name), frame.assign(kind=frame["trace"].map(kinds)), plan
