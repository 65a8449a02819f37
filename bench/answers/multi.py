"""Question 7: the MULTI window (`bench.window`), a row a point."""

from __future__ import annotations

import pandas as pd

from bench.answers.base import Answer, Asking, Question
from bench.units import show_ns
from bench.window import NOT_SETTLED, PER_DECADE, WHY_NOT_MMU500, window

FAULTS, FEW_FAULTS = 400, 100
PER, FEW_PER = 8, 4

COLUMNS = {
    "panel": "which of the settings",
    "title": "the setting, in words",
    "hardware": "preset, with its changes",
    "counter": "what `value` counts",
    "policy": "id of the policy",
    "gap_ns": "time from one fault of the burst to the next, ns",
    "faults": "of the burst",
    "value": "RESUMEs ignored, or entries with MULTI alone (ghosts)",
    "injected": "faulting translations",
    "recorded": "faults whose syndrome was held",
    "coalesced": "faults told only by MULTI",
    "lost": "faults that no register ever told",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run the bursts of `smmubench window`, fewer to a decade."""
    per, faults = (FEW_PER, FEW_FAULTS) if asking.quick else (PER, FAULTS)
    gaps = [round(10 ** (2 + k / per)) for k in range(3 * per + 1)]
    made = window(asking.case(f"burst:n={faults}"), gaps, faults, asking.threads, asking.progress)
    rows = []
    for curves in made.curves:
        p = curves.panel
        for policy, points in curves.points.items():
            for point in points:
                c = point.counters
                rows.append({
                    "panel": p.name, "title": p.title, "hardware": p.hardware, "counter": p.what,
                    "policy": policy, "gap_ns": point.gap_ns, "faults": faults, "value": c[p.counter],
                    **{name: c[f"faults_{name}"] for name in ("injected", "recorded", "coalesced", "lost")},
                    "verdict": point.verdict,
                })  # fmt: skip
    frame = pd.DataFrame(rows)
    table = []
    for key, mine in frame.groupby(["title", "policy"], sort=False):
        title, policy = map(str, key)
        worst = mine.sort_values("value", ascending=False).iloc[0]
        at = show_ns(int(worst["gap_ns"])) if worst["value"] else "-"
        table.append((title, policy, str(worst["value"]), at, str(mine["lost"].max())))
    told = frame["recorded"] + frame["coalesced"] + frame["lost"]
    kept = int((told == frame["injected"]).sum())
    headings = ("setting", "policy", f"most, of {faults}", "at a gap of", "lost at most")
    return Answer(question, asking, frame, COLUMNS, headings, table, made.manifest, (
        f"Conservation: injected = recorded + coalesced + lost in {kept} of {len(frame)} runs; where "
        "a run was "
        "cut off the rest is pending.",
        f"Not settled: {NOT_SETTLED}.",
        f"Ghosts: {WHY_NOT_MMU500}.",
        f"`smmubench window` has {PER_DECADE} gaps a decade, and bursts of 1,000.",
    ))  # fmt: skip
