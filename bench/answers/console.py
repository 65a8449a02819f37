"""Question 5: where the time of one fault goes, by console; each part found by making it cost nothing."""

from __future__ import annotations

import pandas as pd

from bench import ask
from bench.answers.base import Answer, Asking, Cell, Question
from bench.frames import fault_frame
from bench.units import show_ns

CONSOLES = ("none", "ring", "netconsole", "serial-921600", "serial-115200", "threaded-115200")
FEW = ("none", "ring", "serial-115200")
POLICIES = ("P4", "P8")
CLIENT = "adreno-nodump"

#: Twelve faults within five seconds: the ratelimit lets ten of each report through (K4).
SCENARIO = "burst:n=12,gap=200ms"
PRINTED, SUPPRESSED = 0, 11

#: Parts of a fault's time, in the order in which a handler meets them, and the costs of each.
PARTS = {
    "interrupt": ("irq_", "oneshot_", "thread_wake", "queue_work", "work_wake"),
    "MMIO": ("mmio_",),
    "log": ("log_", "console_", "printer_"),
}
REST = "report"

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "console": "where kernel messages go",
    "report": "printed: the first fault; suppressed: the twelfth, which the ratelimit keeps quiet",
    "part": f"what the time went to: {', '.join(PARTS)}; {REST}: the rest, mostly the report to the client",
    "ns": "simulated ns of this part, from the record of the fault to RESUME",
    "total_ns": "all parts, ns",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run the same faults with every part in turn costing nothing."""
    consoles = FEW if asking.quick else CONSOLES
    from smmucore.costs import NAMES  # noqa: PLC0415

    without: dict[str, tuple[str, ...]] = {"": ()}
    for part, heads in PARTS.items():
        without[part] = tuple(f"{name}=0" for name in NAMES if name.startswith(heads))
    wanted = [
        Cell(policy, SCENARIO, client=CLIENT, console=console, changes=changes,
             axes={"console": console, "without": part})
        for policy in POLICIES
        for console in consoles
        for part, changes in without.items()
    ]  # fmt: skip
    made = asking.outcomes(wanted)
    took = {}
    for cell, (_, row, outcome) in zip(wanted, made, strict=True):
        told = fault_frame(outcome, row.policy, row.hardware)["to_resume_ns"]
        for report, at in (("printed", PRINTED), ("suppressed", SUPPRESSED)):
            took[cell.policy, cell.axes["console"], report, cell.axes["without"]] = int(told.iloc[at])
    rows = []
    for policy in POLICIES:
        for console in consoles:
            for report in ("printed", "suppressed"):
                whole = took[policy, console, report, ""]
                parts = {part: whole - took[policy, console, report, part] for part in PARTS}
                parts[REST] = whole - sum(parts.values())
                rows += [
                    {"policy": policy, "hardware": "mmu500", "console": console, "report": report,
                     "part": part, "ns": ns, "total_ns": whole}
                    for part, ns in parts.items()
                ]  # fmt: skip
    frame = pd.DataFrame(rows)
    table = [
        (str(policy), str(console), str(report), *(show_ns(int(ns)) for ns in mine["ns"]),
         show_ns(int(mine["total_ns"].iloc[0])))
        for (policy, console, report), mine in frame.groupby(["policy", "console", "report"], sort=False)
    ]  # fmt: skip
    headings = ("policy", "console", "report", *PARTS, REST, "total")
    base = next(runner for (runner, _, _), cell in zip(made, wanted, strict=True)
                if cell.console == ask.find_costs(ask.Asked()).console and not cell.changes)  # fmt: skip
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(base, wanted), (
        f"One fault, from record to RESUME (client {CLIENT}). A part is what the time falls by when "
        "everything "
        "of that part costs 0 ns; the rest is what is left.",
        "threaded: what Linux calls nbcon; the handler only stores the line, a thread of its own prints it.",
        "Serial speeds are arithmetic (10 bits a character); netconsole is assumed (docs/costs.md).",
    ))  # fmt: skip
