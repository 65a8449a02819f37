"""The policies beside mainline's main line, one sentence a test: what was argued for, and what it does."""

from __future__ import annotations

import pytest

from smmucore import policies
from smmucore.hardware import PRESETS
from smmucore.policies import POLICIES
from smmucore.program import sctlr
from smmucore.registers import SCTLR_CFCFG

from .test_scenarios import MS, SHARED, burst


def test_p6_with_a_synchronous_resume_goes_on_until_the_line_is_disabled() -> None:
    outcome = burst("P6", "adreno-nodump", faults=1)
    c = outcome.counters
    assert outcome.verdict == "line-disabled"
    # The RESUME came while FSR still had TF; then CFIE came on with SS alone, which P6 does not look at.
    assert (c["resume_written"], c["resume_ignored"], c["terminated"]) == (1, 1, 0)
    # One good entry, and 100,000 that return IRQ_NONE, of which more than 99,900 were needed.
    assert c["irq_none"] == c["irq_spurious"] == c["irq_entries"] - 1 == 100_000


def test_p6_with_a_synchronous_resume_is_safe_where_resume_acts_at_once() -> None:
    outcome = burst("P6", "adreno-nodump", "ideal")
    assert (outcome.verdict, outcome.counters["irq_entries"]) == ("safe", 10)


def test_p7_clears_first_and_is_safe_where_p6_is_not() -> None:
    outcome = burst("P7", "adreno-nodump")
    assert (outcome.verdict, outcome.counters["irq_entries"], outcome.counters["resume_ignored"]) == (
        "safe",
        10,
        0,
    )


def test_p7w_needs_no_lock_and_takes_one_entry_a_fault() -> None:
    for client in ("none", "adreno-inline", "pager"):
        outcome = burst("P7w", client)
        assert (outcome.verdict, outcome.counters["irq_entries"], outcome.counters["resume_ignored"]) == (
            "safe",
            10,
            0,
        )


def test_the_detector_never_fires_for_p4_which_returns_handled() -> None:
    outcome = burst("P4", "adreno-worker", faults=1, capture=600 * MS)
    assert outcome.counters["irq_entries"] > 100_000
    assert (outcome.verdict, outcome.counters["irq_none"]) == ("storm", 0)


def test_without_stall_every_policy_takes_one_entry_a_fault_and_terminates_it() -> None:
    for policy in (key for key, row in POLICIES.items() if row.is_about(PRESETS["thunderx-smmuv2"])):
        c = burst(policy, "none", "thunderx-smmuv2").counters
        assert (c["irq_entries"], c["terminated"], c["stalled_ns"], c["collateral"]) == (10, 10, 0, 0), policy


def test_p12_writes_resume_even_where_nothing_is_stalled() -> None:
    c = burst("P12", "adreno-nodump", "thunderx-smmuv2").counters
    assert (c["resume_written"], c["resume_ignored"]) == (10, 10)
    c = burst("P12", "adreno-nodump").counters
    assert (c["resume_written"], c["resume_ignored"], c["terminated"]) == (10, 0, 10)


def test_a_client_that_returns_einval_by_accident_livelocks_p3_and_not_will_2021() -> None:
    assert burst("P3", "einval", faults=1).verdict == "livelock"
    # -EBUSY alone skips the clear: FSR is cleared, and SS alone goes on; nobody writes RESUME under either.
    assert burst("will-2021", "einval", faults=1, preset="ideal").counters["irq_entries"] == 1
    assert burst("jordan-2021", "einval", faults=1, preset="ideal").counters["irq_entries"] == 1
    assert burst("P8", "einval").verdict == "safe"


@pytest.mark.parametrize("policy", ["jordan-2021-masked", "jordan-2021-irq"])
def test_a_masked_interrupt_ends_the_storm_of_p3_while_the_worker_captures(policy: str) -> None:
    short = burst(policy, "adreno-worker", faults=1, capture=2 * MS)
    long = burst(policy, "adreno-worker", faults=1, capture=40 * MS)
    assert short.counters["irq_entries"] == long.counters["irq_entries"] == 2
    # The worker wrote RESUME before FSR: ignored, and repaired by one more entry for SS.
    assert (long.counters["resume_ignored"], long.counters["terminated"]) == (1, 1)
    assert burst(policy, "adreno-worker", faults=1, cpus=SHARED).counters["terminated"] == 1


