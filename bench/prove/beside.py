"""The proved verdict beside each observed one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from bench.grid import Result
from bench.prove.cells import FAULTS, TooManyStatesError, prove_one
from smmucore.clients import Client
from smmucore.explored import Question
from smmucore.hardware import Hardware
from smmucore.policy import Policy

#: A cell with more is left without a proof here: `policies prove` takes it.
MOST_STATES = 200_000


def with_proofs(
    made: Result,
    policies: Iterable[Policy],
    hardware: Sequence[Hardware],
    client: Client,
    cpus: Mapping[str, int],
) -> Result:
    """Return a result whose rows say what was proved for their policy, hardware, client and CPUs.

    The proof is about up to three faults on one context bank.
    """
    by_id = {policy.id: policy for policy in policies}
    by_name = {chip.name: chip for chip in hardware}
    placed = tuple(cpus[name] for name in ("irq", "thread", "worker", "submit"))
    rows = []
    for row in made.rows:
        chip = by_name[row.hardware]
        asked = Question(by_id[row.policy], client, chip, faults=FAULTS, placement=placed)
        try:
            rows.append(replace(row, proved=prove_one(asked, MOST_STATES).verdict))
        except TooManyStatesError:
            rows.append(row)
    return replace(made, manifest={**made.manifest, "proved_faults": FAULTS}, rows=tuple(rows))
