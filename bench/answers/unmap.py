"""Question 12: what an unmap's invalidation costs, page by page or all at once, and the misses after it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import ask
from bench.answers.base import Answer, Asking, Question
from bench.run import Runner
from bench.units import show_ns
from smmucore.hardware import find
from smmucore.policies import POLICIES
from traces.events import (
    EVENT,
    MAP,
    PA_UNKNOWN,
    PROT_READ,
    PROT_WRITE,
    READ,
    TLBI,
    TLBI_ASID,
    TLBI_SYNC,
    TLBI_VA,
    UNMAP,
)
from traces.manifest import Manifest, Space, Stream, Tool
from traces.writer import TraceWriter

PAGE = 4096
SIZES = tuple(PAGE << k for k in range(14))
FEW = SIZES[::4]
#: Pages in use elsewhere, which TLBIASID drops too: half of mmu500's TLB.
OTHERS = 256
PER_PAGE, AT_ONCE = "TLBIVA each", "one TLBIASID"

#: Measured on a SM8150 before TLBIASID (Linux ef75702d6d65): bytes -> ns of the whole unmap, tables included.
SM8150 = {4 << 10: 1_850, 64 << 10: 8_800, 1 << 20: 130_700, 2 << 20: 67_300, 32 << 20: 1_033_000}
MEASURED = "SM8150, measured"

COLUMNS = {
    "strategy": f"{PER_PAGE}: a TLBIVA for each page; {AT_ONCE}; {MEASURED}: cited, page-table work included",
    "bytes": "size of what is unmapped, bytes",
    "unmap_ns": "time of the CPU that asks, in TLBIs and the sync behind them, ns",
    "tlbi_writes": "register writes of TLBIs",
    "refill_walks": f"walks that {OTHERS} pages in use elsewhere need afterwards",
    "refill_ns": "time by which the accesses to them end later than if all had hit, ns",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Make a trace for each size and strategy, and replay it."""
    sizes = FEW if asking.quick else SIZES
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="smmubench-") as folder:
        path = Path(folder) / "unmap-cost.parquet"
        runner = None
        for k, size in enumerate(sizes):
            calm = None
            for strategy in ("none", PER_PAGE, AT_ONCE):
                _write(path, size, strategy)
                case = ask.case(
                    path, scenario="as-captured", costs=asking.costs, seed=asking.seed, client="none"
                )
                runner = Runner(case)
                row = runner.run(POLICIES["P1"], find("mmu500"))
                if calm is None:
                    calm = row
                    continue
                c = row.counters
                rows.append({
                    "strategy": strategy, "bytes": size, "unmap_ns": c["cpu_tlbi_ns"],
                    "tlbi_writes": c["tlbi_writes"], "refill_walks": c["walks"] - calm.counters["walks"],
                    "refill_ns": c["makespan_ns"] - calm.counters["makespan_ns"],
                })  # fmt: skip
            if asking.progress is not None:
                asking.progress(k + 1, len(sizes))
        assert runner is not None
        manifest = asking_manifest(runner)
    rows += [{"strategy": MEASURED, "bytes": size, "unmap_ns": ns} for size, ns in SM8150.items()]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        dict.fromkeys(("tlbi_writes", "refill_walks", "refill_ns"), "Int64")
    )
    from bench.commands.reach import show_bytes  # noqa: PLC0415

    table = [
        (str(r["strategy"]), show_bytes(int(r["bytes"])), show_ns(int(r["unmap_ns"])),
         *("-" if pd.isna(r[name]) else str(r[name]) for name in ("tlbi_writes", "refill_walks")),
         "-" if pd.isna(r["refill_ns"]) else show_ns(int(r["refill_ns"])))
        for r in frame.to_dict("records")
    ]  # fmt: skip
    headings = ("strategy", "size", "unmap", "TLBI writes", "walks after", "time after")
    return Answer(question, asking, frame, COLUMNS, headings, table, manifest, (
        "The traces are synthetic: a buffer is unmapped, and 256 pages in use elsewhere are read "
        "before and after.",
        "The SM8150's figures are of whole unmaps, page-table work included, before Linux "
        "ef75702d6d65; its 2 MB "
        "is one block. The model's are the TLBIs and the sync alone: it should lie below.",
        "Between 4 KB and some size TLBIVA is the cheaper: TLBIASID makes every other page miss once.",
    ))  # fmt: skip


def asking_manifest(runner: Runner) -> dict[str, Any]:
    """Describe the last of the runs."""
    from bench import grid  # noqa: PLC0415

    return grid.describe(runner.case, runner, ["P1"], ["mmu500"])


def _write(path: Path, size: int, strategy: str) -> None:
    base, other, gap = 1 << 30, 2 << 30, 200
    maps = _events(2, MAP, np.array([base, other]), np.array([size, OTHERS * PAGE]), PROT_READ | PROT_WRITE)
    maps["pa"] = maps["iova"]
    reads = _events(OTHERS, READ, other + PAGE * np.arange(OTHERS), 64, 0)
    last = {
        "none": [],
        PER_PAGE: [(TLBI, TLBI_VA), (TLBI, TLBI_SYNC)],
        AT_ONCE: [(TLBI, TLBI_ASID), (TLBI, TLBI_SYNC)],
    }
    gone = [_events(1, UNMAP, np.array([base]), size, 0)]
    gone += [_events(1, op, np.array([base]), size, prot) for op, prot in last[strategy]]
    made = np.concatenate([maps, reads, *gone, reads])
    made["t_ns"] = gap * np.arange(made.size)
    with TraceWriter(path, _MANIFEST, level=1) as writer:
        writer.append(made)


def _events(number: int, op: int, iova: Any, size: Any, prot: int) -> Any:
    made = np.zeros(number, EVENT)
    made["op"], made["iova"], made["size"], made["prot"], made["pa"] = op, iova, size, prot, PA_UNKNOWN
    return made


_MANIFEST = Manifest(
    name="unmap-cost",
    title="a buffer that is unmapped, and pages in use elsewhere",
    kind="synthetic",
    source="made by smmubench for question 12: no recording",
    device="none: made by formula",
    tool=Tool(name="smmubench answer 12", version="1"),
    clock="made up: an event every 200 ns",
    clock_is_real=False,
    streams=[Stream(stream=0, name="device", space=0)],
    spaces=[Space(space=0, name="device", asid=1)],
    licence="MIT",
    invalidation="explicit",
    direction="every access is a read",
    not_contained=["A device: no access was ever made"],
)
