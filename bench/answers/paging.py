"""Question 13: demand paging against the faults in flight that one worker's turn can serve."""

from __future__ import annotations

import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.run import Row
from bench.units import show_count, show_ns

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FEW = (1, 16, 256)
#: Time to map a page: the cited default, and the ends of its range.
MAPS = (1_000, 2_000, 30_000)
PART = "agilex5-mmu600"

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset, with its change",
    "batch": "faults that may be stalled at one time (IDR5.STALL_MAX), and wait for one worker",
    "map_ns": "time to map a page, ns",
    "accesses_per_us": "accesses that ended with an output address, for each simulated us",
    "slowdown": "makespan, as a multiple of the one with everything mapped",
    "faults": "faulting translations",
    "fault_p50_ns": "median from a fault's record to its answer, ns",
    "fault_p99_ns": "99th percentile, ns",
    "terminated": "accesses that were terminated, and whose work is lost",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Replay with nothing mapped, under IOPF on an SMMUv3, and under the orders of SMMUv2."""
    batches, maps = (FEW, MAPS[1:2]) if asking.quick else (BATCHES, MAPS)
    wanted = [
        Cell("v3-iopf", "demand", hardware=f"{PART},stall_max={n}", client="pager",
             changes=(f"map_page={ns}ns",), axes={"batch": n, "map": ns})
        for ns in maps
        for n in batches
    ]  # fmt: skip
    others = [Cell("v3-terminate", "demand", hardware=PART, client="pager", axes={"batch": 0, "map": 2_000})]
    others += [Cell(p, "demand", client="pager", axes={"batch": 1, "map": 2_000}) for p in ("P8", "P16")]
    every = [*wanted, *others]
    made = asking.outcomes(every)
    frame = pd.DataFrame([_row(row, cell) for (_, row, _), cell in zip(made, every, strict=True)])
    table = [
        (str(r["policy"]), str(r["hardware"]), show_ns(int(r["map_ns"])), f"{r['accesses_per_us']:.2f}",
         f"{r['slowdown']:.2f}x", show_ns(int(r["fault_p50_ns"])), show_ns(int(r["fault_p99_ns"])),
         show_count(int(r["terminated"])), str(r["verdict"]))
        for r in frame.to_dict("records")
    ]  # fmt: skip
    headings = (
        "policy",
        "hardware",
        "map",
        "accesses/us",
        "span",
        "fault p50",
        "p99",
        "terminated",
        "verdict",
    )
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], every), (
        "Batch: how many faults may be in flight, which one turn of the worker can serve. Mapping "
        "more than the "
        "page that faulted (fault-around) is not modelled.",
        "A part that may stall only one terminates what else faults meanwhile: those accesses are lost, not "
        "served, so a short makespan with many terminated is no success.",
        "P8 and P16 on an SMMUv2 are a what-if: no upstream driver pages on demand there.",
    ))  # fmt: skip


def _row(row: Row, cell: Cell) -> dict[str, object]:
    c = row.counters
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "batch": cell.axes["batch"],
        "map_ns": cell.axes["map"],
        "accesses_per_us": 1000 * c["completed"] / max(c["makespan_ns"], 1),
        "slowdown": c["makespan_ns"] / max(c["faultfree_makespan_ns"], 1),
        "faults": c["faults_injected"],
        "fault_p50_ns": row.fault_ns["p50"],
        "fault_p99_ns": row.fault_ns["p99"],
        "terminated": c["terminated"],
        "verdict": row.verdict,
    }
