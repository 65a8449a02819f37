"""Question 2: CPU time against the rate of faults, and where each policy can no longer follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.run import Row
from bench.units import exact_ns, show_count, three_digits

POLICIES = ("P1", "P4", "P8", "P9", "P16")
#: Who resumes: the handler itself, or a worker.
CLIENTS = {"adreno-nodump": "the handler resumes", "pager": "a worker maps the page and resumes"}

#: ns from one fault to the next: 100 a second to a million.
GAPS = (10_000_000, 3_000_000, 1_000_000, 300_000, 100_000, 60_000, 40_000, 30_000, 20_000, 15_000, 10_000,
        6_000, 3_000, 1_000)  # fmt: skip
FEW = GAPS[::3]

#: Faults of a burst: enough that the end of the last does not matter.
FAULTS = 200
#: A burst that takes so much longer than its faults take to come is not kept up with.
LATE = 1.1

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "client": "who resumes",
    "faults_per_s": "faults of the burst, a second",
    "gap_ns": "time from one fault to the next, ns",
    "irq_percent": "CPU time in hard interrupts, in percent of one CPU over window_ns",
    "cpu_percent": "the same of all contexts: hard interrupt, thread, worker",
    "irq_per_fault": "hard interrupts for each recorded fault",
    "saturated": "whether the last fault was done with later than 1.1 times the burst's length",
    "coalesced": "faults told only by MULTI: a policy follows them only in that sense",
    "window_ns": "from the first fault to the end of the last handler, or of the burst, ns",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run a burst at each rate."""
    gaps = FEW if asking.quick else GAPS
    clients = list(CLIENTS)[:1] if asking.quick else list(CLIENTS)
    wanted = [
        Cell(policy, f"burst:n={FAULTS},gap={exact_ns(gap)}", client=client, axes={"gap": gap})
        for client in clients
        for policy in POLICIES
        for gap in gaps
    ]
    made = asking.outcomes(wanted)
    frame = pd.DataFrame(
        [
            _row(row, outcome.faults, cell.axes["gap"])
            for (_, row, outcome), cell in zip(made, wanted, strict=True)
        ]
    )
    table = [_summary(name, mine) for name, mine in frame.groupby(["client", "policy"], sort=False)]
    headings = ("client", "policy", "first rate it cannot follow", "interrupts/fault there", "worst verdict")
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        f"A burst of {FAULTS} faults at each rate, after which nothing comes. A policy is saturated "
        "at the first "
        f"rate at which the last fault is done with later than {LATE} times the length of the burst.",
        "P1 never stalls: what comes while a fault is outstanding is told by MULTI alone (`coalesced`), and "
        "P9 stalls only the first of a burst; neither follows the faults one by one.",
        "adreno-nodump: a crash dump exists already, so no fault is captured; question 8 has the first.",
        "The ratelimit suppresses all but ten reports; question 5 has what a printed one costs.",
    ))  # fmt: skip


def _row(row: Row, told: Any, gap: int) -> dict[str, object]:
    c = row.counters
    ends = np.maximum(told["t_handler_end"], np.maximum(told["t_resumed"], told["t_retired"]))
    window = max(int(ends.max()) - int(told["t_arrived"].min()), FAULTS * gap)
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "client": row.client,
        "faults_per_s": 1e9 / gap,
        "gap_ns": gap,
        "irq_percent": 100 * c["cpu_irq_ns"] / window,
        "cpu_percent": 100 * sum(c[f"cpu_{name}_ns"] for name in ("irq", "thread", "work")) / window,
        "irq_per_fault": c["irq_entries"] / max(c["faults_recorded"], 1),
        "saturated": window > LATE * FAULTS * gap or c["transactions_pending"] > 0,
        "coalesced": c["faults_coalesced"],
        "window_ns": window,
        "verdict": row.verdict,
    }


def _summary(name: object, mine: pd.DataFrame) -> tuple[str, ...]:
    from smmucore.verdict import VERDICTS  # noqa: PLC0415

    assert isinstance(name, tuple)
    client, policy = name
    late = mine[mine["saturated"]]
    worst = min(mine["verdict"], key=list(VERDICTS).index)
    if late.empty:
        return client, policy, f"none up to {show_count(round(mine['faults_per_s'].max()))}/s", "-", worst
    first = late.sort_values("faults_per_s").iloc[0]
    rate = f"{show_count(round(first['faults_per_s']))}/s"
    return client, policy, rate, three_digits(first["irq_per_fault"]), worst
