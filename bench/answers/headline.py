"""Question 1: every policy on every part, and the distribution of what accesses had to wait."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pandas as pd

from bench import ask
from bench.answers.base import Answer, Asking, Cell, Question, share
from bench.frames import latency_frame, merged
from bench.run import Row
from bench.table import irqs_per_fault, makespan
from bench.units import show_count, show_ns, three_digits
from smmucore.hardware import COMPARED
from smmucore.policies import POLICIES

#: The distributions that are drawn; the table has every policy.
DRAWN = ("P1", "P2", "P2b", "P4", "P7", "P8", "P9")
#: Fewer, for a first look.
FEW = ("P0", "P1", "P2b", "P4", "P6", "P8", "P9", "clear-all")

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "verdict": "see `smmubench compare`",
    "faults": "faulting translations, as the hardware sees them",
    "irq_per_fault": "hard interrupts for each recorded fault",
    "spurious": "handler passes that saw no new record",
    "resume_ignored": "writes of RESUME without effect",
    "lost": "faults that no register ever told, or told and cleared unread",
    "p50_ns": "median latency of the trace's accesses from their intended issue, ns",
    "p90_ns": "90th percentile, ns",
    "p99_ns": "99th percentile, ns",
    "p99.9_ns": "99.9th percentile, ns",
    "max_ns": "longest, ns",
    "cpu_percent": "time of all contexts on a CPU, in percent of one CPU over the run",
    "span": "end of the last access, as a multiple of the fault-free one; missing: it never ended",
    "irq_none": "handler passes that returned IRQ_NONE",
    "irq_entries": "hard interrupts taken",
    "cpu_irq_ns": "CPU time in hard interrupts, ns",
    "end_ns": "end of the run, simulated ns",
}

CDF_COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "latency_ns": "upper end of a bucket, ns, high by at most 1/64",
    "cumulative": "share of the accesses that took at most latency_ns, 0 to 1",
}

HEADINGS = ("policy", "hardware", "irq/fault", "spurious", "ignored", "lost", "p50", "p99", "p99.9", "CPU %",
            "span", "verdict")  # fmt: skip


def cells(asking: Asking) -> list[Cell]:
    """Return the runs: every policy on every part that it is about."""
    chips = COMPARED[:1] if asking.quick else COMPARED
    ids = FEW if asking.quick else tuple(POLICIES)
    return [Cell(p, ask.SCENARIO, h.name) for h in chips for p in ids if POLICIES[p].is_about(h)]


@lru_cache(maxsize=2)
def rows(asking: Asking) -> tuple[pd.DataFrame, pd.DataFrame, list[Row], dict[str, Any]]:
    """Return a row a run, the distributions of `DRAWN` on the first part, the runs, and the manifest."""
    wanted = cells(asking)
    made = asking.outcomes(wanted)
    frame = pd.DataFrame([_row(row) for _, row, _ in made], columns=list(COLUMNS))
    beats: set[int] = set()
    spread = [latency_frame(outcome, row.policy, row.hardware, beats) for _, row, outcome in made
              if row.policy in DRAWN and row.hardware == COMPARED[0].name]  # fmt: skip
    cdf = merged(pd.concat(spread, ignore_index=True))
    cdf = cdf[cdf["clock"] == "intended"][list(CDF_COLUMNS)].reset_index(drop=True)
    return frame, cdf, [row for _, row, _ in made], asking.manifest(made[0][0], wanted)


def answer(question: Question, asking: Asking) -> Answer:
    """Run every policy on every part."""
    frame, cdf, made, manifest = rows(asking)
    return Answer(question, asking, cdf, CDF_COLUMNS, HEADINGS, [words(row) for row in made], manifest, (
        "The table has every policy; the figure the distributions of the orders most argued about, "
        "on mmu500.",
        "Latencies are from the intended issue time: an access that could not issue because slots were held "
        "by stalled ones has waited too.",
    ), {"runs": frame})  # fmt: skip


def words(row: Row) -> tuple[str, ...]:
    """Return a row of the headline table, as text."""
    c = row.counters
    cpu = share(row, "cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns")
    return (row.policy, row.hardware, irqs_per_fault(c), show_count(c["irq_spurious"]),
            show_count(c["resume_ignored"]), show_count(c["faults_lost"]),
            *(show_ns(row.latency_ns[p]) for p in ("p50", "p99", "p99.9")),
            three_digits(cpu), makespan(row), row.verdict)  # fmt: skip


def _row(row: Row) -> dict[str, object]:
    c = row.counters
    ended = makespan(row) not in ("never", "-")
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "verdict": row.verdict,
        "faults": c["faults_injected"],
        "irq_per_fault": c["irq_entries"] / max(c["faults_recorded"], 1),
        "spurious": c["irq_spurious"],
        "resume_ignored": c["resume_ignored"],
        "lost": c["faults_lost"],
        **{f"{p}_ns": row.latency_ns[p] for p in ("p50", "p90", "p99", "p99.9", "max")},
        "cpu_percent": share(row, "cpu_irq_ns", "cpu_thread_ns", "cpu_work_ns"),
        "span": c["makespan_ns"] / c["faultfree_makespan_ns"] if ended else None,
        "irq_none": c["irq_none"],
        "irq_entries": c["irq_entries"],
        "cpu_irq_ns": c["cpu_irq_ns"],
        "end_ns": row.end_ns,
    }
