"""Question 11: what larger TLBs, a walk cache, and more walk slots buy on a trace that never faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.run import Row
from bench.units import show_ns, three_digits

#: Knob -> (spelling, its values): one at a time, the others as mmu500 has them.
KNOBS: dict[str, tuple[str, tuple[int, ...]]] = {
    "micro-TLB entries": ("utlb={}x8", (1, 2, 4, 8, 16, 32, 64)),
    "TLB entries": ("tlb={}x4", (4, 8, 16, 32, 64, 128, 256, 512, 1024)),
    "walk cache entries": ("walk_cache={}x4", (1, 2, 4, 8, 16, 32, 64)),
    "walk slots": ("walk_slots={}", (1, 2, 3, 4, 6, 8, 16, 32)),
}
WAYS = {"micro-TLB entries": 8, "TLB entries": 4, "walk cache entries": 4, "walk slots": 1}

COLUMNS = {
    "knob": "what is varied",
    "value": "entries, or walks at a time",
    "hardware": "preset, with its change",
    "utlb_hit_percent": "translations that a micro-TLB answers, in percent",
    "hit_percent": "translations that a micro-TLB or the TLB answers, in percent",
    "reads_per_walk": "descriptors read from memory for each walk",
    "p50_ns": "median latency from intended issue, ns",
    "p99_ns": "99th percentile, ns",
    "p99.9_ns": "99.9th percentile, ns",
    "makespan_ns": "end of the last access, ns",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Replay the trace as captured with one field of mmu500 changed at a time."""
    wanted = [
        Cell("P1", "as-captured", hardware=f"mmu500,{spelling.format(n)}", client="none",
             axes={"knob": knob, "value": n * WAYS[knob]})
        for knob, (spelling, values) in KNOBS.items()
        for n in (values[::3] if asking.quick else values)
    ]  # fmt: skip
    made = asking.outcomes(wanted)
    frame = pd.DataFrame([_row(row, cell) for (_, row, _), cell in zip(made, wanted, strict=True)])
    table = [
        (str(row["knob"]), str(row["value"]), f"{row['hit_percent']:.2f}", _reads(row),
         *(show_ns(int(row[f"{p}_ns"])) for p in ("p50", "p99", "p99.9")), show_ns(int(row["makespan_ns"])))
        for row in frame.to_dict("records")
    ]  # fmt: skip
    headings = ("knob", "value", "hits %", "reads/walk", "p50", "p99", "p99.9", "makespan")
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        "One field at a time, the others as mmu500 has them: 8x8 micro-TLB, 128x4 TLB, 16x4 walk "
        "cache, 8 walk "
        "slots. Sizes are a part's build options; only the walk slots are cited (MMU-500 TRM 2.3.5).",
        "With all walk slots busy a miss blocks its channel, hits behind it too.",
    ))  # fmt: skip


def _reads(row: Mapping[Any, Any]) -> str:
    return three_digits(row["reads_per_walk"])


def _row(row: Row, cell: Cell) -> dict[str, object]:
    c = row.counters
    total = max(c["translations"], 1)
    return {
        "knob": cell.axes["knob"],
        "value": cell.axes["value"],
        "hardware": row.hardware,
        "utlb_hit_percent": 100 * c["utlb_hits"] / total,
        "hit_percent": 100 * (c["utlb_hits"] + c["tlb_hits"]) / total,
        "reads_per_walk": c["walk_reads"] / max(c["walks"], 1),
        **{f"{p}_ns": row.latency_ns[p] for p in ("p50", "p99", "p99.9")},
        "makespan_ns": c["makespan_ns"],
    }
