"""Question 10: hits of every TLB size, by page size (`bench.reach`), a row a point."""

from __future__ import annotations

import pandas as pd

from bench import ask
from bench.answers.base import Answer, Asking, Question
from bench.commands.reach import show_bytes
from bench.reach import TOLERABLE, Reach, reach
from smmucore.costs import profile
from traces.catalogue import find
from traces.reader import open_trace

#: Beside the trace that was asked for: real page tables with blocks, and a GPU's own accesses.
BESIDE = ("qemu-dma-tiles", "h200-raster")
PAGES = ("4K", "64K", "2M")
#: Descriptors that a walk without a walk cache reads: 64K is a contiguous run of 4K pages.
READS = {"4K": 4, "64K": 4, "2M": 3}

COLUMNS = {
    "trace": "name of the trace",
    "kind": "captured, derived or synthetic",
    "page": "page size; 64K: contiguous runs of sixteen 4K pages",
    "entries": "of a fully associative LRU TLB",
    "reach_bytes": "entries x page, bytes",
    "hit_ratio": "hits, as a share of the accesses, 0 to 1",
    "ns_per_access": "TLB lookup, and a walk from memory without a walk cache for each miss, on average, ns",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Pass over each trace once."""
    names = dict.fromkeys([asking.trace, *(BESIDE[:1] if asking.quick else BESIDE)])
    made = [reach(open_trace(find(name)), PAGES) for name in names]
    if asking.progress is not None:
        asking.progress(len(made), len(made))
    costs = profile("mobile-big", "none").costs
    rows = []
    for each in made:
        for row in each.flat():
            if row["error"] > TOLERABLE:
                continue
            miss = 1 - row["hit_ratio"]
            walk = READS[row["page"]] * costs["walk_mem"].ns
            rows.append({
                "trace": each.manifest["trace"], "kind": each.manifest["kind"], "page": row["page"],
                "entries": row["entries"], "reach_bytes": row["reach_bytes"], "hit_ratio": row["hit_ratio"],
                "ns_per_access": costs["tlb_hit"].ns + miss * walk,
            })  # fmt: skip
    frame = pd.DataFrame(rows)
    table = [line for each in made for line in _knees(each)]
    headings = ("trace", "kind", "page", "working set", "cliff: 90 % at", "reach", "99 % at", "reach ")
    manifest = {**made[0].manifest, "traces": [each.manifest["trace_manifest"]["name"] for each in made]}
    return Answer(question, asking, frame, COLUMNS, headings, table, manifest, (
        "Reach is entries x page. The cliff: the fewest entries with 90 and 99 % of the endless TLB's hits.",
        "All of a trace as if it were mapped by pages of one size; `smmubench reach TRACE` has every size.",
        f"Costs of a lookup and a walk: {ask.COSTS} ({costs['tlb_hit'].tag}, {costs['walk_mem'].tag}).",
    ))  # fmt: skip


def _knees(each: Reach) -> list[tuple[str, ...]]:
    made = []
    for column in each.columns:
        cells: list[str] = []
        for share in (90, 99):
            knee, size = column.curve.knee(share), column.page_bytes
            cells += (
                ["-", "-"] if knee is None else [str(knee), show_bytes(None if size is None else knee * size)]
            )
        m = each.manifest
        made.append((m["trace"], m["kind"], column.page, show_bytes(column.distinct_bytes), *cells))
    return made
