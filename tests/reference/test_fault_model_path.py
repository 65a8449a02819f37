"""Shared lines, cool-downs, TLB syncs and TBUs in the plain-Python model, with numbers worked out by hand.

Times are in ns; COSTS and the first steps of a fault are as in test_fault_model: it arrives at 116 and is
taken at 316, a hard handler starts at 816, a thread at 3316.
"""

from __future__ import annotations

from typing import Any

import pytest

from .fault_model import Machine
from .fault_model_bank import FSR_SS
from .fault_model_policies import Pass
from .fault_model_steps import Steps
from .test_fault_model import (
    COSTS,
    MAPPED,
    MMU500,
    PAGE,
    WILD,
    counted,
    mapping,
    read,
    run,
    setup_of,
)

TWO_BANKS = [(7, 0, 0), (8, 1, 1)]
OWN_LINES = MMU500 | {"tbus": 2}
ONE_LINE = OWN_LINES | {"shared_line": True}
QUICK_SYNC = MMU500 | {"sync_waits_for_stall": False}


def run_two(policy: str, hw: dict[str, Any], *events: Any, client: str = "none", **more: Any) -> Any:
    return run(policy, client, hw, *events, requesters=TWO_BANKS, **more)


# --- lines that are shared, and banks that are polled -----------------------------------------------


def test_a_shared_line_makes_a_pass_for_each_bank_between_one_entry_and_one_exit():
    # bank 0: FSR 916, check 936, reads 1236, line 2236, FSR 2286, RESUME 2336; bank 1: 1520 later, exit 4106.
    outcome = run_two("P2", ONE_LINE, read(0), read(0, WILD, 1))
    counted(outcome, irq_entries=1, irq_spurious=0, irq_none=0, mmio_reads=8, mmio_writes=4, cpu_irq_ns=3790)
    assert [row["t_irq"] for row in outcome.faults] == [316, 316]
    assert [row["t_resumed"] for row in outcome.faults] == [2336, 3856]


def test_a_pass_over_a_clean_bank_on_a_shared_line_is_no_irq_none():
    # bank 0: FSR 916, check 936; bank 1: FSR 1036, check 1056, reads 1356, line 2356, FSR 2406, RESUME 2456.
    outcome = run_two("P2", ONE_LINE, read(0, WILD, 1))
    counted(outcome, irq_entries=1, irq_spurious=0, irq_none=0, mmio_reads=5, makespan_ns=2456)
    assert outcome.verdict == "safe"


def test_an_entry_all_of_whose_passes_returned_none_is_one_irq_none():
    counted(run_two("P0", ONE_LINE, read(0)), irq_entries=1, irq_none=1, irq_spurious=0)


def test_an_entry_none_of_whose_passes_saw_a_record_is_one_irq_spurious():
    counted(run_two("P2b", ONE_LINE, read(0)), irq_entries=2, irq_spurious=1, irq_none=0)


def test_a_spurious_entry_counts_towards_the_storm_of_every_bank_it_looked_at():
    # P3 storms over bank 0; what bank 1 saw last is charged with every one of these entries too.
    machine = Machine(
        setup_of("P3", "adreno-worker", ONE_LINE, read(0, WILD, 1), read(200_000), requesters=TWO_BANKS)
    )
    machine.run()
    zero, one = (bank.last_seen for bank in machine.banks)
    assert zero is not None
    assert one is not None
    assert one.spurious_entries > zero.spurious_entries > 0


def test_the_threads_of_a_shared_line_all_run_before_it_opens():
    # Thread 0: RESUME 6896, unmask 7196.  Thread 1, on the same CPU: awake 9196, reads 9596, check 9616,
    # unmask 9916.  The fault of 7116 waits for that.
    outcome = run_two("P8", ONE_LINE, read(0), read(7000))
    assert [row["t_irq"] for row in outcome.faults] == [316, 9916]
    counted(outcome, irq_entries=2, irq_spurious=0, irq_none=0, mmio_reads=16, cpu_thread_ns=2 * 8600)


def test_a_deferred_fault_that_closes_a_shared_line_closes_it_for_all_banks():
    # report 1296, 11 reads 2396, line 3396, DISABLE 3446, WAKE 4146; the worker: 7146, capture 107146,
    # RESUME, FSR, ENABLE 107296.  Then the line is delivered.
    outcome = run_two("jordan-2021-irq", ONE_LINE, read(0), read(20_000, WILD, 1), client="adreno-worker")
    assert [row["t_irq"] for row in outcome.faults][:2] == [316, 107_496]


