"""A report of runs that were saved before: what their rows can show, and nothing that they cannot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench import plots
from bench.errors import UsageError
from bench.report import provenance
from bench.report.headline import of_runs
from bench.report.page import MOST_ROWS, Report, Section, as_csv
from bench.report.svg import inline
from bench.saved import RUN_COLUMNS, load_runs
from bench.units import duration, show_ns

_BURST = re.compile(r"burst:n=(\w+),gap=([0-9.]+(?:ns|us|ms|s))(\+|$)")
#: A curve of fewer points is none.
_POINTS = 3


def report(path: str) -> Report:
    """Return the report of a file of runs, a folder of them, or a sweep.

    Raises
    ------
    UsageError
    """
    frame = load_runs(path)
    if frame.empty:
        raise UsageError("no runs", path, "runs that ended", "none")
    at = provenance.commit()
    manifests = frame.attrs["manifests"]
    first = next(iter(manifests.values()))
    command = shlex.join(["smmubench", "report", str(path)])
    pairs = _pairs(frame, manifests, at)
    common = {
        "command": command,
        "pairs": pairs,
        "asked_by": "",
        "hardware": list(dict.fromkeys(h.partition(",")[0] for h in frame["hardware"])),
        "costs": str(frame["costs"].iloc[0]).partition(",")[0],
    }
    sections = [_percentiles(frame, common)]
    storm = _storm(frame)
    if storm is not None:
        sections.append(_curve(storm, common))
    consoles = first.get("console", "ring")
    costs = [
        made
        for name in dict.fromkeys(frame["costs"].str.partition(",")[0])
        if (made := provenance.costs(name, consoles)) is not None
    ]
    names = ", ".join(manifests)
    return Report(
        f"smmubench: {names}",
        of_runs(frame),
        sections,
        first,
        provenance.hardware(list(frame["hardware"])),
        costs,
        at,
        command,
        [("the other questions", "smmubench report answers all of them")],
    )


def _pairs(frame: pd.DataFrame, manifests: Mapping[str, Any], at: str) -> list[tuple[str, str]]:
    first = next(iter(manifests.values()))
    if "trace_manifest" in first and len(manifests) == 1:
        return provenance.pairs(first, at)
    traces = frame[["trace", "kind", "sha256"]].drop_duplicates()
    told = [f"{t} ({kind}, sha256 {sha[:16]})" for t, kind, sha in traces.itertuples(index=False)]
    axes = [
        (name, ", ".join(map(str, frame[name].unique()[:6])))
        for name in ("scenario", "client", "costs", "seed")
    ]
    model = str(first.get("model") or first.get("kernels", ""))[:12]
    made_by = f"smmubench {first.get('smmubench', '')}, model {model}"
    return [
        ("runs", ", ".join(manifests)),
        ("trace", "; ".join(told)),
        *axes,
        ("made by", made_by),
        ("this page by", f"commit {at}"),
    ]


def _percentiles(frame: pd.DataFrame, common: dict[str, Any]) -> Section:
    columns = [f"latency_ns.{p}" for p in ("p50", "p90", "p99", "p99.9", "max")]
    told = frame[["policy", "hardware", "scenario", "verdict", *columns]]
    rows = [
        (r["policy"], r["hardware"], *(show_ns(r[c]) for c in columns), r["verdict"])
        for r in told.to_dict("records")
    ]
    figure = plots.percentile_dots(told)
    title = "Percentiles of latency by policy; the rows follow as a file."
    meanings = {
        **{k: v for k, v in RUN_COLUMNS.items() if k in frame},
        **dict.fromkeys(columns, "percentile of the latency of the trace's accesses from intended issue, ns"),
    }
    notes = ("Distributions are not in saved rows: `bench.latency` or `smmubench answer 1` has them.",)
    return Section(
        name="latency",
        title="Percentiles of latency",
        question="What does each policy cost an access?",
        svg=inline(figure, "latency", title),
        headings=("policy", "hardware", "p50", "p90", "p99", "p99.9", "max", "verdict"),
        rows=rows[:MOST_ROWS],
        files=[("runs.csv", as_csv(frame.drop(columns="streams", errors="ignore")))],
        columns=meanings,
        notes=notes,
        **common,
    )


def _storm(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return the rows that differ in the gap of a burst only, with their rate; None if they are no curve."""
    found = frame["scenario"].map(_BURST.match)
    bursts = frame[found.notna()]
    if bursts.empty:
        return None
    gaps = found[found.notna()].map(lambda match: duration(match[2]))
    made = pd.DataFrame(
        {
            "policy": bursts["policy"],
            "client": bursts["client"] + " on " + bursts["hardware"],
            "faults_per_s": 1e9 / gaps.clip(lower=1),
            "irq_percent": 100 * bursts["counters.cpu_irq_ns"] / bursts["end_ns"],
            "cpu_percent": 100
            * bursts[[f"counters.cpu_{name}_ns" for name in ("irq", "thread", "work")]].sum(axis=1)
            / bursts["end_ns"],
            "saturated": bursts["counters.transactions_pending"] > 0,
        }
    )
    # Seeds and other axes: the mean of what shares a point.
    keys = ["policy", "client", "faults_per_s"]
    made = made.groupby(keys, as_index=False, sort=False).agg(
        {"irq_percent": "mean", "cpu_percent": "mean", "saturated": "max"}
    )
    return made if made["faults_per_s"].nunique() >= _POINTS else None


def _curve(storm: pd.DataFrame, common: dict[str, Any]) -> Section:
    columns = {
        "policy": "id of the policy",
        "client": "client and hardware",
        "faults_per_s": "faults of the burst, a second",
        "irq_percent": "CPU time in hard interrupts, in percent of one CPU over the whole run",
        "cpu_percent": "the same of all contexts",
        "saturated": "whether a run was cut off with accesses pending",
    }
    title = "CPU time against the rate of faults; the rows follow as a file."
    notes = (
        "Over the whole run, what comes after the burst included; `smmubench answer 2` looks at the "
        "burst alone.",
    )
    return Section(
        name="storm",
        title="The storm curve",
        question="At what fault rate does each policy tip into a storm?",
        svg=inline(plots.storm_curve(storm), "storm", title),
        headings=(),
        rows=(),
        files=[("storm.csv", as_csv(storm))],
        columns=columns,
        notes=notes,
        **common,
    )
