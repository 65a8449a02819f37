"""What the explorer has found that the lists have not named (docs/findings/0004 and 0005)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.prove.cells import prove_one
from bench.prove.words import Teller
from smmucore import hardware, policies
from smmucore.clients import CLIENTS
from smmucore.contexts import IDLE
from smmucore.explored import Question
from smmucore.policy import Policy
from smmucore.steps import READ_FAR, READ_FSR, WRITE_FSR_READ, check, read

IRQ, THREAD, WORKER, SUBMIT, FAULT = range(5)
SHARED = "mmu500,shared_line=yes"


def question(
    policy: str | Policy, client: str, chip: str, faults: int, banks: int = 1, same: bool = False
) -> Question:
    row = policies.find(policy) if isinstance(policy, str) else policy
    return Question(row, CLIENTS[client], hardware.find(chip), same, faults, banks)


def until(teller: Teller, move: int, text: str) -> str:
    """Let a context act until it has said `text`; return how that step went."""
    for _ in range(100):
        told = teller.tell(move)
        if text in told.what:
            return told.then
    raise AssertionError(text)


def rest(teller: Teller) -> None:
    """Let hard interrupt, thread and submit run until nothing is left to do for them."""
    while any(teller.can(move) for move in (IRQ, THREAD, SUBMIT)):
        teller.tell(next(move for move in (IRQ, THREAD, SUBMIT) if teller.can(move)))


def fsr_first(policy: str) -> Policy:
    """A handler of v6.11 on with FSR read before FAR, as it was before."""
    made = list(policies.find(policy).handler)
    at = [next(k for k, step in enumerate(made) if step.op == op) for op in (READ_FAR, READ_FSR)]
    made[at[0]], made[at[1]] = made[at[1]], made[at[0]]
    return replace(policies.find(policy), id="fsr-first", handler=tuple(made))


# --- 0004: stall comes back under a handler that has not seen it ------------------------------------------


@pytest.mark.parametrize("policy", ["P9", "P10", "P11"])
def test_stall_that_comes_back_hangs_a_part_on_which_ss_is_silent(policy: str) -> None:
    proof = prove_one(question(policy, "adreno-nodump", "ideal", 4))
    assert "hang" in proof.broken
    assert "hang" not in prove_one(question(policy, "adreno-nodump", "ideal", 3)).broken


@pytest.mark.parametrize("policy", ["P9", "P10", "P11"])
@pytest.mark.parametrize("chip", ["mmu500", "qcom-smmu-v2", "held-until-resume"])
def test_ss_in_line_and_mask_repairs_it_elsewhere(policy: str, chip: str) -> None:
    assert "hang" not in prove_one(question(policy, "adreno-nodump", chip, 4)).broken


def test_p9_on_mmu500_hangs_too_without_ss_in_the_mask() -> None:
    row = policies.find("P9")
    mask = next(step for step in row.handler if step.text.startswith("CHECK"))
    blind = check(mask.arg & ~(1 << 30), "fault bits")
    handler = tuple(blind if step is mask else step for step in row.handler)
    proof = prove_one(question(replace(row, id="blind", handler=handler), "adreno-nodump", "mmu500", 4))
    assert "livelock" in proof.broken


def test_reading_fsr_again_behind_the_clear_cures_it() -> None:
    row = policies.find("P9")
    at = next(k for k, step in enumerate(row.handler) if step.op == WRITE_FSR_READ)
    again = replace(row, id="again", handler=(*row.handler[: at + 1], read("FSR"), *row.handler[at + 1 :]))
    assert "hang" not in prove_one(question(again, "adreno-nodump", "ideal", 4)).broken


def test_p8_which_never_turns_stall_off_does_not_hang() -> None:
    assert not prove_one(question("P8", "adreno-nodump", "ideal", 5)).broken


def test_the_schedule_needs_no_handler_that_outlasts_the_cool_down() -> None:
    teller = Teller(question("P9", "adreno-nodump", "ideal", 4))
    teller.tell(FAULT)  # A stalls, and its handler turns stall off
    rest(teller)
    teller.tell(FAULT)  # B, long after, is terminated
    until(teller, IRQ, "returns")
    until(teller, THREAD, "READ FAR")
    assert "MULTI" in teller.tell(FAULT).then  # C is terminated too
    assert until(teller, THREAD, "READ FSR").startswith("the record is seen")
    submit = next(m for m in range(FAULT + 1, teller.moves) if teller.can(m))
    assert teller.tell(submit).who == "driver"
    assert "CFCFG" in until(teller, SUBMIT, "WRITE SCTLR | (CFCFG)")
    until(teller, SUBMIT, "RETURN")
    assert "D is stalled" in teller.tell(FAULT).then
    assert "SCTLR = HUPCF CFIE" in until(
        teller, THREAD, "WRITE SCTLR & ~(CFCFG)"
    )  # the cool-down begins anew
    assert until(teller, THREAD, "WRITE FSR = bits read") == "FSR = SS"
    rest(teller)
    assert teller.state().startswith("FSR = SS, SCTLR HUPCF CFIE; D stalled")
    assert all(ctx.state == IDLE for ctx in teller.machine.sim.host.contexts)


# --- 0005: FAR before FSR --------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["P5", "P7", "P8", "P9", "P11"])
def test_a_handler_that_reads_far_first_loses_an_address_on_a_shared_line(policy: str) -> None:
    assert "lost" in prove_one(question(policy, "none", SHARED, 2, banks=2)).broken


@pytest.mark.parametrize("policy", ["P7", "P8"])
def test_reading_fsr_first_loses_none(policy: str) -> None:
    assert "lost" not in prove_one(question(fsr_first(policy), "none", SHARED, 3, banks=2)).broken


@pytest.mark.parametrize("policy", ["P4", "will-2021", "robin-rob-2021"])
def test_the_order_up_to_v6_10_loses_none(policy: str) -> None:
    assert "lost" not in prove_one(question(policy, "none", SHARED, 2, banks=2)).broken


@pytest.mark.parametrize("policy", ["P7", "P8"])
def test_a_line_for_each_bank_loses_none(policy: str) -> None:
    assert "lost" not in prove_one(question(policy, "none", "mmu500", 2, banks=2)).broken


def test_no_other_defect_of_p8_p9_and_p11_is_found_on_mmu500_under_their_own_clients() -> None:
    for policy in ("P8", "P9", "P11"):
        for client in ("none", "adreno-nodump", "adreno-inline", "adreno-cooldown", "pager"):
            for same in (False, True):
                proof = prove_one(question(policy, client, "mmu500", 4, same=same))
                # Stall is off during a cool-down: what faults then is terminated while FSR is frozen.
                assert set(proof.broken) <= {"lost", "stale", "folded", "spurious", "ignored"}
                assert proof.entries > 0
