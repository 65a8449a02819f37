"""What the mailing lists and the model's page know already: the explorer has to find it by itself.

Each expectation is from docs/model.md, a finding, or a message on the lists; none is from the explorer.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.prove.cells import prove_one
from bench.prove.properties import Proof
from bench.prove.schedules import schedule_of
from smmucore import hardware, policies
from smmucore.clients import CLIENTS
from smmucore.explored import Question
from smmucore.policy import FAULT_ONLY, FAULT_OR_SS, Policy
from smmucore.steps import LOCK, UNLOCK, Step

PRESETS = ("mmu500", "qcom-smmu-v2", "ideal")


def proved(
    policy: str | Policy,
    client: str = "none",
    chip: str = "mmu500",
    same: bool = False,
    faults: int = 3,
    banks: int = 1,
) -> Proof:
    row = policies.find(policy) if isinstance(policy, str) else policy
    return prove_one(Question(row, CLIENTS[client], hardware.find(chip), same, faults, banks))


def edited(policy: str, **changes: object) -> Policy:
    """A policy of the catalogue with some fields changed, under a name of its own."""
    return replace(policies.find(policy), id=f"{policy}-edited", **changes)  # type: ignore[arg-type]


def without(steps: tuple[Step, ...], *ops: int) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.op not in ops)


def without_lock(policy: str) -> Policy:
    row = policies.find(policy)
    return edited(
        policy,
        handler=without(row.handler, LOCK, UNLOCK),
        client_resume=without(row.client_resume, LOCK, UNLOCK),
    )


# --- P4: report, clear, the client resumes ------------------------------------------------------


def test_p4_with_a_worker_on_the_same_cpu_livelocks_on_mmu500() -> None:
    found = proved("P4", "adreno-worker", same=True)
    assert found.verdict == "livelock"
    assert found.entries == -1


def test_p4_with_a_worker_on_the_same_cpu_does_not_livelock_on_ideal() -> None:
    found = proved("P4", "adreno-worker", "ideal", same=True)
    assert "livelock" not in found.broken
    assert found.entries == 3


def test_p4_with_a_worker_on_its_own_cpu_storms_for_as_long_as_the_dump_takes() -> None:
    found = proved("P4", "adreno-worker")
    assert "unbounded" in found.broken
    assert "livelock" not in found.broken


def test_p4_without_a_dump_takes_exactly_two_interrupts_a_fault_on_mmu500() -> None:
    assert [proved("P4", "adreno-nodump", faults=n).entries for n in (1, 2, 3)] == [2, 4, 6]


def test_the_worker_of_v5_14_terminates_a_later_fault_that_was_meant_for_nobody() -> None:
    schedule = schedule_of(proved("P4", "adreno-worker"), "stray")
    last = schedule.steps[-1]
    assert last.who.startswith("worker")
    assert last.what == "WRITE RESUME = terminate"
    assert last.then.startswith("B is terminated")


# --- RESUME before the clear --------------------------------------------------------------------


def test_p2_takes_one_interrupt_a_fault_and_p2b_two() -> None:
    assert proved("P2").entries == 3
    assert proved("P2b").entries == 6


def test_p2b_is_repaired_only_because_ss_is_in_the_fault_mask() -> None:
    assert "ignored" in proved("P2b").broken
    assert "unrepaired" not in proved("P2b").broken
    handler = tuple(FAULT_ONLY if step == FAULT_OR_SS else step for step in policies.find("P2b").handler)
    blind = proved(edited("P2b", handler=handler))
    assert {"livelock", "unrepaired"} <= set(blind.broken)


def test_p4_hangs_a_part_on_which_ss_is_silent_with_three_faults_and_not_with_two() -> None:
    # docs/findings/0001
    assert "hang" in proved("P4", "adreno-nodump", "ideal").broken
    assert "hang" not in proved("P4", "adreno-nodump", "ideal", faults=2).broken
    assert "hang" not in proved("P8", "adreno-nodump", "ideal").broken


# --- masking CFIE -------------------------------------------------------------------------------


def test_p6_with_a_synchronous_resume_livelocks_until_the_line_is_disabled() -> None:
    found = proved("P6", "adreno-nodump")
    assert found.verdict == "line-disabled"
    assert found.disables
    assert "unrepaired" in found.broken


def test_p7_with_the_same_client_is_safe() -> None:
    for client in ("adreno-nodump", "adreno-worker"):
        assert not proved("P7", client).broken


def test_p7_needs_its_lock_where_banks_share_a_line() -> None:
    # Connor Abbott, freedreno list, 2025-01: the worker of one bank sets CFIE that the handler, entered
    # because of the other bank, has just cleared for a new stall.
    chip = "mmu500,shared_line=yes"
    assert "unbounded" not in proved("P7", "pager", chip, banks=2).broken
    raced = proved(without_lock("P7"), "pager", chip, banks=2)
    assert "unbounded" in raced.broken
    told = [str(step) for step in schedule_of(raced, "unbounded").steps]
    cleared = max(k for k, text in enumerate(told) if "& ~CFIE for bank 0" in text)
    enabled = max(
        k for k, text in enumerate(told) if text.startswith("worker of bank 0") and "| CFIE" in text
    )
    assert cleared < enabled


def test_p6_races_on_a_shared_line_even_with_its_lock() -> None:
    # FSR is written last: the worker can RESUME, and set CFIE, before the handler is done with the stall.
    chip = "mmu500,shared_line=yes,resume_needs_fsr_clear=no"
    assert "unbounded" in proved("P6", "pager", chip, banks=2).broken


def test_a_line_for_each_bank_needs_no_lock_under_p7() -> None:
    assert not proved(without_lock("P7"), "pager", "mmu500", banks=2).broken


# --- the threaded handlers ----------------------------------------------------------------------


@pytest.mark.parametrize("client", ["none", "adreno-nodump", "adreno-worker", "adreno-inline", "pager"])
@pytest.mark.parametrize("same", [False, True])
def test_p8_is_safe_on_mmu500(client: str, same: bool) -> None:
    found = proved("P8", client, same=same, faults=4)
    assert not found.broken
    assert found.entries == 4


def test_p1_leaves_multi_behind_and_reports_a_stale_address_once_more() -> None:
    found = proved("P1", faults=2)
    assert {"stale", "folded", "spurious"} == set(found.broken)
    assert found.spurious == 1


def test_rob_2025_can_acknowledge_a_fault_that_nobody_reported() -> None:
    found = proved("rob-2025", "adreno-worker")
    schedule = schedule_of(found, "lost")
    assert schedule.steps[-1].what.startswith("WRITE FSR")


def test_p14_retries_two_faults_for_ever_and_one_not() -> None:
    # docs/findings/0002
    chip = "mmu500,sync_waits_for_stall=no"
    assert "retry" in proved("P14", "none", chip, faults=2).broken
    assert "retry" not in proved("P14", "none", chip, faults=1).broken


def test_p0_retries_for_ever_what_a_client_calls_handled() -> None:
    assert "retry" in proved("P0", "adreno-nodump", faults=1).broken


def test_p11_alone_touches_no_register_of_an_smmu_that_sleeps() -> None:
    # docs/findings/0003
    def asleep(policy: str) -> set[str]:
        row, chip = policies.find(policy), hardware.find("thunderx-smmuv2")
        return set(prove_one(Question(row, CLIENTS["none"], chip, faults=2, sleeps=True)).broken)

    assert "crash" in asleep("P8")
    assert "crash" in asleep("P9")
    assert "crash" not in asleep("P11")
    assert "lost" in asleep("P11")
    assert "livelock" not in asleep("P8")


# --- what leaves FSR set ------------------------------------------------------------------------


@pytest.mark.parametrize("chip", PRESETS)
def test_p3_is_entered_again_at_once_on_every_preset_until_its_worker_clears_fsr(chip: str) -> None:
    assert "unbounded" in proved("P3", "adreno-worker", chip).broken
    assert "livelock" in proved("P3", "adreno-worker", chip, same=True).broken


@pytest.mark.parametrize("chip", PRESETS)
def test_an_error_that_skips_the_clear_livelocks_where_no_worker_clears_fsr(chip: str) -> None:
    assert proved("P3", "einval", chip).verdict == "livelock"


@pytest.mark.parametrize("policy", ["P13", "P17", "jordan-2021"])
def test_ebusy_leaves_fsr_set_where_stall_is_off_and_kgsl_masks_only_stalls(policy: str) -> None:
    # KGSL's recovery turns stall off; a fault that comes then is terminated, and its TF stays for the worker.
    assert "unbounded" in proved(policy, "kgsl").broken
    assert "livelock" in proved(policy, "kgsl", same=True).broken
    assert "unbounded" not in proved(policy, "kgsl", faults=1).broken
