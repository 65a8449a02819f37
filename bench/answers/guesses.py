"""Question 14: over which costs the headline orderings hold (`bench.sensitivity`), a row a cost."""

from __future__ import annotations

import math

import pandas as pd

from bench.answers.base import Answer, Asking, Question
from bench.orderings import METRICS, ORDERINGS, SCENARIO
from bench.sensitivity import sensitivity
from smmucore.hardware import find

COLUMNS = {
    "ordering": "name of the claim",
    "claim": "in words",
    "formula": "which policy is below which",
    "metric": "what is compared",
    "unit": "of the differences",
    "cost": "the cost that is varied",
    "tag": "cited or assumed",
    "low": "low end of its range, with its unit",
    "high": "high end",
    "at_low": "the first policy's metric less the second's at the low end; missing: one never ended",
    "at_default": "with the default costs",
    "at_high": "with the cost at the high end",
    "swing": "how far the difference moves",
    "holds": "over which part of the range the claim holds",
    "everywhere": "whether it holds over all of it",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Vary each cost over its range."""
    wanted = list(ORDERINGS.values())[:1] if asking.quick else list(ORDERINGS.values())
    made = sensitivity(asking.case(SCENARIO), wanted, [find("mmu500")], asking.threads, asking.progress)
    rows = []
    for tornado in made.tornadoes:
        o, metric = tornado.ordering, METRICS[tornado.ordering.metric]
        rows += [
            {"ordering": o.name, "claim": o.claim, "formula": o.formula, "metric": metric.title,
             "unit": metric.unit, "cost": bar.knob.name, "tag": bar.knob.tag,
             "low": bar.knob.show(bar.knob.low), "high": bar.knob.show(bar.knob.high),
             **{f"at_{end}": _finite(getattr(bar, end).difference) for end in ("low", "default", "high")},
             "swing": _finite(bar.swing), "holds": bar.where, "everywhere": bar.everywhere}
            for bar in tornado.bars
        ]  # fmt: skip
    frame = pd.DataFrame(rows)
    table = []
    for name, mine in frame.groupby("ordering", sort=False):
        broken = mine[~mine["everywhere"]]
        for row in broken.to_dict("records"):
            table.append((str(name), str(row["formula"]), f"{row['cost']} ({row['tag']})", str(row["holds"])))
        if broken.empty:
            table.append((str(name), str(mine["formula"].iloc[0]), "no cost flips it", "every range"))
    headings = ("ordering", "claim", "cost that flips it", "holds over")
    return Answer(question, asking, frame, COLUMNS, headings, table, made.manifest, (
        "One cost at a time goes to the ends of its range; counted instructions move with CPI and clock.",
        "A flip and back within one part of a range (low to default, default to high) is not seen.",
    ))  # fmt: skip


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
