"""Question 9: which policies the kernel's spurious-interrupt detector would stop, and when (K5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.answers import headline
from bench.answers.base import Answer, Asking, Question
from bench.units import show_count, show_ns

#: K5.
UNHANDLED, OF = 99_900, 100_000

COLUMNS = {
    "policy": "id of the policy",
    "hardware": "preset",
    "verdict": "see `smmubench compare`",
    "irq_entries": "hard interrupts taken",
    "irq_none": "handler passes that returned IRQ_NONE",
    "disabled": "whether the detector turned the line off",
    "to_disable_ns": "CPU time in hard interrupts until it did, ns; missing where it did not",
    "cpu_irq_ns": "CPU time in hard interrupts in the whole run, ns",
}


def answer(question: Question, asking: Asking) -> Answer:
    """Read the detector's part off the headline runs."""
    runs, _, _, manifest = headline.rows(asking)
    frame = runs[["policy", "hardware", "verdict", "irq_entries", "irq_none", "cpu_irq_ns"]].copy()
    frame["disabled"] = frame["verdict"] == "line-disabled"
    frame["to_disable_ns"] = frame["cpu_irq_ns"].where(frame["disabled"]).astype("Int64")
    frame = frame[list(COLUMNS)]
    shown = frame[(frame["irq_none"] > 0) | frame["verdict"].isin(["storm", "livelock", "line-disabled"])]
    table = [
        (str(row["policy"]), str(row["hardware"]), str(row["verdict"]), show_count(int(row["irq_entries"])),
         show_count(int(row["irq_none"])), _when(row))
        for row in shown.to_dict("records")
    ]  # fmt: skip
    headings = ("policy", "hardware", "verdict", "interrupts", "IRQ_NONE", "detector")
    return Answer(question, asking, frame, COLUMNS, headings, table, manifest, (
        f"The detector turns a line off at {UNHANDLED:,} unhandled of {OF:,}: it counts what handlers "
        "return, so "
        "a storm whose handler claims each interrupt (IRQ_HANDLED) goes on for ever.",
        "The time is what its CPU spent in hard interrupts until then: a machine that does nothing else.",
    ))  # fmt: skip


def _when(row: Mapping[Any, Any]) -> str:
    if row["disabled"]:
        return f"off after {show_ns(int(row['to_disable_ns']))}"
    if row["irq_none"]:
        return "not in this run"
    return "never: returns IRQ_HANDLED"
