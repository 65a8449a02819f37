"""Question 8: a crash dump's time, and what another stream waits meanwhile."""

from __future__ import annotations

import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.frames import TIMES, fault_frame
from bench.run import Row
from bench.units import show_count, show_ns

#: Policy -> the driver of its time.
DRIVERS = {"P4": "adreno-worker", "P8": "adreno-inline", "P9": "adreno-cooldown", "P10": "gmu-wait"}
MS = 1_000_000
CAPTURES = tuple(n * MS for n in (1, 2, 5, 8, 10, 12, 15, 20, 50, 100, 200, 500))
FEW = tuple(n * MS for n in (2, 20, 200))
#: Beats go on for 600 ms, longer than any capture.
SCENARIO = "burst:n=200,gap=500ns+heartbeat:every=100us,n=6000"
#: K7.
HFI = 1_000_000_000

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "client": "the driver of the policy's time",
    "capture_ns": "time of one devcoredump capture, ns",
    "beat_p99_ns": "99th percentile of the other stream's latency, ns",
    "beat_max_ns": "its longest, ns",
    "oob_timeouts": "its deadlines of 10 ms missed (GMU out-of-band)",
    "hfi_timeout": "whether its longest latency is beyond 1 s (HFI)",
    "stalled_ns": "time with SS set, ns",
    "cpu_irq_ns": "CPU time in hard interrupts, ns",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run a storm under each driver with each capture time."""
    captures = FEW if asking.quick else CAPTURES
    wanted = [
        Cell(policy, SCENARIO, client=client, changes=(f"capture={ns}ns",), axes={"capture": ns})
        for policy, client in DRIVERS.items()
        for ns in captures
    ]
    made = asking.outcomes(wanted)
    frame = pd.DataFrame(
        [_row(row, cell.axes["capture"]) for (_, row, _), cell in zip(made, wanted, strict=True)]
    )
    stories = [_story(row, outcome, cell.axes["capture"]) for (_, row, outcome), cell in
               zip(made, wanted, strict=True) if cell.axes["capture"] == 20 * MS]  # fmt: skip
    table = [
        (str(policy), str(mine["client"].iloc[0]), show_ns(int(at["capture_ns"])),
         show_ns(int(at["beat_max_ns"])), show_count(int(at["oob_timeouts"])),
         "yes" if at["hfi_timeout"] else "no", str(at["verdict"]))
        for policy, mine in frame.groupby("policy", sort=False)
        for _, at in mine[mine["capture_ns"].isin(FEW)].iterrows()
    ]  # fmt: skip
    headings = ("policy", "client", "capture", "longest wait", "OOB timeouts", "HFI", "verdict")
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        "200 faults, 500 ns apart, beside a stream with the GMU's deadline (10 ms) on the same TBU. "
        "No published "
        "timing of a capture was found; 20 ms is assumed, 2 to 500 ms its range, and the figure its effect.",
        "The rows `first fault` have the story of the fault that is captured, in ns.",
    ), {"first fault": pd.DataFrame(stories)})  # fmt: skip


def _row(row: Row, capture: int) -> dict[str, object]:
    beat, c = row.heartbeat_ns or {}, row.counters
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "client": row.client,
        "capture_ns": capture,
        "beat_p99_ns": beat["p99"],
        "beat_max_ns": beat["max"],
        "oob_timeouts": c["watchdogs"],
        "hfi_timeout": beat["max"] > HFI,
        "stalled_ns": c["stalled_ns"],
        "cpu_irq_ns": c["cpu_irq_ns"],
        "verdict": row.verdict,
    }


def _story(row: Row, outcome: object, capture: int) -> dict[str, object]:
    first = fault_frame(outcome, row.policy, row.hardware).iloc[0]  # type: ignore[arg-type]
    times = {f"t_{name}_ns": first[f"t_{name}_ns"] for name in TIMES}
    return {"policy": row.policy, "client": row.client, "capture_ns": capture, **times}
