"""Question 6: from a fault's record to its RESUME, by the context that resumes, its CPU and its load."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.frames import fault_frame
from bench.stats import of_samples
from bench.units import show_ns

#: Context -> policy: who writes RESUME.
CONTEXTS = {"hard IRQ": "P4", "IRQ thread": "P8", "worker": "P16"}
CLIENT = "adreno-nodump"
SCENARIO = "burst:n=500,gap=200us"
FEW = "burst:n=100,gap=200us"
#: A loaded CPU, as a distribution of wake-ups.
LOADED = ("thread_wake=lognormal:p50=5us,p99=50us", "work_wake=lognormal:p50=25us,p99=4ms")

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "context": "who writes RESUME",
    "load": "idle: wake-ups as counted on an idle machine; loaded: drawn from a lognormal distribution",
    "fault": "number of the fault, from 1",
    "to_resume_ns": "from the fault's record to its RESUME, ns",
    "cumulative": "share of the faults that took at most so long, 0 to 1",
    "irqs_off_ns": "time of one hard interrupt, on average, ns: how long its CPU hears no other",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run the same faults under each context and load."""
    wanted = [
        Cell(policy, FEW if asking.quick else SCENARIO, client=CLIENT, changes=changes,
             axes={"context": context, "load": load})
        for context, policy in CONTEXTS.items()
        for load, changes in (("idle", ()), ("loaded", LOADED))
        if not (context == "hard IRQ" and changes)
    ]  # fmt: skip
    made = asking.outcomes(wanted)
    frames, table = [], []
    for cell, (_, row, outcome) in zip(wanted, made, strict=True):
        told = fault_frame(outcome, row.policy, row.hardware)
        took = np.sort(told["to_resume_ns"].dropna().to_numpy(np.int64))
        c = row.counters
        masked = c["cpu_irq_ns"] / c["irq_entries"]
        frames.append(pd.DataFrame({
            "policy": row.policy, "hardware": row.hardware, **cell.axes,
            "fault": np.arange(1, took.size + 1), "to_resume_ns": took,
            "cumulative": np.arange(1, took.size + 1) / took.size, "irqs_off_ns": masked,
        }))  # fmt: skip
        at = of_samples(took)
        times = (*(show_ns(at[p]) for p in ("p50", "p99", "max")), show_ns(masked))
        table.append((cell.axes["context"], row.policy, cell.axes["load"], *times, row.verdict))
    frame = pd.concat(frames, ignore_index=True)
    frame["fault"] = frame["fault"].astype(int)
    headings = ("context", "policy", "load", "p50", "p99", "max", "hard IRQ, mean", "verdict")
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        "Idle: wake-ups as counted on an idle arm64 Linux 6.1. Loaded: drawn from lognormal distributions "
        "(thread p50 5 us and p99 50 us; worker 25 us and 4 ms; assumptions, the seed is recorded).",
        "A hard interrupt wakes nobody, so its distribution has no load. It pays with interrupts off: the "
        "column of the table is the mean of one interrupt, print included.",
        "P16 on SMMUv2 is a what-if: no driver does IOPF there.",
    ))  # fmt: skip
