"""Defects put into policies that are proved safe: each is found, with a schedule that can be followed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.prove.cells import prove_one
from bench.prove.schedules import follow, schedule_of
from smmucore import hardware, policies
from smmucore.clients import CLIENTS
from smmucore.explored import Question
from smmucore.policy import FAULT_ONLY, FAULT_OR_SS, Policy
from smmucore.steps import (
    READ_FAR,
    READ_FSR,
    REPORT,
    SCTLR_SET,
    UNLOCK,
    WRITE_FSR_READ,
    WRITE_RESUME,
    Step,
    irq_off,
    irq_on,
    read,
)

Steps = tuple[Step, ...]


def swapped(steps: Steps, one: int, other: int) -> Steps:
    """The steps with the first of each of two kinds in the other's place."""
    made = list(steps)
    at = [next(k for k, step in enumerate(made) if step.op == op) for op in (one, other)]
    made[at[0]], made[at[1]] = made[at[1]], made[at[0]]
    return tuple(made)


def dropped(steps: Steps, op: int) -> Steps:
    return tuple(step for step in steps if step.op != op)


def forgetting_ss(steps: Steps) -> Steps:
    return tuple(FAULT_ONLY if step == FAULT_OR_SS else step for step in steps)


def with_handler(policy: str, handler: Steps) -> Policy:
    return replace(policies.find(policy), id="defect", handler=handler)


def with_resume(policy: str, steps: Steps) -> Policy:
    return replace(policies.find(policy), id="defect", client_resume=steps)


P4, P7, P8 = (policies.find(name) for name in ("P4", "P7", "P8"))

#: What is done to whom, under which client and on what, and what has to be broken by it.
DEFECTS = {
    "P8 writes RESUME before it clears FSR": (
        with_handler("P8", swapped(P8.handler, WRITE_FSR_READ, WRITE_RESUME)), "none", "mmu500", {"ignored"},
    ),
    "P8 writes RESUME first and forgets SS": (
        with_handler("P8", forgetting_ss(swapped(P8.handler, WRITE_FSR_READ, WRITE_RESUME))),
        "none", "mmu500", {"livelock", "unrepaired"},
    ),
    "P8 never writes RESUME": (
        with_handler("P8", dropped(P8.handler, WRITE_RESUME)), "none", "mmu500", {"livelock"},
    ),
    "P8 never writes RESUME and SS is silent": (
        with_handler("P8", dropped(P8.handler, WRITE_RESUME)), "none", "ideal", {"hang"},
    ),
    "P8 never clears FSR": (
        with_handler("P8", dropped(P8.handler, WRITE_FSR_READ)), "none", "mmu500", {"livelock", "unrepaired"},
    ),
    "P8 reads no FAR": (
        with_handler("P8", tuple(read("FSYNR1") if s.op == READ_FAR else s for s in P8.handler)),
        "none", "mmu500", {"lost"},
    ),
    "P8 closes the line and does not open it": (
        with_handler("P8", (irq_off(), *P8.handler)), "none", "mmu500", {"masked"},
    ),
    "P7 does not unmask CFIE": (
        with_resume("P7", dropped(P7.client_resume, SCTLR_SET)), "adreno-nodump", "mmu500", {"masked"},
    ),
    "P7 does not unlock": (
        with_resume("P7", dropped(P7.client_resume, UNLOCK)), "adreno-worker", "mmu500", {"hang"},
    ),
    "P4 forgets SS": (
        with_handler("P4", forgetting_ss(P4.handler)), "adreno-nodump", "mmu500", {"livelock", "unrepaired"},
    ),
}  # fmt: skip


def question(policy: Policy, client: str, chip: str) -> Question:
    return Question(policy, CLIENTS[client], hardware.find(chip), False, 2)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_seeded_defect_is_found(name: str) -> None:
    policy, client, chip, expected = DEFECTS[name]
    proof = prove_one(question(policy, client, chip))
    assert expected <= set(proof.broken)
    for broken in expected:
        schedule = schedule_of(proof, broken)
        made, parts = follow(schedule)
        assert parts == ""
        assert tuple(made) == schedule.steps


@pytest.mark.parametrize("name", DEFECTS)
def test_the_policy_without_the_defect_does_not_break_that(name: str) -> None:
    policy, client, chip, expected = DEFECTS[name]
    healthy = next(p for p in (P4, P7, P8) if p.name == policy.name)
    assert not expected & set(prove_one(question(healthy, client, chip)).broken)


def test_an_opened_line_mends_a_closed_one() -> None:
    steps = (irq_off(), *P8.handler[:-1], irq_on(), P8.handler[-1])
    proof = prove_one(question(with_handler("P8", steps), "none", "mmu500"))
    assert "masked" not in proof.broken


def test_reading_fsr_before_far_or_after_is_alike_on_a_line_of_its_own() -> None:
    other = with_handler("P8", swapped(P8.handler, READ_FAR, READ_FSR))
    assert not prove_one(question(other, "none", "mmu500")).broken


def test_a_report_behind_the_clear_loses_nothing() -> None:
    other = with_handler("P8", swapped(P8.handler, REPORT, WRITE_FSR_READ))
    assert not prove_one(question(other, "none", "mmu500")).broken
