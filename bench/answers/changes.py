"""Question 15: the simulated results of this code beside saved ones, compared for equality."""

from __future__ import annotations

import pandas as pd

from bench.answers import headline
from bench.answers.base import Answer, Asking, Question
from bench.errors import UsageError
from bench.rows import flat
from bench.saved import load_runs

KEYS = ["policy", "hardware", "client", "scenario", "costs", "seed"]

#: What is compared, by the start of its name.
MEASURED = ("counters.", "latency_ns.", "fault_ns.")

COLUMNS = {
    **dict.fromkeys(KEYS, "axis of the run"),
    "counter": "what differs",
    "before": "in the saved run; ns where the name ends in _ns, otherwise a count",
    "after": "with this code",
    "percent": "change, in percent of the value before; missing where that was 0",
}


def changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return what differs between two frames of runs, a row a number: simulated results are exact.

    Parameters
    ----------
    before, after : DataFrame
        As `bench.compare` or `bench.load_runs` give them.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, for cells that are in both; empty where all are equal.

    Examples
    --------
    >>> cell = dict.fromkeys(KEYS, "x")
    >>> before, after = (pd.DataFrame([{**cell, "counters.walks": n}]) for n in (4, 5))
    >>> made = changes(before, after)
    >>> made[["counter", "before", "after", "percent"]].values.tolist()
    [['counters.walks', 4, 5, 25.0]]
    """
    both = before.merge(after, on=KEYS, suffixes=(" before", " after"))
    rows = []
    numbers = [name for name in before.columns if name in after.columns and name.startswith(MEASURED)]
    for row in both.to_dict("records"):
        for name in numbers:
            old, new = row[f"{name} before"], row[f"{name} after"]
            if old != new:
                rows.append({**{key: row[key] for key in KEYS}, "counter": name, "before": old, "after": new,
                             "percent": 100 * (new - old) / old if old else None})  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def answer(question: Question, asking: Asking) -> Answer:
    """Run the headline cells again, and compare them with the saved ones of `asking.against`."""
    if asking.against is None:
        expected = "--against FILE: what `smmubench compare -o FILE` saved with the other code"
        raise UsageError("nothing to compare with", "question 15", expected, "none")
    before = load_runs(asking.against)
    _, _, made, manifest = headline.rows(asking)
    after = pd.DataFrame([flat(row.to_json()) for row in made])
    shared = len(before.merge(after, on=KEYS)[KEYS])
    if not shared:
        raise UsageError(
            "no cell in common", asking.against, "runs of the default scenario and costs", "others"
        )
    frame = changes(before, after)
    worst = frame.assign(size=frame["percent"].abs()).sort_values("size", ascending=False).head(20)
    table = [
        (str(r["policy"]), str(r["hardware"]), str(r["counter"]), str(r["before"]), str(r["after"]),
         "-" if pd.isna(r["percent"]) else f"{r['percent']:+.2f} %")
        for r in worst.to_dict("records")
    ]  # fmt: skip
    headings = ("policy", "hardware", "counter", "before", "after", "change")
    return Answer(question, asking, frame, COLUMNS, headings, table, manifest, (
        f"{shared} cells in both, {len(frame)} numbers differ. Simulated results are compared for "
        "equality; any "
        "change is a change of the model, and needs a line in the changelog.",
        "Wall-clock time is another clock and not in here: docs/performance.md.",
    ))  # fmt: skip
