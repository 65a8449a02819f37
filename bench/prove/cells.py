"""Cells of a proof: policy x client x hardware x CPUs, each explored and its properties checked."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.prove.files import write_whole
from bench.prove.properties import PROPERTIES, Proof, prove
from smmucore.clients import CLIENTS, Client
from smmucore.explore import MOST_STATES, TooManyStatesError, explore
from smmucore.explored import Question
from smmucore.hardware import Hardware
from smmucore.policy import Policy
from smmucore.program import Program, program

FAULTS = 3
#: Where the CPUs of interrupt and worker are, by name.
CPUS = {"split": False, "same": True}


@dataclass(frozen=True)
class Row:
    """What was proved of a cell.

    Attributes
    ----------
    client : str
        The first of the clients that are alike under this policy.
    alike : tuple of str
        The others: under this policy they do the same steps.
    entries, spurious : int or None
        Hard interrupts and spurious ones at most; None: there is no bound.
    broken : tuple of str
        Properties that do not hold, in the order of `PROPERTIES`.
    """

    policy: str
    client: str
    alike: tuple[str, ...]
    hardware: str
    cpus: str
    faults: int
    banks: int
    sleeps: bool
    verdict: str
    entries: int | None
    spurious: int | None
    broken: tuple[str, ...]
    line_disabled: bool
    states: int
    moves: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**vars(self), "alike": list(self.alike), "broken": list(self.broken)}


def questions(
    policies: Sequence[Policy],
    clients: Sequence[Client],
    hardware: Sequence[Hardware],
    cpus: Iterable[str],
    faults: int = FAULTS,
    banks: int = 1,
    sleeps: bool = False,
) -> Iterator[tuple[Question, tuple[str, ...]]]:
    """Yield the cells to prove, hardware first, each with the names of clients that are alike.

    There is none of a policy that is not about that hardware.  Where a policy asks no client (P1), or two do
    the same (none and display), only the first is taken.
    """
    kinds = {policy.id: _kinds(policy, clients) for policy in policies}
    for chip in hardware:
        for policy in policies:
            if not policy.is_about(chip):
                continue
            for client, alike in kinds[policy.id]:
                for word in cpus:
                    yield Question(policy, client, chip, CPUS[word], faults, banks, sleeps), alike


def _kinds(policy: Policy, clients: Sequence[Client]) -> list[tuple[Client, tuple[str, ...]]]:
    made: dict[Any, list[Client]] = {}
    for client in clients:
        made.setdefault(_steps(program(policy, client), client), []).append(client)
    return [(same[0], tuple(client.name for client in same[1:])) for same in made.values()]


def _steps(made: Program, client: Client) -> Any:
    """Return what makes two clients alike under a policy: compiled steps, and whether there are pages."""
    if not any(client is other for other in CLIENTS.values()):
        return client.name, made.steps.tobytes()
    told = "pages" if client.pages and made.worker >= 0 else ""
    return made.steps.tobytes(), made.worker, made.submit, told


def prove_one(
    asked: Question, most: int = MOST_STATES, progress: Callable[[int], None] | None = None
) -> Proof:
    """Explore a question and check its properties; `progress` gets the states found so far.

    Raises
    ------
    TooManyStatesError
    """
    return prove(explore(asked, most, progress))


def row_of(proof: Proof, alike: tuple[str, ...] = ()) -> Row:
    """Return what a proof came to."""
    asked = proof.graph.question
    return Row(
        asked.policy.id,
        asked.client.name,
        alike,
        asked.hardware.name,
        "same" if asked.same_cpu else "split",
        asked.faults,
        asked.banks,
        asked.sleeps,
        proof.verdict,
        None if proof.entries < 0 else proof.entries,
        None if proof.spurious < 0 else proof.spurious,
        tuple(name for name in PROPERTIES if name in proof.broken),
        proof.disables,
        proof.graph.states,
        len(proof.graph.source),
    )


def prove_all(
    cells: Sequence[tuple[Question, tuple[str, ...]]],
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Prove every cell; the rows do not depend on `threads`, and `progress` gets (done, all)."""
    from bench.grid import in_threads  # noqa: PLC0415

    return in_threads([partial(_row, *cell) for cell in cells], threads, progress)


def _row(asked: Question, alike: tuple[str, ...]) -> Row:
    return row_of(prove_one(asked), alike)


def made_by() -> dict[str, str]:
    """Return the version and the kernels that a proof or a schedule rests on."""
    from importlib.metadata import version  # noqa: PLC0415

    from smmucore.kernel import source_hash  # noqa: PLC0415

    return {"smmubench": version("smmubench"), "kernels": source_hash()}


#: Columns of a table on disk.
COLUMNS = (
    "hardware", "policy", "client", "alike", "cpus", "faults", "verdict", "entries", "spurious",
    "line_disabled", "broken", "states",
)  # fmt: skip


def csv_of(rows: Sequence[Row]) -> str:
    """Return rows as CSV: lists within a field separated by blanks, an absent bound as ``none``."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        data = row.to_json()
        writer.writerow([_field(data[name]) for name in COLUMNS])
    return made.getvalue()


def _field(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " ".join(value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, whole or not at all.

    Raises
    ------
    UsageError
    """
    write_whole(path, csv_of(rows))


__all__ = [
    "CPUS",
    "FAULTS",
    "Row",
    "TooManyStatesError",
    "made_by",
    "prove_all",
    "prove_one",
    "questions",
    "row_of",
    "write_csv",
]
