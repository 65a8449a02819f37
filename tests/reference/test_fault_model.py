"""The plain-Python fault model, held against numbers worked out by hand from docs/model.md.

Times below are in ns.  With COSTS, an access that misses everywhere costs 1 + 10 + 5 = 16, and 100 per
descriptor read: 116 where it faults at level 0, 416 where it ends on a 4K page.  The first IRQ entry of a CPU
that idles is at fault + 200, and its handler's first step starts 500 later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import events as ev

from .fault_model import Lane, Machine, Outcome, Setup, simulate
from .fault_model_translation import Tables, split_into_pages

COSTS = {
    "utlb_hit": 1, "tlb_hit": 10, "walk_cache_hit": 5, "walk_mem": 100,
    "mmio_read": 100, "mmio_write": 50, "irq_delivery": 200,
    "irq_entry_task": 300, "irq_entry_idle": 500, "irq_exit_task": 150, "irq_exit_idle": 250,
    "oneshot_entry": 1000, "oneshot_exit": 400, "oneshot_unmask": 300,
    "thread_wake": 2000, "work_wake": 3000, "queue_work": 700, "check": 20, "report": 60,
    "log_suppressed": 30, "log_line": 1000, "log_summary": 900, "console_summary": 0,
    "console_first": 0, "console_second": 0, "console_third": 0, "console_gpu": 0,
    "printer_first": 0, "printer_second": 0, "printer_third": 0, "printer_gpu": 0, "printer_summary": 0,
    "capture": 100_000, "map_page": 2500,
    "tbu_halt": 4000, "atos": 6000, "soft_walk": 800, "pm_get": 40, "pm_put": 10,
    "cooldown": 50_000, "dump_kept": 10**12, "submit_every": 10_000, "hangcheck": 2_000_000,
}  # fmt: skip
MMU500 = {
    "stalls": True, "second_fault": "queue", "resume_needs_fsr_clear": True, "ss_asserts_irq": True,
    "irq_held_until_resume": False, "fsr_frozen_while_stalled": True,
    "tbus": 1, "slots": 128, "walk_slots": 8, "fifo_depth": 16, "accept": 1,
    "utlb": (1, 8), "tlb": (16, 4), "walk_cache": (4, 4), "shared_line": False, "sync_waits_for_stall": True,
}  # fmt: skip
IDEAL = MMU500 | {"resume_needs_fsr_clear": False, "ss_asserts_irq": False}
SMMU_V2 = MMU500 | {"second_fault": "terminate"}
BOTH = pytest.mark.parametrize("hw", [MMU500, IDEAL], ids=["mmu500", "ideal"])

OWN_CPUS = {"irq": 0, "thread": 1, "work": 2, "submit": 3}
ONE_CPU = {"irq": 0, "thread": 0, "work": 0, "submit": 0}
RW = ev.PROT_READ | ev.PROT_WRITE

WILD = 5 << 39  #: nothing is ever mapped in its 512G, so it faults at level 0
PAGE = 0x4000_0000


def read(t: int, iova: int = WILD, requester: int = 0, op: int = ev.READ) -> tuple[int, ...]:
    return (t, op, requester, 0, iova, 64, 0, 0)


def mapping(t: int, iova: int, size: int = 0x1000, prot: int = RW, pa: int = 0x8000_0000) -> tuple[int, ...]:
    return (t, ev.MAP, 0, 0, iova, size, pa, prot)


def setup_of(
    policy: str, client: str = "none", hw: dict[str, Any] = MMU500, *events: Any, **more: Any
) -> Setup:
    base = Setup(list(events or [read(0)]), [(7, 0, 0)], policy, client, hw, COSTS, OWN_CPUS)
    return replace(base, **more)


def run(policy: str, client: str = "none", hw: dict[str, Any] = MMU500, *events: Any, **more: Any) -> Outcome:
    return simulate(setup_of(policy, client, hw, *events, **more))


def counted(outcome: Outcome, **expected: int) -> None:
    assert {name: outcome.counters[name] for name in expected} == expected
    conserved(outcome)


def conserved(outcome: Outcome) -> None:
    c = outcome.counters
    fates = ("recorded", "coalesced", "lost", "pending")
    assert c["faults_injected"] == sum(c["faults_" + fate] for fate in fates)
    for fate in fates:
        assert c["faults_" + fate] == sum(row["record"] == fate for row in outcome.faults)
    ended = sum(len(from_issue) for _, from_issue in outcome.latencies.values())
    assert c["accesses"] == ended + outcome.transactions_pending
    assert c["utlb_hits"] + c["tlb_hits"] + c["walks"] >= c["accesses"] - c["collateral"]


# --- one fault under each policy ---------------------------------------------------------------


@BOTH
def test_p8_takes_one_entry_and_no_resume_is_ignored(hw):
    # fault 116, taken 316, oneshot_entry to 1316, thread awake 3316, four reads 3716, check 3736, report
    # 3796, three lines 6796, FSR 6846, RESUME 6896 (the transaction ends), unmask 7196.
    outcome = run("P8", "none", hw)
    counted(outcome, irq_entries=1, irq_spurious=0, resume_written=1, resume_ignored=0, terminated=1,
            log_lines=3, mmio_reads=4, mmio_writes=2, makespan_ns=6896, stalled_ns=6780,
            cpu_irq_ns=1400, cpu_thread_ns=5880, cpu_work_ns=0)  # fmt: skip
    assert outcome.verdict == "safe"
    assert outcome.completed
    assert outcome.latencies == {7: ([6896], [6896])}
    assert outcome.faults == [
        {"t_arrived": 116, "t_recorded": 116, "t_irq": 316, "t_resumed": 6896, "t_retired": 6896,
         "record": "recorded", "outcome": "terminated"}
    ]  # fmt: skip


def test_p8_thread_on_the_irq_cpu_waits_for_the_hard_part():
    # The thread loses 400 to oneshot_exit: RESUME at 7296, unmask ends 7596.
    outcome = run("P8", cpus=ONE_CPU)
    counted(outcome, makespan_ns=7296, cpu_irq_ns=1400, cpu_thread_ns=5880)


def test_p4_resuming_in_the_handler_needs_exactly_two_entries_on_mmu500():
    # taken 316, handler 816, FSR 916, check 936, three reads 1236, report 1296, 7 + 4 reads 2396,
    # RESUME 2446 ignored, the GPU's line 3446, FSR 3496, exit 3746; again: handler 4246, report ends 4726,
    # reads 5826, RESUME 5876 accepted, line 6876, FSR 6926, exit 7176.
    outcome = run("P4", "adreno-nodump")
    counted(outcome, irq_entries=2, irq_spurious=1, resume_written=2, resume_ignored=1, resume_stray=0,
            log_lines=2, makespan_ns=5876, cpu_irq_ns=6860, mmio_reads=30, mmio_writes=4)  # fmt: skip
    assert outcome.verdict == "spurious"


def test_p4_resuming_in_the_handler_is_calm_on_ideal_hardware():
    outcome = run("P4", "adreno-nodump", IDEAL)
    counted(outcome, irq_entries=1, resume_written=1, resume_ignored=0, makespan_ns=2446)
    assert outcome.verdict == "safe"


@BOTH
def test_p2_clears_fsr_first_and_needs_one_entry(hw):
    # handler 816, FSR 916, check 936, reads 1236, line 2236, FSR 2286, RESUME 2336.
    outcome = run("P2", "none", hw)
    counted(outcome, irq_entries=1, resume_written=1, resume_ignored=0, makespan_ns=2336, stalled_ns=2220)
    assert outcome.verdict == "safe"


def test_p2b_resumes_first_and_needs_two_entries_on_mmu500():
    # RESUME 2286 ignored, FSR 2336, exit 2586, handler 3086, check and reads 3506, line 4506, RESUME 4556.
    outcome = run("P2b")
    counted(outcome, irq_entries=2, irq_spurious=1, resume_written=2, resume_ignored=1, makespan_ns=4556)
    assert outcome.verdict == "spurious"


def test_p2b_needs_one_entry_on_ideal_hardware():
    counted(run("P2b", "none", IDEAL), irq_entries=1, resume_ignored=0, makespan_ns=2286)


@BOTH
def test_p1_terminates_at_once_and_never_resumes(hw):
    outcome = run("P1", "none", hw)
    counted(
        outcome, irq_entries=1, resume_written=0, terminated=1, makespan_ns=116, stalled_ns=0, mmio_writes=1
    )
    assert outcome.verdict == "safe"
    assert outcome.faults[0]["t_resumed"] is None


def test_p0_returns_none_for_a_fault_that_nobody_handled():
    # handler 816, FSR, check, FSYNR0, FAR twice 1236, report 1296, line 2296, FSR 2346, RESUME 2396.
    outcome = run("P0")
    counted(outcome, irq_entries=1, irq_none=1, irq_spurious=0, mmio_reads=4, makespan_ns=2396)
    assert outcome.verdict == "safe"


@BOTH
def test_p7_masks_cfie_until_the_worker_has_resumed(hw):
    # handler 816, four reads 1216, check 1236, SCTLR read and written 1386, three reads 1686, FSR 1736,
    # report 1796, four GPU reads 2196, line 3196, WAKE 3896; the worker: 6896, capture 106896, RESUME 106946.
    outcome = run("P7", "adreno-worker", hw)
    counted(outcome, irq_entries=1, resume_written=1, resume_ignored=0, makespan_ns=106_946, mmio_reads=13,
            mmio_writes=4, cpu_work_ns=3000 + 100_000 + 50 + 100 + 50)  # fmt: skip
    assert outcome.verdict == "safe"


def test_p7_resuming_in_the_handler_needs_one_entry():
    # as above to 2196, then RESUME 2246.
    outcome = run("P7", "adreno-nodump")
    counted(outcome, irq_entries=1, resume_ignored=0, makespan_ns=2246)


@BOTH
def test_p3_storms_until_the_worker_clears_fsr(hw):
    outcome = run("P3", "adreno-worker", hw)
    # WAKE ends 4096, the worker starts 7096 and captures to 107096.
    assert outcome.verdict == "storm"
    assert outcome.completed
    assert outcome.counters["irq_entries"] > 8
    assert outcome.faults[0]["t_resumed"] > 107_096
    conserved(outcome)


def test_p4_dumping_in_a_worker_on_the_irq_cpu_is_a_livelock():
    # The first entry sees the record; the worker that it queues never gets the CPU back.
    outcome = run("P4", "adreno-worker", cpus=ONE_CPU, livelock_limit=500)
    assert outcome.verdict == "livelock"
    assert not outcome.completed
    counted(outcome, irq_entries=501, cpu_work_ns=0, resume_written=0, terminated=0)
    assert outcome.transactions_pending == 1


def test_p4_dumping_in_a_worker_on_its_own_cpu_storms():
    outcome = run("P4", "adreno-worker")
    assert outcome.verdict == "storm"
    assert outcome.completed
    # The storm queued the worker again: one RESUME releases, the others find SS clear.
    counted(outcome, terminated=1, resume_stray=0)
    assert outcome.counters["resume_written"] - outcome.counters["resume_ignored"] == 1


def test_p4_dumping_in_a_worker_is_calm_where_ss_does_not_assert():
    outcome = run("P4", "adreno-worker", IDEAL)
    counted(outcome, irq_entries=1, resume_written=1, resume_ignored=0)
    assert outcome.verdict == "safe"


BURST = Lane(10, 10, 5, 0, ev.READ, WILD + 0x1000, 0x1000)


def test_a_late_resume_of_the_worker_may_hit_a_fault_that_it_never_meant():
    # The storm queues the worker twice and the handler resumes in between: where the second RESUME of the
    # worker falls between the handler's FSR and RESUME of a later fault, it releases that one.
    outcome = run("P4", "adreno-worker", lanes=[BURST], costs=COSTS | {"work_wake": 4000})
    counted(outcome, resume_stray=1, faults_recorded=6, terminated=6)
    assert outcome.verdict == "stray"


def test_p3s_worker_may_acknowledge_a_fault_that_nobody_has_read():
    # Each of its two passes writes all ones to FSR, whatever has been recorded there meanwhile.
    outcome = run("P3", "adreno-worker", lanes=[BURST])
    counted(outcome, faults_injected=6, faults_recorded=4, faults_lost=2, terminated=6)
    assert outcome.verdict == "lossy"


def test_nobody_resumes_p4_without_a_client():
    assert run("P4", "none", IDEAL).verdict == "hang"
    assert run("P4", "none", MMU500, livelock_limit=100).verdict == "livelock"


def test_without_stalls_every_policy_terminates():
    outcome = run("P8", "none", MMU500 | {"stalls": False})
    counted(outcome, irq_entries=1, resume_written=0, makespan_ns=116, stalled_ns=0)


# --- more than one fault ---------------------------------------------------------------------


def test_multi_left_behind_by_p1_is_a_ghost_entry():
    # walk_mem 1000: the read faults at level 0 at 1016, the write (another channel) at level 1 at 2016.
    # Taken 1216, handler 1716, FSR read 1816, written back 3186: MULTI came in between and stays.
    hw, costs = MMU500, COSTS | {"walk_mem": 1000}
    two = (read(0), read(0, 0x1000, op=ev.WRITE))
    outcome = run("P1", "none", hw, *two, costs=costs, premapped=[(0, PAGE, 0x1000, 0, RW)])
    counted(outcome, faults_injected=2, faults_recorded=1, faults_coalesced=1, irq_entries=2, irq_spurious=1,
            terminated=2, mmio_writes=2)  # fmt: skip
    assert [row["t_recorded"] for row in outcome.faults] == [1016, 2016]
    assert outcome.verdict == "spurious"


def test_smmu_v2_terminates_followers_and_loses_them_while_fsr_is_frozen():
    outcome = run("P8", "none", SMMU_V2, read(0), read(1000))
    counted(outcome, faults_injected=2, faults_recorded=1, faults_lost=1, terminated=2, irq_entries=1)
    assert [row["t_retired"] for row in outcome.faults] == [6896, 1116]
    assert outcome.verdict == "lossy"


def test_smmu_v2_followers_set_multi_where_fsr_is_not_frozen():
    hw = SMMU_V2 | {"fsr_frozen_while_stalled": False}
    outcome = run("P8", "none", hw, read(0), read(1000))
    counted(outcome, faults_recorded=1, faults_coalesced=1, faults_lost=0, irq_entries=1)
    assert outcome.verdict == "safe"


def test_mmu500_queues_followers_and_records_each_at_the_resume_before():
    # RESUME at 6896 records the second; unmask 7196, taken at once, so everything is 7196 - 316 = 6880 later.
    outcome = run("P8", "none", MMU500, read(0), read(4000))
    counted(outcome, faults_recorded=2, irq_entries=2, irq_spurious=0, resume_ignored=0, terminated=2)
    assert [row["t_recorded"] for row in outcome.faults] == [116, 6896]
    assert [row["t_retired"] for row in outcome.faults] == [6896, 6896 + 6880]


def test_an_unfrozen_fsr_takes_multi_from_a_queued_fault_and_resume_is_ignored():
    # FSR is read at 3516, the second fault sets MULTI at 4116, the write-back leaves it: RESUME ignored.
    # The second pass clears MULTI and resumes; only then is the second fault recorded, and the third pass
    # is its own.
    hw = MMU500 | {"fsr_frozen_while_stalled": False}
    outcome = run("P8", "none", hw, read(0), read(4000))
    counted(outcome, faults_recorded=2, faults_coalesced=0, irq_entries=3, irq_spurious=1, resume_written=3,
            resume_ignored=1, terminated=2)  # fmt: skip
    assert outcome.verdict == "spurious"


@pytest.mark.parametrize(("policy", "client"), [("P2b", "none"), ("P4", "adreno-nodump")])
def test_resume_before_fsr_hangs_on_ideal_hardware_once_three_faults_are_queued(policy, client):
    # Pass 1 resumes A while TF is set: B is stalled with MULTI alone.  Pass 2 resumes B while MULTI is set: C
    # adds nothing to it, and the write-back then clears it.  C is stalled, and no bit is left that asserts.
    outcome = run(policy, client, IDEAL, read(0), read(10), read(20))
    counted(outcome, faults_recorded=1, faults_coalesced=2, irq_entries=2, terminated=2)
    assert outcome.verdict == "hang"
    assert run("P8", "none", IDEAL, read(0), read(10), read(20)).verdict == "safe"


def test_hupcf_0_holds_innocent_accesses_until_the_fault_is_resolved():
    # P2 resumes at 2336; the access of 1000 is then translated: 4 reads, 416.
    outcome = run("P2", "none", MMU500, read(0), read(1000, PAGE), premapped=[(0, PAGE, 0x1000, 0, RW)])
    counted(outcome, collateral=1, terminated=1, retried=0, walks=2, makespan_ns=2752)
    assert outcome.latencies == {7: ([2336, 1752], [2336, 1752])}


def test_hupcf_0_terminates_innocent_accesses_where_nothing_stalls():
    outcome = run("P1", "none", MMU500, read(0), read(1000, PAGE), premapped=[(0, PAGE, 0x1000, 0, RW)])
    counted(outcome, collateral=1, terminated=2, walks=1, faults_injected=1, makespan_ns=1000)


def test_hupcf_1_lets_innocent_accesses_pass():
    outcome = run("P8", "none", MMU500, read(0), read(1000, PAGE), premapped=[(0, PAGE, 0x1000, 0, RW)])
    counted(outcome, collateral=0, walks=2)
    assert outcome.latencies[7][1] == [416, 6896]


def test_a_held_line_keeps_p4_storming_even_where_ss_does_not_assert():
    hw = IDEAL | {"irq_held_until_resume": True}
    assert run("P4", "adreno-worker", hw).verdict == "storm"


# --- demand paging -----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["P0", "P4", "P7", "P8"])
def test_a_pager_maps_what_was_touched_and_the_access_is_tried_again(policy):
    events = (mapping(0, PAGE), read(10, PAGE))
    outcome = run(policy, "pager", MMU500 | {"ss_asserts_irq": False}, *events, demand=True)
    counted(outcome, retried=1, terminated=0, faults_injected=1, walks=2, resume_stray=0)
    assert outcome.completed
    assert outcome.faults[0]["outcome"] == "retried"


def test_a_pager_that_has_no_page_terminates():
    counted(run("P8", "pager", MMU500, read(0), demand=True), retried=0, terminated=1)


def test_p8_with_a_pager_by_the_clock():
    # fault at 10 + 116; report ends 3806, mapped 6306, FSR 6356, RESUME 6406; four reads: ends 6822.
    outcome = run("P8", "pager", MMU500, mapping(0, PAGE), read(10, PAGE), demand=True)
    counted(outcome, makespan_ns=6822, log_lines=0)
    assert outcome.faults[0]["t_resumed"] == 6406
    assert outcome.faults[0]["t_retired"] == 6822


def test_a_client_that_returns_0_without_mapping_anything_makes_p0_retry_for_ever():
    assert run("P0", "adreno-nodump", retry_limit=100).verdict == "livelock"


def test_a_pager_does_not_map_a_page_that_does_not_allow_the_access():
    events = (mapping(0, PAGE, prot=ev.PROT_READ), read(10, PAGE, op=ev.WRITE))
    outcome = run("P8", "pager", MMU500, *events, demand=True)
    counted(outcome, faults_injected=1, faults_recorded=1, retried=0, terminated=1)


# --- TBU ---------------------------------------------------------------------------------------

MAPPED = [(0, PAGE, 0x20_0000, 0x1000, RW)]  # 4K pages: the PA allows no larger


def latency_of(*events: Any, hw: dict[str, Any] = MMU500, **more: Any) -> list[int]:
    return run("P8", "none", hw, *events, premapped=MAPPED, **more).latencies[7][1]


def test_a_walk_then_a_walk_cache_hit_then_a_micro_tlb_hit():
    # 4 reads: 416; the level-3 table is known: 116; 1.
    assert latency_of(read(0, PAGE), read(1000, PAGE + 0x1000), read(2000, PAGE)) == [416, 116, 1]


def test_a_hit_does_not_overtake_the_walk_of_its_page():
    assert latency_of(read(0, PAGE), read(100, PAGE)) == [416, 316]


def test_the_tlb_is_shared_and_the_micro_tlb_is_not():
    events, requesters = (read(0, PAGE), read(1000, PAGE, 1)), [(7, 0, 0), (8, 0, 1)]
    outcome = run("P8", "none", MMU500 | {"tbus": 2}, *events, requesters=requesters, premapped=MAPPED)
    assert outcome.latencies == {7: ([416], [416]), 8: ([11], [11])}


def test_a_miss_with_every_walk_slot_busy_blocks_the_hits_behind_it():
    # One walk slot.  The read of IOVA 0 faults at level 1 and is done with it at 1216.  Only then the next
    # walk is issued (walk-cache hit: ends 1332), and the hit behind it one `accept` later: 1217, ends 1218.
    events = (read(0, PAGE), read(1000, 0), read(1000, PAGE + 0x1000), read(1000, PAGE))
    outcome = run("P8", "none", MMU500 | {"walk_slots": 1}, *events, premapped=MAPPED)
    from_intended, from_issue = outcome.latencies[7]
    assert from_intended[:3] == [416, 218, 332]
    assert from_issue[:3] == [416, 1, 116]


def test_a_slot_freed_at_an_instant_is_taken_at_it():
    outcome = run(
        "P8", "none", MMU500 | {"slots": 1}, read(0, PAGE), read(0, PAGE + 0x1000), premapped=MAPPED
    )
    assert outcome.latencies[7] == ([416, 532], [416, 116])


def test_a_full_queue_makes_the_lane_wait_and_a_stall_starves_the_channel():
    hw = MMU500 | {"slots": 1, "fifo_depth": 1}
    beat = Lane(10, 100, 3, 0, ev.READ, PAGE, 0x1000, 2, deadline_ns=6000)
    outcome = run("P8", "none", hw, read(0), lanes=[beat], premapped=MAPPED)
    # The slot is free at 6896: ends 7312 (walk), 7428 (walk cache), 7429; intended 10, 110, 210, 6000
    # allowed.
    assert outcome.latencies[7][0] == [6896, 7302, 7318, 7219]
    counted(outcome, watchdogs=3, accesses=4)


def test_an_access_that_never_ends_is_a_watchdog_once_its_deadline_has_passed():
    beat = Lane(10, 10, 3, 0, ev.READ, PAGE, 0, 0, deadline_ns=100)
    hw = IDEAL | {"slots": 1, "fifo_depth": 1}
    outcome = run("P4", "none", hw, read(0), lanes=[beat], premapped=MAPPED)
    assert outcome.verdict == "hang"
    counted(outcome, watchdogs=3, accesses=1)


def test_an_unmap_waits_for_the_accesses_before_it_and_a_tlbi_makes_it_felt():
    unmap = (10, ev.UNMAP, 0, 0, PAGE, 0x1000, 0, 0)
    tlbi = (20, ev.TLBI, 0, 0, PAGE, 0x1000, 0, ev.TLBI_VA)
    stale = run("P1", "none", MMU500, read(0, PAGE), unmap, read(30, PAGE), premapped=MAPPED)
    # The UNMAP, and what is behind it, waits for 416; the TLB still holds the page.
    assert stale.latencies[7] == ([416, 387], [416, 1])
    gone = run("P1", "none", MMU500, read(0, PAGE), unmap, tlbi, read(30, PAGE), premapped=MAPPED)
    # TLBI_VA drops the walk cache too: a translation fault at level 3, four reads, at 832.
    counted(gone, faults_injected=1, walk_reads=8, makespan_ns=832)


def test_tlbi_of_the_last_level_keeps_the_walk_cache():
    tlbi = (20, ev.TLBI, 0, 0, PAGE, 0x1000, 0, ev.TLBI_VA_LAST)
    outcome = run("P1", "none", MMU500, read(0, PAGE), tlbi, read(30, PAGE), premapped=MAPPED)
    counted(outcome, walk_reads=5, walks=2)


def test_an_abrupt_unmap_does_not_wait():
    unmap = (10, ev.UNMAP, 0, 0, PAGE, 0x20_0000, 0, ev.ABRUPT)
    outcome = run("P1", "none", MMU500, read(0, PAGE), unmap, read(30, PAGE + 0x1000), premapped=MAPPED)
    # The walk-cache hit finds an empty table: one read, 146.
    assert outcome.faults[0]["t_arrived"] == 146


@pytest.mark.parametrize(
    ("op", "prot", "faults"),
    [
        (ev.READ, ev.PROT_READ, 0), (ev.READ, ev.PROT_WRITE, 1), (ev.WRITE, ev.PROT_READ, 1),
        (ev.WRITE, RW, 0), (ev.EXEC, RW, 1), (ev.EXEC, ev.PROT_EXEC, 0), (ev.READ, RW | ev.PROT_PRIV, 1),
    ],
)  # fmt: skip
def test_permissions(op, prot, faults):
    outcome = run("P1", "none", MMU500, read(0, PAGE, op=op), premapped=[(0, PAGE, 0x1000, 0x1000, prot)])
    counted(outcome, faults_injected=faults, walk_reads=4, makespan_ns=416)


def test_a_permission_fault_on_a_hit_costs_the_hit_and_keeps_the_entry():
    events = (read(0, PAGE), read(1000, PAGE, op=ev.WRITE), read(9000, PAGE))
    outcome = run("P1", "none", MMU500, *events, premapped=[(0, PAGE, 0x1000, 0, ev.PROT_READ)])
    counted(outcome, utlb_hits=2, walks=1, faults_injected=1)
    assert outcome.faults[0]["t_arrived"] == 1001


def test_syndrome_of_a_privileged_write():
    machine = Machine(setup_of("P1", "none", MMU500, (0, ev.WRITE, 0, 0, PAGE + 5, 4, 0, ev.PROT_PRIV)))
    machine.tables.map(0, PAGE + 0x1000, 0x1000, 0, RW)
    machine.run()
    bank = machine.banks[0]
    # TF cleared by the handler, Format 2 stays; level 3 | WNR | PNU.
    assert (bank.fsr, bank.far, bank.fsynr0) == (2 << 9, PAGE + 5, 3 | 1 << 4 | 1 << 5)


def test_map_splits_as_iommu_pgsize_does():
    two_megs, gig = 1 << 21, 1 << 30
    assert [
        level for _, _, level in split_into_pages(gig - two_megs, gig + two_megs, 3 * gig - two_megs)
    ] == [2, 1]
    assert [level for _, _, level in split_into_pages(0, 0x3000, 0x1000)] == [3, 3, 3]


def test_part_of_a_block_can_be_unmapped():
    tables = Tables()
    tables.map(0, 0, 1 << 21, 0, RW)
    tables.unmap(0, 0x1000, 0x1000)
    assert [tables.walk(0, iova).leaf is None for iova in (0, 0x1000, 0x2000)] == [False, True, False]
    assert tables.walk(0, 0x2000).leaf.pa == 0x2000


# --- kernel ------------------------------------------------------------------------------------


def test_the_ratelimit_prints_ten_and_tells_how_many_it_suppressed():
    # Twelve faults 100 us apart, then one after the 5 s window: 10 lines, 2 suppressed, summary + line.
    events = [read(100_000 * k) for k in range(12)] + [read(6_000_000_000)]
    outcome = run("P1", "none", MMU500, *events)
    counted(outcome, log_lines=12, log_suppressed=2, irq_entries=13)
    # An entry with its line costs 500 + 100 + 20 + 300 + 1000 + 50 + 250 = 2220; suppressed 970 less;
    # summary 900.
    assert outcome.counters["cpu_irq_ns"] == 13 * 2220 - 2 * 970 + 900


def test_a_line_is_disabled_when_almost_all_of_100000_entries_were_unhandled():
    machine = Machine(setup_of("P0"))
    line = machine.lines[0]
    for n in range(100_000):
        assert not line.disabled
        line._detect(none=n >= 99)
    assert not line.disabled  # the first 99 handled ones did not even count: 99,901 so far
    for _ in range(99):
        line._detect(none=True)
    assert line.disabled


def test_the_detector_starts_again_after_100_ms_without_an_unhandled_entry():
    machine = Machine(setup_of("P0"))
    line = machine.lines[0]
    line._detect(none=True)
    machine.now = 100_000_000
    line._detect(none=True)
    assert line.unhandled == 2
    machine.now = 200_000_001
    line._detect(none=True)
    assert line.unhandled == 1


def test_two_lines_on_one_cpu_are_served_one_after_the_other():
    events, requesters = (read(0), read(0, WILD, 1)), [(7, 0, 0), (8, 1, 1)]
    outcome = run("P2", "none", MMU500 | {"tbus": 2}, *events, requesters=requesters)
    # Bank 0 to 2586 (exit), then bank 1 at once: handler 3086, ... RESUME 2020 later than bank 0's would be.
    assert outcome.faults[0]["t_resumed"] == 2336
    assert outcome.faults[1]["t_irq"] == 2586
    assert outcome.faults[1]["t_resumed"] == 2586 + 2020
    counted(outcome, irq_entries=2)


# --- properties ----------------------------------------------------------------------------------

HARDWARE = st.builds(
    lambda base, **more: base | more,
    st.sampled_from([MMU500, IDEAL, SMMU_V2, MMU500 | {"stalls": False}]),
    fsr_frozen_while_stalled=st.booleans(),
    irq_held_until_resume=st.booleans(),
    slots=st.sampled_from([2, 128]),
    walk_slots=st.sampled_from([1, 8]),
    fifo_depth=st.sampled_from([1, 16]),
)
POLICY_AND_CLIENT = st.one_of(
    st.tuples(st.sampled_from(["P1", "P2", "P2b", "P0"]), st.sampled_from(["none", "pager"])),
    st.tuples(
        st.sampled_from(["P3", "P4", "P7", "P8"]),
        st.sampled_from(["none", "pager", "adreno-nodump", "adreno-worker", "adreno-inline"]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    which=POLICY_AND_CLIENT,
    hw=HARDWARE,
    n=st.integers(1, 12),
    other=st.integers(0, 3),
    gap=st.sampled_from([0, 1, 150, 1000, 5000]),
    pages=st.lists(st.integers(0, 8), max_size=8),
    demand=st.booleans(),
    cpus=st.sampled_from([OWN_CPUS, ONE_CPU]),
)
def test_no_fault_and_no_access_gets_out_of_the_books(which, hw, n, other, gap, pages, demand, cpus):
    events = [mapping(0, PAGE, 0x8000)]
    events += [read(40 * k, PAGE + (page << 12), op=page % 2) for k, page in enumerate(pages)]
    lanes = [Lane(20, gap, n, 0, ev.READ, WILD, 0x1000), Lane(50, gap, other, 1, ev.WRITE, WILD, 0x1000)]
    outcome = run(*which, hw, *events, lanes=lanes, demand=demand, cpus=cpus, livelock_limit=100,
                  requesters=[(7, 0, 0), (8, 1, 0)], costs=COSTS | {"capture": 20_000})  # fmt: skip
    conserved(outcome)
    assert outcome.counters["faults_pending"] == 0 or not outcome.completed
    if outcome.completed:
        assert outcome.counters["accesses"] == n + other + len(pages)
        assert outcome.transactions_pending == 0
