"""Question 3: what an innocent stream waits while stalled transactions hold its TBU's slots."""

from __future__ import annotations

import pandas as pd

from bench.answers.base import Answer, Asking, Cell, Question
from bench.run import Row
from bench.units import exact_ns, show_count, show_ns

#: Policy -> the driver of its time.
DRIVERS = {"P1": "adreno-worker", "P4": "adreno-worker", "P8": "adreno-inline", "P9": "adreno-cooldown"}
#: Faults that come close together, each of which stalls and keeps its slot: a TBU has 128 for reads.
DEPTHS = (1, 2, 4, 8, 16, 32, 48, 64, 80, 96, 104, 112, 116, 120, 124, 126, 127, 128, 130, 140, 160, 200)
FEW = (1, 32, 96, 127, 128, 160)
#: Beats go on for 30 ms, longer than a capture.
GAP, EVERY, BEATS, DEADLINE = 500, 20_000, 1_500, 10_000_000

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "client": "the driver of the policy's time",
    "faults": "transactions that fault, 500 ns apart; where they stall, each holds a slot",
    "slots": "read slots of the TBU",
    "beat_p50_ns": "median latency of the innocent stream, ns",
    "beat_p99_ns": "99th percentile, ns",
    "beat_max_ns": "longest, ns",
    "timeouts": "deadlines of 10 ms missed (K7)",
    "stalled_ns": "time with SS set, ns",
    "verdict": "see `smmubench compare`",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Run a burst of each depth beside a heartbeat."""
    depths = FEW if asking.quick else DEPTHS
    beat = f"heartbeat:every={exact_ns(EVERY)},n={BEATS},deadline={exact_ns(DEADLINE)}"
    wanted = [
        Cell(policy, f"burst:n={n},gap={exact_ns(GAP)}+{beat}", client=client, axes={"faults": n})
        for policy, client in DRIVERS.items()
        for n in depths
    ]
    made = asking.outcomes(wanted)
    from smmucore.hardware import find  # noqa: PLC0415

    slots = find(wanted[0].hardware).slots
    frame = pd.DataFrame(
        [_row(row, cell.axes["faults"], slots) for (_, row, _), cell in zip(made, wanted, strict=True)]
    )
    table = [_summary(str(policy), mine) for policy, mine in frame.groupby("policy", sort=False)]
    headings = ("policy", "faults at the first timeout", "timeouts at most", "worst latency of the stream",
                "longest stalled")  # fmt: skip
    return Answer(question, asking, frame, COLUMNS, headings, table, asking.manifest(made[0][0], wanted), (
        "The innocent stream reads every 20 us through the same TBU, with the GMU's out-of-band deadline of "
        "10 ms. The first fault's crash dump takes 20 ms (assumed, 2 to 500 ms): while it is "
        "captured nothing "
        "resumes, and each further fault keeps a slot until none is left.",
        "That it needs as many faults as there are slots is what the model does, not what it was told.",
    ))  # fmt: skip


def _row(row: Row, faults: int, slots: int) -> dict[str, object]:
    beat = row.heartbeat_ns or {}
    return {
        "policy": row.policy,
        "hardware": row.hardware,
        "client": row.client,
        "faults": faults,
        "slots": slots,
        "beat_p50_ns": beat["p50"],
        "beat_p99_ns": beat["p99"],
        "beat_max_ns": beat["max"],
        "timeouts": row.counters["watchdogs"],
        "stalled_ns": row.counters["stalled_ns"],
        "verdict": row.verdict,
    }


def _summary(policy: str, mine: pd.DataFrame) -> tuple[str, ...]:
    late = mine[mine["timeouts"] > 0]
    first = str(late["faults"].min()) if len(late) else f"none up to {mine['faults'].max()}"
    return (policy, first, show_count(int(mine["timeouts"].max())), show_ns(int(mine["beat_max_ns"].max())),
            show_ns(int(mine["stalled_ns"].max())))  # fmt: skip