def test_p15_polls_every_bank_from_any_line():
    # Line 0's entry reads bank 1's record too (3756), and at its exit, 4006, line 1 has nothing left to tell.
    outcome = run_two("P15", OWN_LINES, read(0), read(0, WILD, 1))
    counted(outcome, irq_entries=1, irq_spurious=0, irq_none=0, mmio_reads=8, mmio_writes=2, log_lines=2,
            cpu_irq_ns=3690, terminated=2)  # fmt: skip
    assert [row["t_irq"] for row in outcome.faults] == [316, 316]


def test_p15_polls_from_the_line_of_the_last_bank_too():
    outcome = run_two("P15", OWN_LINES, read(0, WILD, 1))
    counted(outcome, irq_entries=1, irq_spurious=0, irq_none=0, mmio_reads=5, mmio_writes=1)


# --- cool-down and submit ----------------------------------------------------------------------------


def test_p9_stalls_again_after_a_submit():
    # report 3796, 11 reads 4896, SCTLR 5046: cool to 55046; capture 105046, line 106046, FSR, RESUME 106146.
    # The dump is gone at 125046, so the frame at 130000 submits: PM_GET 130040, check 130060, SCTLR 130210,
    # PM_PUT 130220.  The fault of 140116 stalls as the first did: RESUME at 140316 + 105830.
    costs = COSTS | {"dump_kept": 20_000}
    outcome = run("P9", "adreno-inline", MMU500, read(0), read(140_000), costs=costs)
    assert [row["t_resumed"] for row in outcome.faults] == [106_146, 246_146]
    counted(outcome, cpu_work_ns=220, mmio_reads=2 * 16 + 1, mmio_writes=2 * 3 + 1, resume_ignored=0)
    assert outcome.verdict == "safe"


def test_while_a_dump_is_kept_nothing_brings_stalls_back():
    outcome = run("P9", "adreno-inline", MMU500, read(0), read(400_000))
    assert [row["t_resumed"] for row in outcome.faults] == [106_146, None]
    counted(outcome, cpu_work_ns=0, terminated=2)


def test_a_submit_needs_something_else_to_come():
    outcome = run("P9", "adreno-inline", MMU500, read(0), costs=COSTS | {"dump_kept": 20_000})
    counted(outcome, cpu_work_ns=0)
    assert outcome.completed


@pytest.mark.parametrize(("cooldown", "resumed"), [(54_953, 2), (54_954, 1)])
def test_a_submit_comes_later_than_the_end_of_the_cool_down(cooldown, resumed):
    # COOL_DOWN at 5046: it ends at 59999, or at 60000, where the frame of 60000 is too early.
    costs = COSTS | {"cooldown": cooldown, "dump_kept": 0, "capture": 20_000}
    counted(
        run("P9", "adreno-inline", MMU500, read(0), read(65_000), costs=costs),
        resume_written=resumed,
        cpu_work_ns=220 * (resumed - 1),
    )


def test_a_fault_that_did_not_stall_is_not_dumped_and_prolongs_the_cool_down():
    # The first thread runs 1316 to 106446; the second fault, 110116, has no SS: awake 113316, report 113796,
    # 11 reads 114896 (cool until 164896), line 115896, FSR 115946, unmask 116246.  The fault of 162116 comes
    # the frame that may submit, the one after 160000.
    costs = COSTS | {"dump_kept": 0, "submit_every": 160_000}
    outcome = run("P9", "adreno-inline", MMU500, read(0), read(110_000), read(162_000), costs=costs)
    counted(outcome, cpu_thread_ns=105_130 + 2 * 4930, cpu_work_ns=0, resume_written=1, terminated=3)


@pytest.mark.parametrize("client", ["adreno-cooldown", "gmu-wait"])
def test_the_client_brings_the_cool_down_under_p8_and_once_under_p9(client):
    costs = COSTS | {"dump_kept": 20_000}
    for policy in ("P8", "P9"):
        outcome = run(policy, client, MMU500, read(0), read(140_000), costs=costs)
        counted(outcome, cpu_work_ns=220, mmio_reads=33, mmio_writes=7, makespan_ns=246_146)


def test_where_stalls_were_never_on_no_submit_begins():
    outcome = run("P5", "adreno-cooldown", MMU500, read(0), read(500_000))
    counted(outcome, cpu_work_ns=0, terminated=2)


# --- P14 and TLBSYNC in a handler -----------------------------------------------------------------------


