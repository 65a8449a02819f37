"""A schedule that was followed, told on the terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import click

from bench.output import print_pairs, print_table
from bench.prove.changes import RULES
from bench.prove.properties import PROPERTIES
from bench.prove.schedules import as_json
from bench.prove.show import FOR_EVER, HEADINGS, said, stretches
from bench.prove.walk import Step, Walk


def to_json(walk: Walk, letter: str = "") -> dict[str, Any]:
    """Return a walk as plain data; with a letter, only the steps that concern that access.

    Parameters
    ----------
    walk : Walk
    letter : str

    Returns
    -------
    dict
    """
    schedule = walk.schedule
    policy = schedule.question.policy
    return {
        "question": as_json(schedule.question),
        "policy": {name: getattr(policy, name) for name in ("id", "name", "kernel", "source")},
        "breaks": schedule.breaks,
        "meaning": PROPERTIES[schedule.breaks],
        "breaks_at": walk.breaks_at or None,
        "repeats_from": schedule.repeats_from + 1 if schedule.repeats_from >= 0 else None,
        "access": letter or None,
        "steps": [_step(walk, step) for step in walk.steps if not letter or letter in step.accesses],
        "end": walk.looks[-1].state,
        "parts": walk.parts or None,
    }


def _step(walk: Walk, step: Step) -> dict[str, Any]:
    told = step.told
    return {
        "n": step.n, "move": told.move, "who": told.who, "what": told.what, "then": told.then,
        "besides": list(step.besides), "rules": list(step.rules), "accesses": list(step.accesses),
        "state": walk.looks[step.n].state,
    }  # fmt: skip


def print_walk(walk: Walk, letter: str = "", full: bool = False) -> None:
    """Print a schedule step by step, in the words of its policy.

    Parameters
    ----------
    walk : Walk
    letter : str
        Only the steps that concern this access; the others are counted.
    full : bool
        Every step on a line of its own.
    """
    schedule = walk.schedule
    asked = schedule.question
    policy = asked.policy
    told = [step.told for step in walk.steps]
    print_pairs(
        [
            ("breaks", f"{schedule.breaks}: {PROPERTIES[schedule.breaks]}"),
            ("policy", f"{policy.id} {policy.name}, {policy.kernel}"),
            ("source", policy.source),
            ("why", policy.why),
            ("run", f"client {asked.client.name}, {asked.hardware.name}; interrupt and worker on "
                    f"{'one CPU' if asked.same_cpu else 'a CPU each'}"),
            ("order", "step after step; how long a step takes plays no part"),
            *([("only", f"what concerns access {letter}, and what changes while it is open")]
              if letter else []),
        ]
    )  # fmt: skip
    click.echo()
    rows: list[tuple[str, str, str]] = []
    left_out: list[int] = []
    apart = {k for k, step in enumerate(walk.steps) if step.besides or step.n == walk.breaks_at}
    apart |= {k for k, (step, following) in enumerate(pairwise(walk.steps))
              if letter and (letter in step.accesses) != (letter in following.accesses)}  # fmt: skip
    used: set[str] = set()
    for first, end in stretches(told, schedule.repeats_from, full, apart):
        if first == schedule.repeats_from:
            rows += [*_others(left_out), ("", "", f"now: {walk.looks[first].state}"), ("", "", FOR_EVER)]
            left_out = []
        if letter and letter not in walk.steps[first].accesses:
            left_out += range(first + 1, end + 1)
            continue
        rows += _others(left_out)
        left_out = []
        rows.append(_row(walk, first, end))
        used |= {rule for step in walk.steps[first:end] for rule in step.rules}
        if walk.steps[first].n <= walk.breaks_at <= walk.steps[end - 1].n:
            rows.append(("", "", f"^ this breaks it: {schedule.breaks}"))
    rows += _others(left_out)
    if not walk.parts and not walk.breaks_at and schedule.repeats_from < 0:
        rows.append(("", "", f"the state at the end breaks it: {schedule.breaks}"))
    if not walk.parts and schedule.repeats_from >= 0:
        rows.append(("", "", f"the state is that before step {schedule.repeats_from + 1}: so it goes on"))
    print_table(HEADINGS, rows, right=HEADINGS[:1], whole=2)
    click.echo()
    print_pairs(
        [
            ("then", walk.looks[-1].state),
            *(_accesses(walk)),
            *((name, RULES[name]) for name in RULES if name in used),
        ]
    )


def _row(walk: Walk, first: int, end: int) -> tuple[str, str, str]:
    number, who, what = said([step.told for step in walk.steps], first, end)
    rules = {rule for step in walk.steps[first:end] for rule in step.rules}
    then = walk.steps[end - 1].then
    cited = f"  [{' '.join(name for name in RULES if name in rules)}]" if rules else ""
    return number, who, what + (f" → {then}" if then else "") + cited


def _others(steps: list[int]) -> list[tuple[str, str, str]]:
    """Return the line that stands for steps that are left out."""
    if not steps:
        return []
    many = "step" if len(steps) == 1 else "steps"
    where = str(steps[0]) if len(steps) == 1 else f"{steps[0]}-{steps[-1]}"
    return [(where, "", f"({len(steps)} {many} of others)")]


def _accesses(walk: Walk) -> list[tuple[str, str]]:
    """Return what became of each access."""
    made = []
    for number, access in enumerate(walk.looks[-1].accesses, 1):
        fault = walk.looks[-1].faults[access.fault - 1] if access.fault else None
        record = f"; its fault's record: {fault.record}" if fault else ""
        made.append((f"access {access.name}", f"{access.at}{record}  (--fault {number})"))
    return made
