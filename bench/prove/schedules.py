"""Schedules: the shortest way to a breach as numbered steps, in a file, and followed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.prove.files import write_whole
from bench.prove.paths import counterexample
from bench.prove.properties import PROPERTIES, Proof
from bench.prove.words import FAULTS, Teller, Told
from smmucore import clients, hardware, policies
from smmucore.explore import Graph
from smmucore.explored import MOST_BANKS, MOST_FAULTS, Question
from smmucore.policy import Policy

FORMAT = 1
_SAME = {True: "same", False: "split"}
_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class Schedule:
    """An order of effects, and the state that it leads to.

    Attributes
    ----------
    breaks : str
        The property that it breaks (`properties.PROPERTIES`).
    steps : tuple of Told
    repeats_from : int
        Index of the first step of a cycle, which is the rest; -1: there is none.
    words : tuple of int
        The packed state at its end.
    state : str
        The same in words.
    """

    question: Question
    breaks: str
    steps: tuple[Told, ...]
    repeats_from: int
    words: tuple[int, ...]
    state: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data: what the file holds."""
        return {
            "smmubench-schedule": FORMAT,
            "breaks": self.breaks,
            "meaning": PROPERTIES[self.breaks],
            "question": as_json(self.question),
            "steps": [
                {"n": n, "move": step.move, "who": step.who, "what": step.what, "then": step.then}
                for n, step in enumerate(self.steps, 1)
            ],
            "repeats_from": self.repeats_from + 1 if self.repeats_from >= 0 else None,
            "end": {"state": self.state, "words": list(self.words)},
        }


def as_json(asked: Question) -> dict[str, Any]:
    """Return a question as plain data."""
    return {
        "policy": asked.policy.id,
        "client": asked.client.name,
        "hardware": asked.hardware.name,
        "cpus": _SAME[asked.same_cpu],
        "faults": asked.faults,
        "banks": asked.banks,
        "sleeps": asked.sleeps,
    }


def schedule_of(proof: Proof, name: str) -> Schedule:
    """Return the shortest schedule that breaks property `name`."""
    graph = proof.graph
    way, cycle = counterexample(graph, name, proof.broken[name])
    teller = Teller(graph.question)
    steps: list[Told] = []
    for edge in way:
        steps += _tell(teller, graph, edge)
    repeats_from = len(steps) if cycle else -1
    for edge in cycle:
        steps += _tell(teller, graph, edge)
    return Schedule(graph.question, name, tuple(steps), repeats_from, tuple(teller.words), teller.state())


def _tell(teller: Teller, graph: Graph, edge: int) -> list[Told]:
    """Make one move of the graph, effect by effect, on a machine that just goes on."""
    move = int(graph.move[edge])
    made = [teller.tell(move)]
    while teller.goes_on(move):
        made.append(teller.tell(move))
    return made


def write(schedule: Schedule, path: Path) -> None:
    """Write a schedule's file, whole or not at all.

    Raises
    ------
    UsageError
    """
    write_whole(path, json.dumps(schedule.to_json(), indent=1, ensure_ascii=False) + "\n")


def read(path: Path, own: tuple[Policy, ...] = ()) -> Schedule:
    """Read a schedule's file; `own` are users' policies that it may be about.

    Raises
    ------
    UsageError
        It cannot be read, or is not one.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError("not a schedule", path, f"at most {_MOST_BYTES} bytes", str(path.stat().st_size))
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError("cannot be read", path, "a schedule", error.strerror or str(error)) from None
    except ValueError as error:
        raise UsageError("not a schedule", path, "JSON", str(error)) from None
    if not isinstance(data, dict) or data.get("smmubench-schedule") != FORMAT:
        found = data.get("smmubench-schedule") if isinstance(data, dict) else type(data).__name__
        raise UsageError("not a schedule", path, f'"smmubench-schedule": {FORMAT}', repr(found))
    try:
        return _parsed(data, own)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError("not a schedule", path, "what `policies prove -o` writes", str(error)) from None


def _parsed(data: dict[str, Any], own: tuple[Policy, ...]) -> Schedule:
    asked = data["question"]
    mine = {policy.id: policy for policy in own}
    faults, banks = int(asked["faults"]), int(asked["banks"])
    if not (1 <= faults <= MOST_FAULTS and 1 <= banks <= MOST_BANKS):
        raise ValueError(f"faults {faults}, banks {banks}")
    question = Question(
        mine.get(asked["policy"]) or policies.find(asked["policy"]),
        clients.find(asked["client"]),
        hardware.find(asked["hardware"]),
        {word: same for same, word in _SAME.items()}[asked["cpus"]],
        faults,
        banks,
        bool(asked["sleeps"]),
    )
    steps = tuple(Told(int(s["move"]), str(s["who"]), str(s["what"]), str(s["then"])) for s in data["steps"])
    if data["breaks"] not in PROPERTIES:
        raise ValueError(f"breaks {data['breaks']!r}")
    repeats = data["repeats_from"]
    if repeats is not None and not 1 <= int(repeats) <= len(steps):
        raise ValueError(f"repeats_from {repeats}, of {len(steps)} steps")
    words = tuple(int(word) for word in data["end"]["words"])
    return Schedule(
        question,
        data["breaks"],
        steps,
        -1 if repeats is None else int(repeats) - 1,
        words,
        str(data["end"]["state"]),
    )


def follow(schedule: Schedule, look: Callable[[Teller], None] | None = None) -> tuple[list[Told], str]:
    """Follow a schedule on a fresh machine; return the steps as they come, and where they part, or "".

    They part where a move cannot come, does something else than the schedule says, or leads elsewhere, and
    where a cycle does not lead back to its beginning.  `look` is called at the start and after each step.
    """
    teller = Teller(schedule.question)
    made: list[Told] = []
    begins: list[int] = []  # the state in which the cycle does
    for n, step in enumerate(schedule.steps, 1):
        if look is not None:
            look(teller)
        if n - 1 == schedule.repeats_from:
            begins = teller.words
        if not teller.has_room:
            return made, f"step {n}: expected fewer faults; found {FAULTS:,}"
        if not teller.can(step.move):
            return made, f"step {n}: expected {step.who}: {step.what}; found that it cannot come"
        made.append(teller.tell(step.move))
        if made[-1] != step:
            return made, f"step {n}: expected {step}; found {made[-1]}"
    if look is not None:
        look(teller)
    if tuple(teller.words) != schedule.words:
        return made, f"the end: expected {schedule.state}; found {teller.state()}"
    if begins and begins != teller.words:
        return made, f"the cycle: expected to be back where step {schedule.repeats_from + 1} began; found not"
    return made, ""
