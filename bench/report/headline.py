"""The headline table of a page: what is shown of each run, and what it is sorted by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.units import show_count, show_ns, three_digits
from smmucore.policies import POLICIES
from smmucore.verdict import VERDICTS


@dataclass(frozen=True)
class Heading:
    """One column: its name, what it means, and whether it is a number."""

    key: str
    label: str
    meaning: str
    number: bool = True


HEADINGS = (
    Heading("policy", "policy", "id of the policy, and its name", number=False),
    Heading("hardware", "hardware", "preset, with its changes", number=False),
    Heading("verdict", "verdict", "what it did, in one word; sorted from worst to best", number=False),
    Heading("faults", "faults", "faulting translations, as the hardware sees them"),
    Heading("irq_per_fault", "irq/fault", "hard interrupts for each recorded fault"),
    Heading("spurious", "spurious", "handler passes that saw no new record"),
    Heading("resume_ignored", "RESUME ignored", "writes of RESUME without effect"),
    Heading("lost", "lost", "faults that no register ever told, or told and cleared unread"),
    Heading("p50_ns", "p50", "median latency from the intended issue"),
    Heading("p99_ns", "p99", "99th percentile"),
    Heading("p99.9_ns", "p99.9", "99.9th percentile"),
    Heading("cpu_percent", "CPU %", "time of all contexts, in percent of one CPU over the run"),
    Heading("span", "span", "end of the last access, as a multiple of the fault-free one"),
)

#: Of a run that never ended: it is sorted last.
NEVER = 1e18


@dataclass(frozen=True)
class Cell:
    """What is shown, what it is sorted by, and what is said of it."""

    text: str
    sort: str
    more: str = ""


def of_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the headline's columns of a frame of `bench.load_runs`."""
    c = {
        name: frame[f"counters.{name}"]
        for name in (
            "faults_injected",
            "faults_recorded",
            "irq_entries",
            "irq_spurious",
            "resume_ignored",
            "faults_lost",
            "cpu_irq_ns",
            "cpu_thread_ns",
            "cpu_work_ns",
            "makespan_ns",
            "faultfree_makespan_ns",
            "transactions_pending",
        )
    }
    ended = (c["transactions_pending"] == 0) & ~frame["verdict"].isin(["hang", "livelock"])
    made = {
        **{
            name: frame[name]
            for name in ("policy", "hardware", "verdict", "scenario", "client", "costs", "seed")
        },
        "faults": c["faults_injected"],
        "irq_per_fault": c["irq_entries"] / c["faults_recorded"].clip(lower=1),
        "spurious": c["irq_spurious"],
        "resume_ignored": c["resume_ignored"],
        "lost": c["faults_lost"],
        **{f"{p}_ns": frame[f"latency_ns.{p}"] for p in ("p50", "p90", "p99", "p99.9", "max")},
        "cpu_percent": 100
        * (c["cpu_irq_ns"] + c["cpu_thread_ns"] + c["cpu_work_ns"])
        / frame["end_ns"].clip(lower=1),
        "span": (c["makespan_ns"] / c["faultfree_makespan_ns"].clip(lower=1)).where(ended),
    }
    return pd.DataFrame(made)


def headings(frame: pd.DataFrame) -> list[Heading]:
    """Return the columns to show: axes that vary, beside policy and hardware, get one of their own."""
    more = [
        Heading(name, name, f"{name} of the run", number=False)
        for name in ("scenario", "client", "costs", "seed")
        if name in frame and frame[name].nunique() > 1
    ]
    return [*HEADINGS[:2], *more, *HEADINGS[2:]]


def cells(row: dict[Any, Any], heading: Heading) -> Cell:
    """Return what one column shows of a row."""
    value = row[heading.key]
    if heading.key == "policy":
        known = POLICIES.get(value)
        return Cell(
            value,
            f"{list(POLICIES).index(value) if known else len(POLICIES):03}{value}",
            f"{known.name}: {known.why}" if known else "",
        )
    if heading.key == "verdict":
        return Cell(value, str(list(VERDICTS).index(value)), VERDICTS[value])
    if not heading.number:
        return Cell(str(value), str(value))
    number = float(value) if value is not None else math.nan
    if math.isnan(number):
        return Cell("never" if heading.key == "span" else "-", str(NEVER))
    return Cell(_text(heading.key, number), f"{number:.9g}", f"{number:,.6g}")


def _text(key: str, number: float) -> str:
    if key.endswith("_ns"):
        return show_ns(number)
    if key == "span":
        return f"{three_digits(number)}x"
    if key in ("irq_per_fault", "cpu_percent"):
        return three_digits(number) if number < 1000 else show_count(round(number))
    return show_count(int(number))
