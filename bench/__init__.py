"""Questions put to the model: scenarios, runs, comparisons.

For notebooks and scripts there are a few functions, which take what the command takes::

    import bench

    frame = bench.compare("qemu-virtio-gpu", policies=["P4", "P8"], scenario="burst:n=1k,gap=100us")
    frame.pivot(index="policy", columns="hardware", values="counters.irq_spurious")

A frame has one row a run and the columns of the Parquet files: axes, ``verdict``, ``counters.*``,
``latency_ns.*`` and so on; ``frame.attrs`` holds the manifest.  `load_runs` reads saved files and sweeps
with the same columns, `faults` gives a row a fault, and `latency` whole distributions; docs/pandas.md names
every column and its unit.  `bench.plots` draws them, and `bench.answers` has the fifteen questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "faults", "latency", "load_runs", "replay"]

#: Name -> module: loaded when asked for, since pandas is heavy and most of the command does without.
_LATER = {"faults": "bench.frames", "latency": "bench.frames", "load_runs": "bench.saved"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_LATER[name]), name)


def compare(
    trace: str | None = None,
    *,
    policies: Sequence[str] = (),
    hardware: Sequence[str] = (),
    threads: int = 1,
    policy_files: Sequence[str | Path] = (),
    **options: Any,
) -> pd.DataFrame:
    """Run policies on hardware presets.

    Parameters
    ----------
    trace : str, optional
        A file or the name of a bundled trace; otherwise the one of ``smmubench compare``.
    policies, hardware : sequence of str
        Ids or names; all if empty.
    threads : int
        Does not change the result.
    policy_files : sequence of str or Path
        Users' own policies (docs/policies.md); `policies` may name them.
    **options
        As `bench.ask.case`: client, scenario, costs, console, changes, cpi, clock, cpus, pace, streams,
        tbus, seed.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    bench.errors.UsageError, traces.errors.TraceError
    """
    import pandas as pd  # noqa: PLC0415  (heavy, and the command does without)

    from bench import ask, grid  # noqa: PLC0415
    from bench.rows import flat  # noqa: PLC0415

    own = ask.users(policy_files)
    chosen, chips = ask.chosen(policies, own), ask.presets(hardware)
    result = grid.compare(ask.case(trace or ask.TRACE, **options), chosen, chips, threads, own=own)
    frame = pd.DataFrame([flat(row.to_json()) for row in result.rows])
    frame.attrs["manifest"] = result.manifest
    return frame


def replay(trace: str, policy: str = "P8", hardware: str = "mmu500", **options: Any) -> pd.Series[Any]:
    """Run one cell; as `compare`, but one row as a series, on the trace as it is by default.

    Returns
    -------
    pandas.Series
    """
    options.setdefault("scenario", "as-captured")
    frame = compare(trace, policies=[policy], hardware=[hardware], **options)
    row = frame.iloc[0]
    row.attrs.update(frame.attrs)
    return row
