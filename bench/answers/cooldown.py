"""Question 4: how long stall stays off after a fault, against how the faults come."""

from __future__ import annotations

import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.run import Row
from bench.units import exact_ns, show_count, show_ns

COOLDOWNS = (0, 1_000_000, 10_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000)
GAPS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000, 200_000_000, 400_000_000,
        600_000_000)  # fmt: skip
FEW_COOLDOWNS, FEW_GAPS = COOLDOWNS[1::2], GAPS[1::3]
#: More than a TBU has slots.
FAULTS = 200
#: A dump is dropped at once, so that each fault that stalls would be captured: the worst case.
KEPT = "dump_kept=1ms"

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "cooldown_ns": "stall is off until so long after the last fault, ns",
    "gap_ns": "time from one fault of the burst to the next, ns",
    "stalled": "faults whose transaction stalled and was resumed; each is captured in a dump",
    "timeouts": "deadlines of 10 ms that the innocent stream missed",
    "stalled_ns": "time with SS set, ns",
    "stalled_percent": "the same, in percent of the run",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run a burst of each gap under each cool-down."""
    cooldowns = FEW_COOLDOWNS if asking.quick else COOLDOWNS
    gaps = FEW_GAPS if asking.quick else GAPS
    wanted = [
        Cell("P9", _scenario(gap), client="adreno-cooldown", changes=(f"cooldown={exact_ns(cooldown)}", KEPT),
             axes={"cooldown": cooldown, "gap": gap})
        for cooldown in cooldowns
        for gap in gaps
    ]  # fmt: skip
    made = asking.outcomes(wanted)
    frame = pd.DataFrame([_row(row, cell) for (_, row, _), cell in zip(made, wanted, strict=True)])
    table = [
        (show_ns(int(mine["cooldown_ns"].iloc[0])), *(f"{show_count(int(n))} / {show_count(int(late))}"
                                   for n, late in zip(mine["stalled"], mine["timeouts"], strict=True)))
        for _, mine in frame.groupby("cooldown_ns", sort=True)
    ]  # fmt: skip
    headings = ("cool-down", *(f"gap {show_ns(gap)}" for gap in gaps))
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        f"P9 (v6.16-rc3 on), bursts of {FAULTS} faults, at most 20 where they are 10 ms apart or "
        "more, beside a "
        "stream with the GMU's deadline. In the table: faults that stalled / deadlines missed.",
        f"Dumps are dropped at once here ({KEPT}; Linux keeps one for five minutes, and captures no other "
        "meanwhile): every stall then costs a capture, which is the case that the cool-down is for.",
        "500 ms is Linux's (b13044092c1e), and no more than a guess there: the map shows that what counts is "
        "whether the cool-down is longer than the gap.",
        _missed(frame),
    ))  # fmt: skip


def _missed(frame: pd.DataFrame) -> str:
    late = int((frame["timeouts"] > 0).sum())
    if late:
        return f"Deadlines are missed in {late} of {len(frame)} cells."
    return (
        "No deadline is missed in any cell: stall is off from the first fault on, so what follows is "
        "terminated "
        "and holds no slot, and only a submit turns it on again. The cool-down decides how many "
        "dumps are captured."
    )


def _scenario(gap: int) -> str:
    far = gap >= 10_000_000
    # Beats go on with the burst, and for 40 ms at least: longer than a capture.
    every = "1ms" if far else "20us,n=2000"
    return f"burst:n={20 if far else FAULTS},gap={exact_ns(gap)}+heartbeat:every={every}"


def _row(row: Row, cell: Cell) -> dict[str, object]:
    c = row.counters
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "cooldown_ns": cell.axes["cooldown"],
        "gap_ns": cell.axes["gap"],
        "stalled": c["resume_written"] - c["resume_ignored"] - c["resume_stray"],
        "timeouts": c["watchdogs"],
        "stalled_ns": c["stalled_ns"],
        "stalled_percent": 100 * c["stalled_ns"] / row.end_ns if row.end_ns else 0.0,
        "verdict": row.verdict,
    }