def test_robin_and_robs_agreement_storms_on_ss_alone_and_not_on_an_ideal_part() -> None:
    assert burst("robin-rob-2021", "adreno-worker", faults=1).verdict == "storm"
    outcome = burst("robin-rob-2021", "adreno-worker", "ideal", faults=1)
    assert (outcome.verdict, outcome.counters["irq_entries"]) == ("safe", 1)


def test_rob_2025_acknowledges_a_fault_that_nobody_read() -> None:
    # Two faults together: RESUME of the first lets the second be recorded, and the core's clear takes it.
    c = burst("rob-2025", "adreno-nodump", faults=2, gap=0).counters
    assert (c["faults_injected"], c["faults_lost"]) == (2, 1)
    assert burst("rob-2025", "adreno-nodump").verdict == "safe"


def test_p5_stalls_only_where_followers_are_terminated() -> None:
    assert burst("P5").counters["stalled_ns"] == 0
    assert burst("P5", preset="qcom-smmu-v2").counters["stalled_ns"] > 0
    p5 = policies.find("P5")
    assert (sctlr(p5, "queue") & SCTLR_CFCFG, sctlr(p5, "terminate") & SCTLR_CFCFG) == (0, SCTLR_CFCFG)


def test_p4v_is_p4_on_the_one_part_it_is_about() -> None:
    p4, p4v = (burst(policy, "adreno-worker", "qcom-smmu-v2").counters for policy in ("P4", "P4v"))
    assert p4 == p4v
    assert not policies.find("P4v").is_about(PRESETS["mmu500"])


def test_kgsl_turns_stalls_off_for_good_at_its_first_fault() -> None:
    outcome = burst("P13", "kgsl", gap=100 * MS)
    c = outcome.counters
    assert (c["resume_written"], c["resume_ignored"]) == (10, 9)  # nothing is stalled after the first
    assert (c["faults_recorded"], c["terminated"]) == (10, 10)


def test_p16_reports_from_the_worker_and_its_thread_never_waits_for_the_capture() -> None:
    c = burst("P16", "adreno-inline", faults=1).counters
    assert c["cpu_work_ns"] > 20 * MS > c["cpu_thread_ns"]
    assert (c["irq_entries"], c["terminated"]) == (1, 1)


#: A second fault comes between a pass's read of FSR and its write.
IN_THE_WINDOW = range(4000, 10_000, 1000)


def total(counter: str, policy: str, hardware: str) -> int:
    """Sum a counter over bursts whose second fault falls between the read of FSR and the write."""
    runs = (burst(policy, "adreno-nodump", hardware, faults=100, gap=gap) for gap in IN_THE_WINDOW)
    return sum(run.counters[counter] for run in runs)


def test_in_terminate_mode_a_write_back_of_what_was_read_leaves_multi_and_ghosts() -> None:
    assert total("irq_spurious", "P1", "thunderx-smmuv2") > 0
    assert total("irq_spurious", "P8", "thunderx-smmuv2") > 50
    assert total("irq_spurious", "reread-clear", "thunderx-smmuv2") == 0
    assert total("irq_spurious", "clear-all", "thunderx-smmuv2") == 0


def test_in_stall_mode_the_multi_window_exists_only_where_fsr_is_not_frozen() -> None:
    thawed = "mmu500,fsr_frozen_while_stalled=no"
    ignored = {
        policy: total("resume_ignored", policy, thawed) for policy in ("P8", "reread-clear", "clear-all")
    }
    assert ignored["P8"] > 20 * max(ignored["reread-clear"], ignored["clear-all"], 1)
    for policy in ignored:
        assert total("resume_ignored", policy, "mmu500") == 0
