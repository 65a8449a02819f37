"""The pandas face: runs, faults and latencies as tidy frames, one observation a row.

`import bench` gives these functions; they take what the command takes.  Every column and its unit is in
`RUN_COLUMNS`, `FAULT_COLUMNS` and `LATENCY_COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import ask, grid
from bench.run import Case, Runner
from smmucore.hardware import Hardware
from smmucore.histogram import FROM_INTENDED, FROM_ISSUE, highest_of
from smmucore.policy import Policy
from smmucore.records import OUTCOME_NAMES, RECORD_NAMES
from smmucore.registers import FSR
from smmucore.simulate import Outcome

#: The stories' times, in the order in which they happen.
TIMES = ("intended", "issued", "arrived", "recorded", "irq", "handler_start", "handler_end", "resumed",
         "retired")  # fmt: skip

#: Columns of `faults`: name -> meaning, with the unit.
FAULT_COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset, with its changes",
    "fault": "number of the fault in the run, from 1, in order of arrival at the banks",
    "stream": "stream ID",
    "bank": "number of the context bank",
    "iova": "faulting IOVA, uint64",
    "fsr": "the fault's bits of FSR, by name",
    "record": f"what became of its record: {', '.join(RECORD_NAMES)}",
    "outcome": f"what became of the transaction: {', '.join(OUTCOME_NAMES)}",
    "t_intended_ns": "when the access was meant to issue, simulated ns from the start of the run",
    "t_issued_ns": "when it issued, ns; later than intended where the device was held up",
    "t_arrived_ns": "when the fault reached its context bank, ns",
    "t_recorded_ns": "when FSR, FAR and FSYNR0 held it, ns; missing where they never did",
    "t_irq_ns": "first interrupt entry after it, ns; missing without one",
    "t_handler_start_ns": "when the handler began to look at it, ns; missing if none did",
    "t_handler_end_ns": "when that handler returned, ns",
    "t_resumed_ns": "when RESUME acted on it, ns; missing where it did not stall, or none came",
    "t_retired_ns": "when the transaction ended, ns; missing where it never did",
    "to_resume_ns": "from record to RESUME, or to the transaction's end where none came, ns",
}

#: Columns of `latency`: name -> meaning, with the unit.
LATENCY_COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset, with its changes",
    "stream": "stream ID",
    "heartbeat": "whether the stream is a scenario's heartbeat and no stream of the trace",
    "clock": "intended: from the intended issue time; issue: from the actual one",
    "latency_ns": "upper end of the histogram's bucket, ns: high by at most 1/64, never past the maximum",
    "count": "translations in the bucket",
    "cumulative": "share of the stream's translations that took at most latency_ns, 0 to 1",
}


def faults(
    trace: str | None = None,
    *,
    policies: Sequence[str] = ("P8",),
    hardware: Sequence[str] = ("mmu500",),
    threads: int = 1,
    **options: Any,
) -> pd.DataFrame:
    """Return the story of every fault, one row a fault.

    Parameters
    ----------
    trace : str, optional
        A file or the name of a bundled trace; otherwise the one of ``smmubench compare``.
    policies, hardware : sequence of str
        Ids or names.
    threads : int
        Does not change the result.
    **options
        As `bench.ask.case`.

    Returns
    -------
    pandas.DataFrame
        The columns of `FAULT_COLUMNS`; times are nullable Int64, simulated ns.  ``attrs["manifest"]`` says
        what the run was made of.

    Raises
    ------
    bench.errors.UsageError, traces.errors.TraceError

    Examples
    --------
    >>> import bench
    >>> told = bench.faults(policies=["P8"], scenario="burst:n=2,gap=50us")
    >>> told[["policy", "fault", "fsr", "record", "outcome"]]
      policy  fault fsr    record     outcome
    0     P8      1  TF  recorded  terminated
    1     P8      2  TF  recorded  terminated
    >>> bool((told.t_resumed_ns > told.t_recorded_ns).all())
    True
    """
    case, made = _run(trace, policies, hardware, threads, options)
    frames = [fault_frame(outcome, policy.id, chip.name) for policy, chip, outcome in made]
    return _with_manifest(pd.concat(frames, ignore_index=True), case, policies, hardware)


def latency(
    trace: str | None = None,
    *,
    policies: Sequence[str] = ("P8",),
    hardware: Sequence[str] = ("mmu500",),
    threads: int = 1,
    **options: Any,
) -> pd.DataFrame:
    """Return latency distributions, one row a bucket that holds anything.

    Parameters
    ----------
    trace, policies, hardware, threads, **options
        As `faults`.

    Returns
    -------
    pandas.DataFrame
        The columns of `LATENCY_COLUMNS`, by policy, hardware, stream and clock, latencies ascending.
        ``attrs["manifest"]`` says what the run was made of.

    Raises
    ------
    bench.errors.UsageError, traces.errors.TraceError

    Examples
    --------
    >>> import bench
    >>> found = bench.latency(policies=["P1"], scenario="as-captured")
    >>> both = found.groupby("clock")["count"].sum()
    >>> int(both["issue"]) == int(both["intended"])
    True
    >>> float(found["cumulative"].max())
    1.0
    """
    case, made = _run(trace, policies, hardware, threads, options)
    beats = set(Runner(case).injection.heartbeats)
    frames = [latency_frame(outcome, policy.id, chip.name, beats) for policy, chip, outcome in made]
    return _with_manifest(pd.concat(frames, ignore_index=True), case, policies, hardware)


def fault_frame(outcome: Outcome, policy: str, hardware: str) -> pd.DataFrame:
    """Return the columns of `FAULT_COLUMNS` for one run."""
    told = outcome.faults
    columns: dict[str, Any] = {
        "policy": policy,
        "hardware": hardware,
        "fault": np.arange(1, told.size + 1),
        "stream": told["stream"].astype(np.int64),
        "bank": told["bank"].astype(np.int64),
        "iova": told["iova"],
        "fsr": [FSR.decode(int(bits)) for bits in told["fsr_bits"]],
        "record": [RECORD_NAMES[k] for k in told["record"]],
        "outcome": [OUTCOME_NAMES[k] for k in told["outcome"]],
    }
    for name in TIMES:
        columns[f"t_{name}_ns"] = _times(told[f"t_{name}"])
    end = np.where(told["t_resumed"] >= 0, told["t_resumed"], told["t_retired"])
    known = (told["t_recorded"] >= 0) & (end >= 0)
    columns["to_resume_ns"] = _times(np.where(known, end - told["t_recorded"], -1))
    return pd.DataFrame(columns)


def latency_frame(outcome: Outcome, policy: str, hardware: str, heartbeats: set[int]) -> pd.DataFrame:
    """Return the columns of `LATENCY_COLUMNS` for one run."""
    frames = []
    for k, stream in enumerate(outcome.streams):
        for clock, kind in (("intended", FROM_INTENDED), ("issue", FROM_ISSUE)):
            counts = outcome.histogram[k, kind]
            held = np.flatnonzero(counts)
            if not held.size:
                continue
            most = int(outcome.highest[k, kind])
            columns = {
                "policy": policy,
                "hardware": hardware,
                "stream": stream,
                "heartbeat": stream in heartbeats,
                "clock": clock,
                "latency_ns": [min(highest_of(int(b)), most) for b in held],
                "count": counts[held],
                "cumulative": np.cumsum(counts[held]) / counts.sum(),
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(LATENCY_COLUMNS))


def merged(found: pd.DataFrame, by: Sequence[str] = ("policy", "hardware", "clock")) -> pd.DataFrame:
    """Put the streams of a `latency` frame together: one distribution for each value of `by`."""
    counts = found.groupby([*by, "latency_ns"], as_index=False, sort=True)["count"].sum()
    groups = counts.groupby(list(by))["count"]
    return counts.assign(cumulative=groups.cumsum() / groups.transform("sum"))


def outcomes(
    runner: Runner, policies: Sequence[Policy], hardware: Sequence[Hardware], threads: int = 1
) -> Iterator[tuple[Policy, Hardware, Outcome]]:
    """Run every policy on every hardware that it is about; yield what came of each."""
    cells = [(p, h) for h in hardware for p in policies if p.is_about(h)]
    tasks: list[Callable[[], Outcome]] = [partial(runner.outcome, *cell) for cell in cells]
    for (policy, chip), outcome in zip(cells, grid.in_threads(tasks, threads), strict=True):
        yield policy, chip, outcome


def _run(
    trace: str | Path | None, policies: Sequence[str], hardware: Sequence[str], threads: int, options: Any
) -> tuple[Case, list[tuple[Policy, Hardware, Outcome]]]:
    options = {"scenario": ask.SCENARIO, **options}
    chosen, chips = [ask.policy(name) for name in policies], ask.presets(hardware)
    case = ask.case(trace or ask.TRACE, **options)
    return case, list(outcomes(Runner(case), chosen, chips, threads))


def _with_manifest(
    frame: pd.DataFrame, case: Case, policies: Sequence[str], hardware: Sequence[str]
) -> pd.DataFrame:
    frame.attrs["manifest"] = grid.describe(case, Runner(case), list(policies), list(hardware))
    return frame


def _times(values: Any) -> Any:
    return pd.arrays.IntegerArray(values.astype(np.int64), values < 0)