def test_a_sync_that_is_done_at_once_and_a_retry_that_finds_the_page():
    # FSR 3416, check 3436, FAR 3536, FSR 3636, TLBIASID 3686, TLBSYNC 3836, FSR 3886, RESUME 3936.
    outcome = run("P14", "none", QUICK_SYNC, read(0, PAGE), mapping(1000, PAGE))
    counted(outcome, retried=1, terminated=0, makespan_ns=4352, mmio_reads=3, mmio_writes=2, tlbi_writes=1,
            tlb_syncs=1, tlb_sync_reads=1, tlb_sync_timeouts=0, cpu_tlbi_ns=0)  # fmt: skip
    assert outcome.verdict == "safe"


def test_a_sync_gives_up_after_twenty_rounds_while_the_transaction_is_stalled():
    # 50 + 20 x 1000 + 1000 x (2^20 - 1) from 3686; FSR and RESUME 100 more.  The retry faults 116 later; the
    # line opens at 1048599136, and the second pass, awake 3000 later, knows the address: 320, reads 300,
    # report 60, line 1000, FSR and RESUME 100.
    outcome = run("P14")
    assert [row["t_resumed"] for row in outcome.faults] == [1_048_598_836, 1_048_603_916]
    counted(outcome, tlb_syncs=1, tlb_sync_reads=200, tlb_sync_timeouts=1, tlbi_writes=1, cpu_tlbi_ns=0,
            mmio_reads=9, mmio_writes=4, retried=1, terminated=1, hangchecks=1)  # fmt: skip


def test_a_sync_ends_one_read_after_the_round_in_which_the_stall_ended():
    machine = Machine(setup_of("P14"))
    driver = machine.drivers[0]
    driver.bank.fsr = FSR_SS
    costs = []
    for step in Steps(driver, driver.thread, Pass()).tlb_sync():
        costs.append(step.cost)
        step.effect()
        if len(costs) == 2:
            driver.bank.fsr = 0
    assert costs == [50 + 1000 + 1000, 1000 + 2000, 100]
    assert [machine.counters[name] for name in ("tlb_syncs", "tlb_sync_reads", "tlb_sync_timeouts")] == [
        1,
        21,
        0,
    ]


def test_tlbiasid_invalidates_what_the_bank_has_cached():
    outcome = run("P14", "none", QUICK_SYNC, read(0, PAGE), read(500), read(9000, PAGE), premapped=MAPPED)
    # The page, the fault, its retry, and the page again.
    counted(outcome, walks=4, utlb_hits=0)


def test_p14_retries_once_per_address():
    far = WILD + 0x1000
    counted(run("P14", "none", QUICK_SYNC, read(0), read(20_000)), retried=1, terminated=2)
    counted(run("P14", "none", QUICK_SYNC, read(0), read(20_000, far)), retried=2, terminated=2)
    counted(run("P14", "none", QUICK_SYNC, read(0), read(20_000, far), read(40_000)), retried=3, terminated=3)


# --- P17 and the TBU -------------------------------------------------------------------------------------


def test_p17_halts_the_tbu_to_check_a_walk_that_nobody_explains():
    # check 3736, soft walk 4536, report 4596, SCTLR 4746, FSR 4796, RESUME 4846, SCTLR 4896, halt 8896, ATOS
    # 14896, three lines 17896, FSR 17946, RESUME 17996 (nothing is stalled), unmask 18296.
    outcome = run("P17")
    counted(outcome, irq_none=1, resume_written=2, resume_ignored=1, mmio_reads=5, mmio_writes=6,
            makespan_ns=4846, cpu_thread_ns=16_980)  # fmt: skip


def test_p17_does_not_halt_the_tbu_for_a_fault_that_was_handled():
    outcome = run("P17", "adreno-nodump")
    # report 4596, 11 reads 5696, line 6696, FSR 6746, RESUME 6796.
    counted(outcome, irq_none=0, resume_written=1, makespan_ns=6796)


@pytest.mark.parametrize(("policy", "resumed", "written"), [("P8", 4846, 2), ("P17", 5646, 1)])
def test_tbu_debug_ends_the_stall_itself(policy, resumed, written):
    # report 3796, soft walk 4596, SCTLR 4746, FSR 4796, RESUME 4846; P17 walked before its report as well.
    outcome = run(policy, "tbu-debug")
    counted(outcome, irq_none=0, resume_written=written, resume_ignored=written - 1, makespan_ns=resumed)
